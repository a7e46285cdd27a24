use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgPoolOptions;

use crate::database::ConnectionOptions;
use crate::schema::KnownLeaks;
use crate::secret::{KeyProvider, Keys};

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
    pub(super) known_leaks: KnownLeaks,
    pub(super) security_definers: Vec<String>,
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
            record_ttl: Duration::from_secs(30),
            known_leaks: KnownLeaks::Warn,
            security_definers: Vec::new(),
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

    /// How long a route is remembered: a change of a client's record is seen after so long at the latest.
    /// Defaults to 30 seconds.
    #[must_use]
    pub fn record_ttl(mut self, ttl: Duration) -> Self {
        self.record_ttl = ttl;
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
}
