use std::fmt;

/// The claims of a caller, as whoever verified them has them.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// Shows every value of the header of that name, which is in lower case, in the order that they came in.
pub type HeaderLookup<'a> = dyn Fn(&str, &mut dyn FnMut(&[u8])) + Send + Sync + 'a;

/// What a request says of its client, borrowed from whatever carried it. What is not given is not there.
///
/// ```
/// use tenantry::TenantRequest;
///
/// let headers = [("x-tenant-id", "acme")];
/// let lookup = |name: &str, see: &mut dyn FnMut(&[u8])| {
///     for (_, value) in headers.iter().filter(|(header, _)| *header == name) {
///         see(value.as_bytes());
///     }
/// };
/// let request = TenantRequest::default().host("service.example").path("/agents").headers(&lookup);
/// # drop(request);
/// ```
#[derive(Clone, Copy, Default)]
pub struct TenantRequest<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) query: Option<&'a str>,
    pub(super) headers: Option<&'a HeaderLookup<'a>>,
    pub(super) claims: Option<&'a Claims>,
}

impl<'a> TenantRequest<'a> {
    /// The host that was asked for, with or without a port: `Host` or `:authority`.
    #[must_use]
    pub fn host(mut self, host: &'a str) -> Self {
        self.host = Some(host);
        self
    }

    /// The path as it was sent, before anything was decoded or taken out.
    #[must_use]
    pub fn path(mut self, path: &'a str) -> Self {
        self.path = Some(path);
        self
    }

    /// The query as it was sent, without its question mark.
    #[must_use]
    pub fn query(mut self, query: &'a str) -> Self {
        self.query = Some(query);
        self
    }

    /// The headers: a function that is given a name in lower case, and shows each value that a header of the name
    /// has.
    #[must_use]
    pub fn headers(mut self, headers: &'a HeaderLookup<'a>) -> Self {
        self.headers = Some(headers);
        self
    }

    /// The claims of the caller. They are believed: give those of a token that was verified.
    #[must_use]
    pub fn claims(mut self, claims: &'a Claims) -> Self {
        self.claims = Some(claims);
        self
    }
}

impl fmt::Debug for TenantRequest<'_> {
    // Not what is in it: a request has its caller's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRequest").finish_non_exhaustive()
    }
}
