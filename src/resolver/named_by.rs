use uuid::Uuid;

use crate::client::{ClientId, ClientKey, ClientRef, ClientSlug, ExternalRef};

/// How a text names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NamedBy {
    /// By its id, a UUID with hyphens.
    Id,
    /// By its slug.
    Slug,
    /// By its name in another system.
    External,
    /// By whichever of these it can be first, in this order. A client whose slug looks like a UUID is not found by
    /// it.
    Any,
    /// By a key in that index of the host's own, such as the slug of an agent of its.
    Key(&'static str),
    /// By a host name, read as the request's own is: for headers such as `X-Forwarded-Host`, of a proxy that lets
    /// no other through.
    Host,
}

impl NamedBy {
    /// The client of a text that is no host name; why there is none otherwise.
    pub(super) fn read(self, text: &str) -> Result<ClientRef, &'static str> {
        let id = || {
            let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
            id.map(|id| ClientRef::Id(ClientId::from(id)))
        };
        let slug = || text.parse::<ClientSlug>().map(ClientRef::Slug).ok();
        let external = || text.parse::<ExternalRef>().map(ClientRef::External).ok();
        match self {
            Self::Id => id().ok_or("it is not a UUID with hyphens"),
            Self::Slug => slug().ok_or("it is not a client slug"),
            Self::External => external().ok_or("it is not an external reference"),
            Self::Any => id()
                .or_else(slug)
                .or_else(external)
                .ok_or("it is no name of a client"),
            Self::Key(index) => ClientKey::new(index, text)
                .map(ClientRef::Key)
                .map_err(|_| "it is not a key"),
            Self::Host => Err("it is not a host name"),
        }
    }
}
