use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgPoolOptions;

use crate::database::ConnectionOptions;
use crate::directory::Following;
use crate::plan::Limit;
use crate::schema::KnownLeaks;
use crate::secret::{KeyProvider, Keys};
use crate::usage::PlanOptions;

/// What a [`ClientConnectionManager`](super::ClientConnectionManager) needs, and its bounds.
///
/// The platform URL and the keys have no defaults and no environment variables that stand in for them.
#[derive(Clone, Debug)]
pub struct ManagerOptions {
    pub(super) platform_url: SecretString,
    pub(super) keys: Keys,
    pub(super) pool_connections: ConnectionOptions,
    pub(super) dedicated_pool: PgPoolOptions,
    pub(super) max_dedicated_pools: u32,
    pub(super) dedicated_wait: Duration,
    pub(super) max_cached_clients: u64,
    pub(super) record_ttl: Duration,
    pub(super) unknown_ttl: Duration,
    pub(super) max_staleness: Duration,
    pub(super) relocation_wait: Duration,
    pub(super) following: Following,
    pub(super) known_leaks: KnownLeaks,
    pub(super) security_definers: Vec<String>,
    pub(super) minimum_host_version: Option<i64>,
    pub(super) plans: PlanOptions,
}

impl ManagerOptions {
    /// The platform database's URL, and the keys that its credentials are sealed with, such as a
    /// [`Keyring`](crate::Keyring).
    pub fn new(platform_url: impl Into<SecretString>, keys: impl KeyProvider + 'static) -> Self {
        Self {
            platform_url: platform_url.into(),
            keys: Keys::of(keys),
            pool_connections: ConnectionOptions::default(),
            dedicated_pool: PgPoolOptions::new()
                .max_connections(5)
                .acquire_timeout(Duration::from_secs(10)),
            max_dedicated_pools: 50,
            dedicated_wait: Duration::from_secs(10),
            max_cached_clients: 100_000,
            record_ttl: Duration::from_mins(5),
            unknown_ttl: Duration::from_secs(1),
            max_staleness: Duration::from_secs(30),
            relocation_wait: Duration::from_secs(5),
            following: Following::default(),
            known_leaks: KnownLeaks::Warn,
            security_definers: Vec::new(),
            minimum_host_version: None,
            plans: PlanOptions::default(),
        }
    }

    /// The connections to each pool database. Defaults to [`ConnectionOptions::default`].
    #[must_use]
    pub fn pool_connections(mut self, options: ConnectionOptions) -> Self {
        self.pool_connections = options;
        self
    }

    /// The pool of each dedicated database, in sqlx's own options. Defaults to 5 connections at most, each
    /// waited for up to 10 seconds.
    #[must_use]
    pub fn dedicated_pool(mut self, options: PgPoolOptions) -> Self {
        self.dedicated_pool = options;
        self
    }

    /// How many dedicated databases have an open pool at most; the least recently used idle one makes room,
    /// one in use never. Zero counts as one. Defaults to 50.
    #[must_use]
    pub fn max_dedicated_pools(mut self, pools: u32) -> Self {
        self.max_dedicated_pools = pools.max(1);
        self
    }

    /// How long a client waits for room where every dedicated pool is in use. Defaults to 10 seconds.
    #[must_use]
    pub fn dedicated_wait(mut self, wait: Duration) -> Self {
        self.dedicated_wait = wait;
        self
    }

    /// How many routes are remembered at most. A client has one for each way it is named by. Defaults to
    /// 100,000.
    #[must_use]
    pub fn max_cached_clients(mut self, clients: u64) -> Self {
        self.max_cached_clients = clients;
        self
    }

    /// How long a route is remembered, though nothing was heard of a change; from a minute on, up to
    /// two seconds longer. Defaults to 5 minutes.
    #[must_use]
    pub fn record_ttl(mut self, ttl: Duration) -> Self {
        self.record_ttl = ttl;
        self
    }

    /// How long it is remembered that a name leads to nobody; any change of a client ends it, too. Defaults to 1
    /// second.
    #[must_use]
    pub fn unknown_ttl(mut self, ttl: Duration) -> Self {
        self.unknown_ttl = ttl;
        self
    }

    /// How old a route may be, of handles that are held as well, while changes of the directory are not heard of: a
    /// change is in force after so long at the latest, and so long the clients in use are served though the
    /// platform database does not answer. Where changes are heard of, they are in force as soon as they are
    /// committed. Defaults to 30 seconds.
    #[must_use]
    pub fn max_staleness(mut self, age: Duration) -> Self {
        self.max_staleness = age;
        self
    }

    /// How long a statement by itself, and a beginning transaction, wait for a client that is being relocated, before
    /// they answer [`Error::Relocating`](crate::Error::Relocating) or [`Error::Moved`](crate::Error::Moved). Defaults
    /// to 5 seconds.
    #[must_use]
    pub fn relocation_wait(mut self, wait: Duration) -> Self {
        self.relocation_wait = wait;
        self
    }

    /// How changes of the platform database are followed. Defaults to [`Following::default`].
    #[must_use]
    pub fn following(mut self, following: Following) -> Self {
        self.following = following;
        self
    }

    /// What to do about server and extension versions with known leaks. Defaults to [`KnownLeaks::Warn`].
    #[must_use]
    pub fn known_leaks(mut self, known_leaks: KnownLeaks) -> Self {
        self.known_leaks = known_leaks;
        self
    }

    /// Functions of pool databases that [`Rpc`](crate::Rpc) may call although they run with their owner's rights
    /// (SECURITY DEFINER): past row-level security, where nothing but their own text keeps one client from
    /// another's rows. They are told who calls by a parameter `p_client_id`, as any function is. Defaults to none.
    #[must_use]
    pub fn allow_security_definer<F: Into<String>>(mut self, functions: impl IntoIterator<Item = F>) -> Self {
        self.security_definers
            .extend(functions.into_iter().map(Into::into));
        self
    }

    /// The oldest of the host's migrations that this program can serve from: the clients of a database that is older are
    /// refused with [`Error::SchemaTooOld`](crate::Error::SchemaTooOld), when it is opened, and as soon as a roll back of
    /// the [`Fleet`](crate::Fleet) takes it there. The databases are asked, as they are opened and as their changes are
    /// heard of, and not for a statement. Defaults to none.
    #[must_use]
    pub fn minimum_host_version(mut self, version: i64) -> Self {
        self.minimum_host_version = Some(version);
        self
    }

    /// Declares that the rows of a table count towards a limit; those of several tables may count towards one. Every
    /// insert of the builder into it is then held to the limit of its client, in the transaction of the write:
    /// creators at once end at exactly as many as are allowed, in any number of processes, on both placements. For
    /// other writes there is [`TenantTx::reserve`](crate::TenantTx::reserve). Defaults to none.
    ///
    /// It costs an insert by itself four round trips more, one in a transaction two, where its client is limited; else
    /// nothing. Creators of one client wait for each other, until the transaction that they write in ends.
    ///
    /// ```no_run
    /// # fn example(options: tenantry::ManagerOptions) {
    /// use tenantry::Limit;
    ///
    /// let options = options.counts("documents", Limit::MAX_DOCUMENTS).counts("agents", Limit::MAX_AGENTS);
    /// # }
    /// ```
    #[must_use]
    pub fn counts(mut self, table: impl Into<String>, limit: Limit) -> Self {
        self.plans.counted.add(table.into(), limit);
        self
    }

    /// How many calls of a client's month a process takes at once, of each metered limit; fewer near the limit. So
    /// many at most are lost by a crash, and count as used. Zero counts as one. Defaults to 100.
    #[must_use]
    pub fn meter_block(mut self, calls: u32) -> Self {
        self.plans.meter_block = calls;
        self
    }

    /// How many meters are kept, and how many rates: one for each client and limit that was asked for. Idle ones make
    /// room; a meter gives back what it did not use. Defaults to 100,000.
    #[must_use]
    pub fn max_meters(mut self, meters: usize) -> Self {
        self.plans.max_meters = meters;
        self
    }
}
