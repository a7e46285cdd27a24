use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tracing::Instrument;

use super::following::Patience;
use super::freshness::Fresh;
use super::tx::TenantTx;
use crate::client::{ClientId, ClientRecord, ClientStatus};
use crate::database::{Database, DedicatedPool, OwnIndexCell, PoolStatistics, TransactionOptions};
use crate::error::{Error, Result};
use crate::plan::Guards;
use crate::schema::Catalogue;
use crate::telemetry;
use crate::usage::Plans;

/// The scoped handle on one client's data. Cheap to clone, `Send + Sync`.
///
/// On a pool database every statement runs on a connection that is bound to the client, under forced
/// row-level security and with the explicit predicate; on a dedicated database it passes straight through.
/// Obtained from [`ClientConnectionManager::tenant`](crate::ClientConnectionManager::tenant) alone.
///
/// A handle is a route, and a route goes stale when the client, its tier or its database changes. A statement by
/// itself, and a beginning transaction, then go where the client is now, under what it may do now; inside a
/// transaction it is [`Error::Moved`]. The handle itself stays as it is and asks the manager each time, which must
/// still be there: ask it for a handle per request or job.
#[derive(Clone)]
pub struct TenantDb {
    pub(crate) tenant: Arc<Tenant>,
}

/// What all handles on one client share.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) record: ClientRecord,
    pub(crate) guards: Guards,
    pub(crate) database: Database,
    /// Whether all this still holds.
    pub(crate) fresh: Fresh,
    pub(crate) plans: Arc<Plans>,
    pub(crate) router: Weak<dyn Router>,
}

/// Where routes come from.
#[async_trait]
pub(crate) trait Router: Send + Sync + fmt::Debug {
    /// Takes note that what is known of the client is not true any more.
    fn forget(&self, client: ClientId);

    /// How long a client that is being relocated is waited for.
    fn relocation_wait(&self) -> Duration;

    /// The route of the client as it is now, while it has that status.
    async fn resolve(&self, client: ClientId, served: ClientStatus) -> Result<Arc<Tenant>>;
}

impl TenantDb {
    /// The client's record, as it was when the client was resolved.
    pub fn client(&self) -> &ClientRecord {
        &self.tenant.record
    }

    /// Begins a transaction under READ COMMITTED: on a pool database bound to the client in the same message.
    ///
    /// # Errors
    /// [`Error::Relocating`] and [`Error::Moved`] where the client is on its way for longer than
    /// [`relocation_wait`](crate::ManagerOptions::relocation_wait), to be retried;
    /// [`Error::NotServed`] where the client was suspended; [`Error::Busy`] where no connection came free;
    /// [`Error::Unreachable`].
    ///
    /// # Cancel safety
    /// Dropped at any point, nothing is left open: the connection is rolled back behind the caller before it
    /// serves anyone else, or closed.
    pub async fn begin(&self) -> Result<TenantTx> {
        self.begin_with(TransactionOptions::default()).await
    }

    /// Begins a transaction of that isolation and access.
    ///
    /// A snapshot of [`RepeatableRead`](crate::Isolation::RepeatableRead) and above that only reads may be as
    /// old as its beginning: it can read on at the old place while the client is relocated. It cannot write
    /// there.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); a retryable [`Error::Statement`] where the client's placement changed while
    /// its snapshot was taken.
    ///
    /// # Cancel safety
    /// As [`begin`](Self::begin).
    pub async fn begin_with(&self, options: TransactionOptions) -> Result<TenantTx> {
        let beginning = async {
            let renewed = self.renewed().await?;
            let begun = renewed.as_ref().unwrap_or(self).begin_here(options).await;
            if begun.is_ok() {
                return begun;
            }
            // Boxed, so that what is not refused does not move the state of what is.
            Box::pin(
                renewed
                    .unwrap_or_else(|| self.clone())
                    .begin_again(begun, options),
            )
            .await
        };
        beginning.instrument(telemetry::begin(self.id())).await
    }

    /// The handle as it would be given now, where this one is stale.
    pub(crate) async fn renewed(&self) -> Result<Option<Self>> {
        if self.tenant.fresh.is() {
            return Ok(None);
        }
        // Boxed, so that a handle that is not stale does not move the state of one that is.
        let router = self.tenant.router.upgrade().ok_or(Error::Closed)?;
        let tenant = Box::pin(router.resolve(self.id(), self.tenant.record.status)).await?;
        Ok(Some(Self { tenant }))
    }

    /// Begins where the client is by now, if it moved.
    async fn begin_again(
        mut self,
        mut begun: Result<TenantTx>,
        options: TransactionOptions,
    ) -> Result<TenantTx> {
        let mut patience = Patience::default();
        while let Some(found) = self.followed(&begun, &mut patience).await? {
            self = found;
            begun = self.begin_here(options).await;
        }
        begun
    }

    async fn begin_here(&self, options: TransactionOptions) -> Result<TenantTx> {
        match &self.tenant.database {
            Database::Pool(pool) => {
                let Tenant { record, guards, .. } = &*self.tenant;
                let lease = self.check(pool.begin(record, guards, options).await)?;
                Ok(TenantTx::scoped(self.clone(), lease))
            }
            Database::Dedicated(database) => {
                TenantTx::straight(self.clone(), database.pool().await?, options).await
            }
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
    /// [`Error::Unreachable`], or [`Error::Busy`] where no open pool could make room; those of
    /// [`tenant`](crate::ClientConnectionManager::tenant) where the client changed since it was asked for.
    pub async fn pool(&self) -> Result<Option<DedicatedPool>> {
        let renewed = self.renewed().await?;
        match &renewed.as_ref().unwrap_or(self).tenant.database {
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

    /// Which clients of the database have vector indexes of their own.
    pub(crate) async fn own_indexes(&self) -> Result<Arc<OwnIndexCell>> {
        match &self.tenant.database {
            Database::Pool(pool) => Ok(pool.own_indexes()),
            Database::Dedicated(database) => Ok(database.pool().await?.own_indexes()),
        }
    }

    /// A stale route must not be served from the cache again.
    pub(crate) fn check<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Moved { .. } | Error::NotServed { .. }) = &result
            && let Some(router) = self.tenant.router.upgrade()
        {
            router.forget(self.id());
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
