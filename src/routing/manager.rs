use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join3;
use secrecy::SecretString;
use tracing::Instrument;

use super::credentials::{Credentials, PoolKey};
use super::follower::Follower;
use super::options::ManagerOptions;
use super::pools::{Described, Pools};
use super::routes::Routes;
use super::tier_plans::TierPlans;
use crate::client::{ClientId, ClientRecord, ClientRef, ClientStatus, Placement, PoolId};
use crate::database::{Database, DedicatedDatabase, DedicatedPools, PoolDatabase, PoolDatabaseOptions};
use crate::directory::{Change, Directory, Fingerprint, PlatformDirectory, PoolRecord, connect_options};
use crate::error::{Error, Result};
use crate::plan::Guards;
use crate::schema::Strictness;
use crate::telemetry;
use crate::tenant::{Asked, Fresh, Freshness, Router, Tenant, TenantDb};
use crate::usage::Plans;

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
    credentials: Arc<Credentials>,
    pool_options: PoolDatabaseOptions,
    freshness: Arc<Freshness>,
    follower: Follower,
    routes: Routes,
    tier_plans: TierPlans,
    pools: Pools,
    dedicated: Arc<DedicatedPools>,
    plans: Arc<Plans>,
    relocation_wait: Duration,
    closed: AtomicBool,
}

impl ClientConnectionManager {
    /// Connects to the platform database. Pool and dedicated databases are opened on first use.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the URL cannot be read, [`Error::Unreachable`] where nobody answers.
    pub async fn connect(options: ManagerOptions) -> Result<Self> {
        let platform = PlatformDirectory::connect_with(&options.platform_url, options.keys.clone())
            .await?
            .following(options.following);
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
            options.minimum_host_version,
        );
        let freshness = Arc::new(Freshness::new(options.max_staleness));
        let inner = Arc::new_cyclic(|this| Inner {
            this: Weak::clone(this),
            follower: Follower::new(Arc::clone(&directory), Arc::clone(&freshness)),
            plans: Arc::new(Plans::new(Arc::clone(&directory), options.plans)),
            credentials: Arc::new(Credentials::new(Arc::clone(&directory), options.keys)),
            directory,
            platform,
            pool_options: PoolDatabaseOptions {
                security_definers: options.security_definers.into(),
                connections: options.pool_connections,
                minimum_host_version: options.minimum_host_version,
                strictness: Strictness {
                    known_leaks: options.known_leaks,
                },
            },
            routes: Routes::new(
                Arc::clone(&freshness),
                options.max_cached_clients,
                options.record_ttl,
                options.unknown_ttl,
            ),
            tier_plans: TierPlans::default(),
            pools: Pools::default(),
            freshness,
            dedicated: Arc::new(dedicated),
            relocation_wait: options.relocation_wait,
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
    /// database is not safe to serve from; [`Error::SchemaTooOld`]; [`Error::Platform`]; [`Error::Closed`].
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

    /// The handle on a client that is provisioning, for whoever sets it up.
    pub(crate) async fn setting_up(&self, client: ClientId) -> Result<TenantDb> {
        let tenant = self.inner.resolve(client, ClientStatus::Provisioning).await?;
        Ok(TenantDb { tenant })
    }

    /// Waits until changes of the directory are heard of: from then on they are in force here as soon as they are
    /// committed. It need not be waited for: until then, routes are not trusted longer than
    /// [`max_staleness`](ManagerOptions::max_staleness).
    ///
    /// # Cancel safety
    /// Dropped, nothing has changed.
    pub async fn hears_changes(&self) {
        self.inner.follower.begin();
        self.inner.follower.hears().await;
    }

    /// Whether changes of the directory are heard of now.
    pub fn is_hearing_changes(&self) -> bool {
        self.inner.freshness.is_heard()
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
    /// held answer [`Error::Closed`] from then on. What meters took of a client's month and did not use is given back.
    ///
    /// # Cancel safety
    /// Dropped, the manager stays closed to new work; call it again to wait. What was not given back by then counts as
    /// used.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        // At once: a transaction in flight on the one keeps none of the others open to new work.
        join3(
            self.inner.pools.close(),
            self.inner.dedicated.close(),
            self.inner.follower.end(),
        )
        .await;
        self.inner.plans.close().await;
        if let Some(platform) = &self.inner.platform {
            platform.close().await;
        }
    }
}

impl Inner {
    async fn route(&self, client: &ClientRef) -> Result<Arc<Tenant>> {
        self.follower.begin();
        self.routes
            .get_or_resolve(client, |asked| {
                Box::pin(self.look_up(client, ClientStatus::Active, asked))
            })
            .await
    }

    /// `None` where the name leads to nobody.
    async fn look_up(
        &self,
        client: &ClientRef,
        served: ClientStatus,
        asked: Asked,
    ) -> Result<Option<Arc<Tenant>>> {
        let Some(mut record) = self.directory.client(client).await? else {
            return Ok(None);
        };
        if record.status != served {
            return Err(Error::NotServed {
                client: record.id,
                status: record.status,
            });
        }
        self.follower.looked_up(record.id);
        let (database, pool) = match record.placement {
            Placement::Pool(pool) => {
                let database = self.pool(pool).await?;
                database.expect_version(record.id)?;
                (Database::Pool(database), Some(Change::Pool(pool)))
            }
            Placement::Dedicated => {
                let database = self.dedicated(&record).await?;
                database.expect_version().await?;
                (Database::Dedicated(database), None)
            }
        };
        self.tier_plans.share(&mut record);
        let made_of = [
            Some(Change::Client(record.id)),
            Some(Change::Tier(record.tier.clone())),
            pool,
        ];
        Ok(Some(Arc::new(Tenant {
            guards: Guards::from(&record.limits),
            fresh: self.freshness.found(asked, made_of),
            record,
            database,
            plans: Arc::clone(&self.plans),
            router: Weak::<Self>::clone(&self.this),
        })))
    }

    /// The pool database, opened if it is not, or not as it is now: once under concurrency, and the failure is
    /// shared as well.
    async fn pool(&self, id: PoolId) -> Result<Arc<PoolDatabase>> {
        let pool = self.pools.get_or_open(id, || self.describe(id)).await?;
        // Opened while the manager was being closed: it was not there to be closed with the others.
        if self.closed.load(Ordering::Acquire) {
            pool.close().await;
            return Err(Error::Closed);
        }
        Ok(pool)
    }

    async fn describe(&self, id: PoolId) -> Result<Pool<'_>> {
        let asked = self.freshness.ask();
        let (record, url) = self.credentials.pool(id).await?;
        Ok(Pool {
            inner: self,
            fresh: self.freshness.found(asked, [Some(Change::Pool(id)), None, None]),
            url,
            record,
        })
    }

    async fn dedicated(&self, record: &ClientRecord) -> Result<Arc<DedicatedDatabase>> {
        let url = self.credentials.dedicated(record).await?;
        let connect = connect_options(&url, &format!("client {}", record.id))?;
        Ok(self.dedicated.database(record.id, &url, connect))
    }
}

#[async_trait]
impl Router for Inner {
    fn relocation_wait(&self) -> Duration {
        self.relocation_wait
    }

    fn forget(&self, client: ClientId) {
        self.freshness.note(Change::Client(client));
    }

    async fn resolve(&self, client: ClientId, served: ClientStatus) -> Result<Arc<Tenant>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        // Whose set-up is not remembered: it is looked up each time.
        if served != ClientStatus::Active {
            let name = ClientRef::Id(client);
            let found = Box::pin(self.look_up(&name, served, self.freshness.ask())).await?;
            return found.ok_or(Error::UnknownClient { client: name });
        }
        Box::pin(self.route(&client.into())).await
    }
}

/// A pool as the directory has it now.
struct Pool<'a> {
    inner: &'a Inner,
    record: PoolRecord,
    url: SecretString,
    fresh: Fresh,
}

impl Described for Pool<'_> {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.url, self.record.binding.as_str())
    }

    async fn open(self) -> Result<(PoolDatabase, Fresh)> {
        let id = self.record.id;
        let connect = connect_options(&self.url, &format!("pool {id}"))?;
        let keys = Arc::new(PoolKey::of(id, &self.inner.credentials));
        let options = self.inner.pool_options.clone();
        let database = PoolDatabase::open(&self.record, connect, keys, options).await?;
        Ok((database, self.fresh))
    }

    async fn look_again(&self, database: &PoolDatabase) -> Result<()> {
        database.read_version().await
    }

    fn into_fresh(self) -> Fresh {
        self.fresh
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("pools", &self.pools.open_count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnectionManager")
            .field("pools", &self.inner.pools.open_count())
            .field("dedicated_pools", &self.open_dedicated_pools())
            .finish_non_exhaustive()
    }
}
