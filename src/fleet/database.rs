use std::fmt;

use crate::client::ClientId;
use crate::directory::FleetOwner;
use crate::schema::SchemaState;
use crate::secret::Sealed;

/// A database of the fleet: of a pool or of one client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FleetDatabase {
    /// Whose it is.
    pub of: FleetOwner,
    /// The name of the pool, or the slug of the client.
    pub name: String,
}

/// A database as the platform knows it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) database: FleetDatabase,
    pub(super) admin: Option<Sealed>,
    /// `None` where nothing is known of its schema.
    pub(super) known: Option<SchemaState>,
    /// Why it failed the last time.
    pub(super) failure: Option<String>,
    /// A client that is being relocated from or to it.
    pub(super) relocating: Option<ClientId>,
}

#[cfg(test)]
impl Listed {
    pub(super) fn unknown(database: FleetDatabase) -> Self {
        Self {
            database,
            admin: None,
            known: None,
            failure: None,
            relocating: None,
        }
    }
}

impl fmt::Display for FleetDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.of {
            FleetOwner::Pool(_) => "pool",
            FleetOwner::Client(_) => "client",
        };
        write!(f, "{kind} {}", self.name)
    }
}
