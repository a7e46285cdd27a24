//! Who the clients are: the contract of a directory, and the one that keeps them in a platform database.

mod binding;
mod connection_url;
mod credentials;
mod platform;
mod pool_record;
mod reseal;
mod sealed_column;

use std::fmt;

use async_trait::async_trait;

pub use self::binding::{Binding, UnknownBinding};
pub(crate) use self::connection_url::connect_options;
pub use self::credentials::CredentialRecord;
pub use self::platform::PlatformDirectory;
pub(crate) use self::platform::{column, failed, of_client, of_pool};
pub use self::pool_record::PoolRecord;
pub use self::reseal::{ResealOptions, Resealed, Unopened};
use crate::client::{ClientRecord, ClientRef, PoolId};
use crate::error::Result;

/// Tells who a client is and where it lives. The manager caches what it answers.
#[async_trait]
pub trait Directory: Send + Sync + fmt::Debug {
    /// The live client of that name, whatever its status.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform) where the directory cannot answer.
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>>;

    /// The pool database of that id.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform) where the directory cannot answer.
    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>>;
}
