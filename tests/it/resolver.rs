//! Which client a request is for.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions that the tests share panic like tests"
)]

mod agreement;
mod entitlement;
mod hosts;
mod sources;

use proptest::prelude::ProptestConfig;
use tenantry::{Claims, ClientRef, Error, HeaderLookup, ResolverOptions, TenantRequest, TenantResolver};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A request as a test writes it down.
#[derive(Clone, Debug, Default)]
struct Asked {
    host: Option<String>,
    path: Option<String>,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    claims: Option<Claims>,
}

impl Asked {
    fn host(host: &str) -> Self {
        Self::default().and_host(host)
    }

    fn and_host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    fn path(path: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..Self::default()
        }
    }

    fn query(query: &str) -> Self {
        Self {
            query: Some(query.to_owned()),
            ..Self::default()
        }
    }

    fn header(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self::default().and_header(name, value)
    }

    fn and_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn claims(claims: &serde_json::Value) -> Self {
        Self::default().and_claims(claims)
    }

    fn and_claims(mut self, claims: &serde_json::Value) -> Self {
        self.claims = Some(claims.as_object().unwrap().clone());
        self
    }

    /// Calls with the request that was written down.
    fn with<T>(&self, ask: impl FnOnce(&TenantRequest<'_>) -> T) -> T {
        let headers = self.lookup();
        ask(&self.request(&headers))
    }

    fn lookup(&self) -> Box<HeaderLookup<'_>> {
        Box::new(|name, see| {
            for (_, value) in self.headers.iter().filter(|(header, _)| header == name) {
                see(value);
            }
        })
    }

    fn request<'a>(&'a self, headers: &'a HeaderLookup<'a>) -> TenantRequest<'a> {
        let mut request = TenantRequest::default().headers(headers);
        if let Some(host) = &self.host {
            request = request.host(host);
        }
        if let Some(path) = &self.path {
            request = request.path(path);
        }
        if let Some(query) = &self.query {
            request = request.query(query);
        }
        if let Some(claims) = &self.claims {
            request = request.claims(claims);
        }
        request
    }
}

/// What a resolver made of a request without asking anybody.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Nobody,
    Client(ClientRef),
    /// The reason.
    Malformed(&'static str),
    Conflict,
}

fn read(resolver: &TenantResolver, asked: &Asked) -> Read {
    match asked.with(|request| resolver.references(request)) {
        Ok(named) => match &*named {
            [] => Read::Nobody,
            [(_, client)] => Read::Client(client.clone()),
            several => panic!("several: {several:?}"),
        },
        Err(Error::MalformedName { reason, .. }) => Read::Malformed(reason),
        Err(Error::ConflictingNames { .. }) => Read::Conflict,
        Err(error) => panic!("{error:?}"),
    }
}

fn slug(text: &str) -> Read {
    Read::Client(ClientRef::Slug(text.parse().unwrap()))
}

fn domain(text: &str) -> Read {
    Read::Client(ClientRef::Domain(text.parse().unwrap()))
}

fn external(text: &str) -> Read {
    Read::Client(ClientRef::External(text.parse().unwrap()))
}

fn options() -> ResolverOptions {
    ResolverOptions::default()
}

/// What fails is told, and leaves no file behind.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
