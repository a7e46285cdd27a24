use std::fmt;

use uuid::Uuid;

use super::{ClientDomain, ClientId, ClientKey, ClientSlug, ExternalRef};

/// A way to name a client. Every kind resolves to the same [`ClientRecord`](super::ClientRecord).
///
/// ```
/// use tenantry::{ClientRef, ClientSlug};
///
/// let by_slug: ClientRef = "acme".parse::<ClientSlug>()?.into();
/// assert_eq!(by_slug.to_string(), "slug acme");
/// # Ok::<_, tenantry::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientRef {
    /// By its id.
    Id(ClientId),
    /// By its slug.
    Slug(ClientSlug),
    /// By its name in another system.
    External(ExternalRef),
    /// By a domain of its own.
    Domain(ClientDomain),
    /// By a key in an index of the host's own.
    Key(ClientKey),
}

impl From<ClientId> for ClientRef {
    fn from(id: ClientId) -> Self {
        Self::Id(id)
    }
}

impl From<Uuid> for ClientRef {
    fn from(id: Uuid) -> Self {
        Self::Id(id.into())
    }
}

impl From<ClientSlug> for ClientRef {
    fn from(slug: ClientSlug) -> Self {
        Self::Slug(slug)
    }
}

impl From<ExternalRef> for ClientRef {
    fn from(reference: ExternalRef) -> Self {
        Self::External(reference)
    }
}

impl From<ClientDomain> for ClientRef {
    fn from(domain: ClientDomain) -> Self {
        Self::Domain(domain)
    }
}

impl From<ClientKey> for ClientRef {
    fn from(key: ClientKey) -> Self {
        Self::Key(key)
    }
}

impl From<&ClientRef> for ClientRef {
    fn from(client: &ClientRef) -> Self {
        client.clone()
    }
}

impl fmt::Display for ClientRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => write!(f, "slug {slug}"),
            Self::External(reference) => write!(f, "external reference {reference}"),
            Self::Domain(domain) => write!(f, "domain {domain}"),
            Self::Key(key) => key.fmt(f),
        }
    }
}
