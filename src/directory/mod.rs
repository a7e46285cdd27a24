//! Who the clients are: the contract of a directory, and the one that keeps them in a platform database.

mod audit_log;
mod binding;
mod change;
mod clients;
mod connection_url;
mod feed;
mod following;
mod look_ups;
mod platform;
mod pool_record;
mod writing;

use std::fmt;

use async_trait::async_trait;

pub use self::audit_log::{AuditEntry, AuditFilter};
pub use self::binding::{Binding, UnknownBinding};
pub use self::change::{Change, Changes};
pub use self::clients::{ClientCursor, ClientFilter, ClientPage, ClientUpdate, InvalidClientCursor};
pub(crate) use self::connection_url::{Fingerprint, connect_options};
pub use self::following::Following;
pub use self::platform::PlatformDirectory;
pub(crate) use self::platform::{column, failed, of_client, of_pool, refused};
pub use self::pool_record::PoolRecord;
pub(crate) use self::writing::Writing;
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

    /// The changes from now on, so that what is remembered can be dropped when it is no more true; `None` where the
    /// directory cannot tell, and only age decides. Defaults to `None`.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform) where the directory cannot tell now.
    async fn changes(&self) -> Result<Option<Changes>> {
        Ok(None)
    }
}
