use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;

use crate::client::{ClientId, ClientRecord};
use crate::database::{Database, DedicatedPool, PoolStatistics};
use crate::error::{Error, Result};
use crate::schema::Catalogue;

use super::tx::TenantTx;

/// The scoped handle on one client's data. Cheap to clone, `Send + Sync`.
///
/// On a pool database every statement runs on a connection that is bound to the client, under forced
/// row-level security and with the explicit predicate; on a dedicated database it passes straight through.
/// Obtained from [`ClientConnectionManager::tenant`](crate::ClientConnectionManager::tenant) alone.
///
/// A handle is a route, and a route goes stale when the client moves: statements then answer
/// [`Error::Moved`], and the manager resolves anew. Ask the manager for a handle per request or job.
#[derive(Clone)]
pub struct TenantDb {
    pub(crate) tenant: Arc<Tenant>,
}

/// What all handles on one client share.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) record: ClientRecord,
    pub(crate) database: Database,
    pub(crate) routes: Weak<dyn Forget>,
}

/// Drops the remembered routes of a client, so that it is resolved again.
#[async_trait]
pub(crate) trait Forget: Send + Sync + fmt::Debug {
    async fn forget(&self, client: &ClientRecord);
}

impl TenantDb {
    /// The client's record, as it was when the client was resolved.
    pub fn client(&self) -> &ClientRecord {
        &self.tenant.record
    }

    /// Begins a transaction: on a pool database bound to the client in the same message.
    ///
    /// # Errors
    /// [`Error::Moved`] and [`Error::Relocating`], to be retried from
    /// [`tenant`](crate::ClientConnectionManager::tenant); [`Error::NotServed`] where the client was
    /// suspended; [`Error::Busy`] where no connection came free; [`Error::Unreachable`].
    ///
    /// # Cancel safety
    /// Dropped at any point, nothing is left open: the connection is rolled back behind the caller before it
    /// serves anyone else, or closed.
    pub async fn begin(&self) -> Result<TenantTx> {
        match &self.tenant.database {
            Database::Pool(pool) => {
                let record = &self.tenant.record;
                let lease = self.check(pool.begin(record.id, record.epoch).await).await?;
                Ok(TenantTx::scoped(self.clone(), lease))
            }
            Database::Dedicated(database) => TenantTx::straight(self.clone(), database.pool().await?).await,
        }
    }

    /// The connections of this process to the client's pool database; `None` on a dedicated one, whose
    /// [`pool`](Self::pool) tells by itself.
    pub fn pool_statistics(&self) -> Option<PoolStatistics> {
        match &self.tenant.database {
            Database::Pool(pool) => Some(pool.statistics()),
            Database::Dedicated(_) => None,
        }
    }

    /// The ordinary pool of a dedicated database, `None` on a pool database. Its statements are sqlx's own,
    /// untouched.
    ///
    /// # Errors
    /// [`Error::Unreachable`], or [`Error::Busy`] where no open pool could make room.
    pub async fn pool(&self) -> Result<Option<DedicatedPool>> {
        match &self.tenant.database {
            Database::Pool(_) => Ok(None),
            Database::Dedicated(database) => database.pool().await.map(Some),
        }
    }

    pub(crate) fn id(&self) -> ClientId {
        self.tenant.record.id
    }

    pub(crate) fn is_scoped(&self) -> bool {
        matches!(self.tenant.database, Database::Pool(_))
    }

    pub(crate) async fn catalogue(&self) -> Result<Arc<Catalogue>> {
        match &self.tenant.database {
            Database::Pool(pool) => Ok(pool.catalogue()),
            Database::Dedicated(database) => Ok(database.pool().await?.catalogue()),
        }
    }

    /// Reads the catalogue again after a name was not found; says whether it did.
    pub(crate) async fn refresh_catalogue(&self) -> Result<bool> {
        match &self.tenant.database {
            Database::Pool(pool) => pool.refresh_catalogue().await,
            Database::Dedicated(database) => database.pool().await?.refresh_catalogue(database.client).await,
        }
    }

    /// A stale route must not be served from the cache again.
    pub(crate) async fn check<T: Send>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Moved { .. } | Error::NotServed { .. }) = &result
            && let Some(routes) = self.tenant.routes.upgrade()
        {
            routes.forget(&self.tenant.record).await;
        }
        result
    }
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb")
            .field("client", &self.tenant.record.id)
            .field("placement", &self.tenant.record.placement)
            .finish_non_exhaustive()
    }
}
