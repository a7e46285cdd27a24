use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// The connections to one pool database.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    pub(super) max_connections: u32,
    pub(super) min_connections: u32,
    pub(super) max_client_share: Option<u32>,
    pub(super) acquire_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) search_path: String,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            max_connections: 10,
            min_connections: 0,
            max_client_share: None,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(10),
            max_lifetime: Duration::from_mins(30),
            statement_timeout: Duration::from_secs(30),
            search_path: "public".to_owned(),
        }
    }
}

impl ConnectionOptions {
    /// How many connections one process opens to a pool database at most; zero counts as one. Defaults to 10.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How many connections stay open though they are idle. Defaults to 0.
    #[must_use]
    pub fn min_connections(mut self, connections: u32) -> Self {
        self.min_connections = connections;
        self
    }

    /// How many connections one client uses at once at most; zero counts as one. Defaults to all but one.
    #[must_use]
    pub fn max_client_share(mut self, connections: u32) -> Self {
        self.max_client_share = Some(connections.max(1));
        self
    }

    pub(super) fn client_share(&self) -> usize {
        self.max_client_share
            .unwrap_or_else(|| self.max_connections.saturating_sub(1).max(1)) as usize
    }

    /// How long a statement or transaction waits for a connection. Defaults to 30 seconds.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long connecting may take. Defaults to 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// After how long an unused connection is closed. Defaults to 10 minutes.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// After how long a connection is closed instead of used again. Defaults to 30 minutes.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// After how long the server ends a statement; zero for never. A dropped future does not end its
    /// statement on the server, this does. Defaults to 30 seconds.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// The search path of every connection, as PostgreSQL spells it. Defaults to `public`.
    #[must_use]
    pub fn search_path(mut self, path: impl Into<String>) -> Self {
        self.search_path = path.into();
        self
    }

    /// Settings in the startup packet outrank those that the app role may have stored for itself with
    /// `alter role`, and are what RESET ALL returns to.
    pub(super) fn pin(&self, connect: PgConnectOptions) -> PgConnectOptions {
        // Statements are not logged by sqlx here: those of the library hold tickets.
        connect
            .application_name("tenantry")
            .disable_statement_logging()
            .options([
                ("search_path", self.search_path.as_str()),
                (
                    "statement_timeout",
                    &self.statement_timeout.as_millis().to_string(),
                ),
                ("row_security", "on"),
                ("default_transaction_isolation", "read committed"),
                ("default_transaction_read_only", "off"),
                ("default_transaction_deferrable", "off"),
                ("plan_cache_mode", "auto"),
                ("check_function_bodies", "on"),
            ])
    }
}
