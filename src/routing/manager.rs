use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use moka::future::Cache;
use secrecy::SecretString;
use tracing::Instrument;

use super::options::ManagerOptions;
use super::routes::Routes;
use crate::client::{ClientId, ClientRecord, ClientRef, ClientStatus, Placement, PoolId};
use crate::database::{
    Database, DedicatedDatabase, DedicatedPools, KeySource, PoolDatabase, PoolDatabaseOptions,
};
use crate::directory::{
    Directory, PlatformDirectory, PoolRecord, column, connect_options, of_client, of_pool,
};
use crate::error::{Error, Result};
use crate::plan::Guards;
use crate::schema::Strictness;
use crate::secret::{Keys, ScopeKey, Sealed, SealedFor};
use crate::telemetry;
use crate::tenant::{Router, Tenant, TenantDb};

/// Routes each client to its database. One per process; cheap to clone.
///
/// Databases are opened on first use, once under concurrency: a pool database after it was found safe, a
/// dedicated one within the bound on open pools. One that cannot be reached affects its own clients alone.
///
/// ```no_run
/// # async fn example(url: String, keyring: tenantry::Keyring, id: tenantry::ClientId) -> tenantry::Result<()> {
/// use tenantry::{ClientConnectionManager, ManagerOptions};
///
/// let manager = ClientConnectionManager::connect(ManagerOptions::new(url, keyring)).await?;
/// let acme = manager.tenant(id).await?;
/// let agents = acme.query("agents").count().await?;
/// manager.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientConnectionManager {
    inner: Arc<Inner>,
}

struct Inner {
    /// Itself: what it routes leads back to it.
    this: Weak<Inner>,
    directory: Arc<dyn Directory>,
    /// The crate's own directory, whose connections the manager closes.
    platform: Option<PlatformDirectory>,
    keys: Keys,
    pool_options: PoolDatabaseOptions,
    routes: Routes,
    pools: Cache<PoolId, Arc<PoolDatabase>>,
    dedicated: Arc<DedicatedPools>,
    closed: AtomicBool,
}

impl ClientConnectionManager {
    /// Connects to the platform database. Pool and dedicated databases are opened on first use.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the URL cannot be read, [`Error::Unreachable`] where nobody answers.
    pub async fn connect(options: ManagerOptions) -> Result<Self> {
        let platform = PlatformDirectory::connect_with(&options.platform_url, options.keys.clone()).await?;
        Ok(Self::new(Arc::new(platform.clone()), Some(platform), options))
    }

    /// A manager over a directory of the host's own. The platform URL of the options is not used.
    pub fn with_directory(directory: Arc<dyn Directory>, options: ManagerOptions) -> Self {
        Self::new(directory, None, options)
    }

    fn new(
        directory: Arc<dyn Directory>,
        platform: Option<PlatformDirectory>,
        options: ManagerOptions,
    ) -> Self {
        let dedicated = DedicatedPools::new(
            options.max_dedicated_pools,
            options.dedicated_wait,
            options.dedicated_pool,
        );
        let inner = Arc::new_cyclic(|this| Inner {
            this: Weak::clone(this),
            directory,
            platform,
            keys: options.keys,
            pool_options: PoolDatabaseOptions {
                security_definers: options.security_definers.into(),
                connections: options.pool_connections,
                strictness: Strictness {
                    known_leaks: options.known_leaks,
                },
            },
            routes: Routes::new(options.max_cached_clients, options.record_ttl),
            // As many as there are pool databases: no bound of its own.
            pools: Cache::builder().build(),
            dedicated: Arc::new(dedicated),
            closed: AtomicBool::new(false),
        });
        Self { inner }
    }

    /// The scoped handle on a client's data.
    ///
    /// A client that was asked for by the same name within the time that routes are remembered costs no I/O.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::NotServed`] where it is provisioning, suspended or archived;
    /// [`Error::MissingCredential`], [`Error::WrongKey`] and [`Error::Invalid`] where its database's
    /// credentials are not in order; [`Error::Unreachable`]; [`Error::UnsafeDatabase`] where its pool
    /// database is not safe to serve from; [`Error::Platform`]; [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Dropped, nothing is left open but what others wait for too.
    pub async fn tenant(&self, client: impl Into<ClientRef>) -> Result<TenantDb> {
        let client = client.into();
        let inner = &self.inner;
        if inner.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let tenant = if let Some(tenant) = inner.routes.get(&client) {
            tenant
        } else {
            let span = telemetry::resolve(&client);
            // Boxed, so that a route that is remembered does not move the state of one that is not.
            Box::pin(inner.route(&client).instrument(span)).await?
        };
        Ok(TenantDb { tenant })
    }

    /// The handle on a client whose route is remembered by that name.
    pub(crate) fn remembered(&self, client: &ClientRef) -> Option<TenantDb> {
        let inner = &self.inner;
        let tenant = inner.routes.get(client)?;
        (!inner.closed.load(Ordering::Acquire)).then_some(TenantDb { tenant })
    }

    /// Who goes by that name now, whatever its status. No database of a client is opened.
    pub(crate) async fn identify(&self, client: &ClientRef) -> Result<Option<ClientId>> {
        let record = self.inner.directory.client(client).await?;
        Ok(record.map(|record| record.id))
    }

    /// How many dedicated databases have an open pool now.
    pub fn open_dedicated_pools(&self) -> usize {
        self.inner.dedicated.open_count()
    }

    /// Refuses new work, and waits until every connection in use is back and closed. Handles that are still
    /// held answer [`Error::Closed`] from then on.
    ///
    /// # Cancel safety
    /// Dropped, the manager stays closed to new work; call it again to wait.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        let pools: Vec<_> = self.inner.pools.iter().map(|(_, pool)| pool).collect();
        // At once: a transaction in flight on the one keeps none of the others open to new work.
        join(
            join_all(pools.iter().map(|pool| pool.close())),
            self.inner.dedicated.close(),
        )
        .await;
        if let Some(platform) = &self.inner.platform {
            platform.close().await;
        }
    }
}

impl Inner {
    async fn route(&self, client: &ClientRef) -> Result<Arc<Tenant>> {
        self.routes.get_or_resolve(client, || self.look_up(client)).await
    }

    async fn look_up(&self, client: &ClientRef) -> Result<Arc<Tenant>> {
        let record = self
            .directory
            .client(client)
            .await?
            .ok_or_else(|| Error::UnknownClient {
                client: client.clone(),
            })?;
        if record.status != ClientStatus::Active {
            return Err(Error::NotServed {
                client: record.id,
                status: record.status,
            });
        }
        let database = match record.placement {
            Placement::Pool(pool) => Database::Pool(self.pool(pool).await?),
            Placement::Dedicated => Database::Dedicated(self.dedicated(&record).await?),
        };
        Ok(Arc::new(Tenant {
            guards: Guards::from(&record.limits),
            record,
            database,
            router: Weak::<Self>::clone(&self.this),
        }))
    }

    /// The pool database, opened if it is not: once under concurrency, and the failure is shared as well.
    async fn pool(&self, id: PoolId) -> Result<Arc<PoolDatabase>> {
        let pool = self
            .pools
            .try_get_with(id, Box::pin(self.open_pool(id)))
            .await
            .map_err(|error| Error::clone(&error))?;
        // Opened while the manager was being closed: it was not there to be closed with the others.
        if self.closed.load(Ordering::Acquire) {
            pool.close().await;
            return Err(Error::Closed);
        }
        Ok(pool)
    }

    async fn open_pool(&self, id: PoolId) -> Result<Arc<PoolDatabase>> {
        let owner = || format!("pool {id}");
        let record = self.pool_record(id).await?;
        let url = self
            .open(&record.connection, of_pool(id, column::POOL_APP), owner)
            .await?;
        let connect = connect_options(&url, &owner())?;
        let keys = Arc::new(PoolKey {
            pool: id,
            inner: Weak::clone(&self.this),
        });
        let pool = PoolDatabase::open(&record, connect, keys, self.pool_options.clone()).await?;
        Ok(Arc::new(pool))
    }

    async fn pool_record(&self, id: PoolId) -> Result<PoolRecord> {
        let missing = || Error::MissingCredential {
            owner: format!("pool {id}"),
            what: "record".to_owned(),
        };
        self.directory.pool(id).await?.ok_or_else(missing)
    }

    async fn scope_key(&self, id: PoolId) -> Result<ScopeKey> {
        let owner = || format!("pool {id}");
        let record = self.pool_record(id).await?;
        let for_ = of_pool(id, column::POOL_SCOPE_KEY);
        let key = self.open(&record.scope_key, for_, owner).await?;
        ScopeKey::from_text(record.scope_key_id, &key).map_err(|source| Error::WrongKey {
            owner: owner(),
            what: column::POOL_SCOPE_KEY.to_owned(),
            source,
        })
    }

    async fn dedicated(&self, record: &ClientRecord) -> Result<Arc<DedicatedDatabase>> {
        let id = record.id;
        let owner = || format!("client {id}");
        let missing = || Error::MissingCredential {
            owner: owner(),
            what: column::CLIENT_APP.to_owned(),
        };
        let sealed = record.connection.as_ref().ok_or_else(missing)?;
        let url = self
            .open(sealed, of_client(id, column::CLIENT_APP), owner)
            .await?;
        let connect = connect_options(&url, &owner())?;
        Ok(self.dedicated.database(id, &url, connect))
    }

    async fn open(
        &self,
        sealed: &Sealed,
        for_: SealedFor<'_>,
        owner: impl Fn() -> String + Send,
    ) -> Result<SecretString> {
        let opened = self.keys.open(sealed, for_).await;
        opened.map_err(|source| Error::WrongKey {
            owner: owner(),
            what: for_.column.to_owned(),
            source,
        })
    }
}

#[async_trait]
impl Router for Inner {
    async fn forget(&self, client: &ClientRecord) {
        self.routes.forget(client).await;
    }

    async fn resolve(&self, client: ClientId) -> Result<Arc<Tenant>> {
        self.route(&client.into()).await
    }
}

/// The scope key of a pool, as the directory has it.
#[derive(Debug)]
struct PoolKey {
    pool: PoolId,
    inner: Weak<Inner>,
}

#[async_trait]
impl KeySource for PoolKey {
    async fn scope_key(&self) -> Result<ScopeKey> {
        let inner = self.inner.upgrade().ok_or(Error::Closed)?;
        inner.scope_key(self.pool).await
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("pools", &self.pools.entry_count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnectionManager")
            .field("pools", &self.inner.pools.entry_count())
            .field("dedicated_pools", &self.open_dedicated_pools())
            .finish_non_exhaustive()
    }
}
