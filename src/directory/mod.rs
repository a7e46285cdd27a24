//! Who the clients are: the contract of a directory, and the one that keeps them in a platform database.

mod activity;
mod audit_log;
mod binding;
mod change;
mod clients;
mod connection_url;
mod credentials;
mod feed;
mod following;
mod idle;
mod known_schemas;
mod lease;
mod look_ups;
mod platform;
mod pool_record;
mod reseal;
mod sealed_column;
mod sealing;
mod tier_rows;
mod usage;
mod usage_rows;
mod writing;

use std::fmt;

use async_trait::async_trait;

pub use self::audit_log::{AuditEntry, AuditFilter};
pub use self::binding::{Binding, UnknownBinding};
pub use self::change::{Change, Changes};
pub use self::clients::{ClientCursor, ClientFilter, ClientPage, ClientUpdate, InvalidClientCursor};
pub(crate) use self::connection_url::{Fingerprint, connect_options};
pub use self::credentials::CredentialRecord;
pub use self::following::Following;
pub use self::known_schemas::FleetOwner;
pub(crate) use self::known_schemas::write_schema;
pub(crate) use self::lease::{Lease, PARTING};
pub use self::platform::PlatformDirectory;
pub(crate) use self::platform::{failed, refused};
pub use self::pool_record::PoolRecord;
pub use self::reseal::{ResealOptions, Resealed, Unopened};
pub(crate) use self::sealing::{column, of_client, of_pool, open};
pub use self::usage::{Month, TakeUsage, TakenUsage, UnknownMonth, Usage};
pub(crate) use self::writing::Writing;
use crate::client::{ClientId, ClientRecord, ClientRef, PoolId};
use crate::error::{Error, Result};
use crate::plan::{Limit, TierCatalog};

/// Tells who a client is and where it lives. The manager caches what it answers.
#[async_trait]
pub trait Directory: Send + Sync + fmt::Debug {
    /// The live client of that name, whatever its status.
    ///
    /// # Errors
    /// [`Error::Platform`] where the directory cannot answer.
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>>;

    /// The pool database of that id.
    ///
    /// # Errors
    /// [`Error::Platform`] where the directory cannot answer.
    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>>;

    /// The changes from now on, so that what is remembered can be dropped when it is no more true; `None` where the
    /// directory cannot tell, and only age decides. Defaults to `None`.
    ///
    /// # Errors
    /// [`Error::Platform`] where the directory cannot tell now.
    async fn changes(&self) -> Result<Option<Changes>> {
        Ok(None)
    }

    /// Takes note of clients that were looked up lately. Defaults to nothing.
    ///
    /// # Errors
    /// [`Error::Platform`] where the directory cannot take it now; it is told again.
    async fn note_active(&self, _clients: &[ClientId]) -> Result<()> {
        Ok(())
    }

    /// The tiers that are offered. Defaults to none: no error then says which tier would lift a limit.
    ///
    /// # Errors
    /// [`Error::Platform`] where the directory cannot answer.
    async fn tiers(&self) -> Result<TierCatalog> {
        Ok(TierCatalog::default())
    }

    /// Takes a block of what a client may use this month, in one step that no other process interferes with. Defaults
    /// to an error: nothing is metered.
    ///
    /// # Errors
    /// [`Error::Unsupported`]; [`Error::UnknownClient`]; [`Error::Platform`] where the directory cannot answer.
    async fn take_usage(&self, _take: TakeUsage<'_>) -> Result<TakenUsage> {
        Err(Error::Unsupported {
            what: "metered limits",
        })
    }

    /// Gives back what was taken of a month and not used. Defaults to an error, as [`take_usage`](Self::take_usage).
    ///
    /// # Errors
    /// [`Error::Unsupported`]; [`Error::Platform`] where the directory cannot answer.
    async fn give_back(&self, _client: ClientId, _limit: &Limit, _month: Month, _unused: i64) -> Result<()> {
        Err(Error::Unsupported {
            what: "metered limits",
        })
    }
}
