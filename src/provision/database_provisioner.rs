use async_trait::async_trait;
use secrecy::SecretString;

use crate::client::ClientId;

/// How a dedicated database is reached.
#[derive(Clone, Debug)]
pub struct DedicatedUrls {
    /// As its app role, which the manager connects as.
    pub app: SecretString,
    /// As its admin role, which owns it.
    pub admin: SecretString,
}

/// Makes the databases of dedicated clients: on a server ([`ServerDatabases`](super::ServerDatabases)), or by the
/// interface of a cloud.
#[async_trait]
pub trait DatabaseProvisioner: Send + Sync + std::fmt::Debug {
    /// The empty database of the client: made, or found as it was made before, by a call whose answer was lost.
    ///
    /// # Errors
    /// Why it could not be made; [`Error::Hook`](crate::Error::Hook) carries it.
    async fn create(&self, client: ClientId) -> Result<DedicatedUrls, HookError>;

    /// Removes the database of the client with all that is in it. That there is none is no error.
    ///
    /// # Errors
    /// Why it could not be removed.
    async fn remove(&self, client: ClientId) -> Result<(), HookError>;
}

/// Why a part of the host's own failed.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;
