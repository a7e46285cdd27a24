use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::timeouts::{Timeouts, millis};
use crate::directory::Binding;
use crate::plan::Guards;

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
    pub(super) lock_timeout: Duration,
    pub(super) idle_in_transaction_timeout: Duration,
    pub(super) answer_grace: Duration,
    pub(super) slow_statement: Duration,
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
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_mins(1),
            answer_grace: Duration::from_secs(10),
            slow_statement: Duration::from_secs(1),
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

    /// How many connections are kept open though they are idle, at most as many as may be open at all. Defaults
    /// to 0.
    #[must_use]
    pub fn min_connections(mut self, connections: u32) -> Self {
        self.min_connections = connections;
        self
    }

    /// How many connections one client uses at once at most; zero counts as one. A client's plan can say less
    /// ([`Limit::MAX_CONNECTIONS`](crate::Limit::MAX_CONNECTIONS)). Defaults to all but one.
    #[must_use]
    pub fn max_client_share(mut self, connections: u32) -> Self {
        self.max_client_share = Some(connections.max(1));
        self
    }

    pub(super) fn client_share(&self, guards: &Guards) -> usize {
        let share = self
            .max_client_share
            .unwrap_or_else(|| self.max_connections.saturating_sub(1).max(1)) as usize;
        guards.max_connections.map_or(share, |most| most.clamp(1, share))
    }

    /// The timeouts that a client's statements run under.
    pub(super) fn timeouts(&self, guards: &Guards) -> Timeouts {
        let pool = Timeouts::from(self);
        Timeouts {
            statement: guards.statement_timeout.unwrap_or(pool.statement),
            lock: guards.lock_timeout.unwrap_or(pool.lock),
            idle_in_transaction: guards
                .idle_in_transaction_timeout
                .unwrap_or(pool.idle_in_transaction),
        }
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
    /// statement on the server, this does. A client's plan can say otherwise
    /// ([`Limit::STATEMENT_TIMEOUT_MS`](crate::Limit::STATEMENT_TIMEOUT_MS)). Defaults to 30 seconds.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// After how long the server ends a statement that waits for a lock; zero for never. A client's plan can
    /// say otherwise ([`Limit::LOCK_TIMEOUT_MS`](crate::Limit::LOCK_TIMEOUT_MS)). Defaults to 10 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// After how long the server ends a session that is idle inside a transaction; zero for never. A client's
    /// plan can say otherwise
    /// ([`Limit::IDLE_IN_TRANSACTION_TIMEOUT_MS`](crate::Limit::IDLE_IN_TRANSACTION_TIMEOUT_MS)). Defaults to
    /// a minute.
    #[must_use]
    pub fn idle_in_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.idle_in_transaction_timeout = timeout;
        self
    }

    /// How long an answer may take beyond the statement's timeout before its connection counts as lost: a
    /// network that swallows packets says nothing. Without a statement timeout nothing is lost that way, nor in a
    /// transaction whose statements set `statement_timeout` by themselves.
    /// Defaults to 10 seconds.
    #[must_use]
    pub fn answer_grace(mut self, grace: Duration) -> Self {
        self.answer_grace = grace;
        self
    }

    /// From how long on a statement is logged as slow, at level warn instead of debug; zero for never. See
    /// [`telemetry`](crate::telemetry). Defaults to a second.
    #[must_use]
    pub fn slow_statement(mut self, time: Duration) -> Self {
        self.slow_statement = time;
        self
    }

    /// The search path of every connection, as PostgreSQL spells it. Defaults to `public`.
    #[must_use]
    pub fn search_path(mut self, path: impl Into<String>) -> Self {
        self.search_path = path.into();
        self
    }

    /// How to connect, and what every session is told at its start.
    ///
    /// Settings in the startup packet outrank those that the app role may have stored for itself with
    /// `alter role`, and are what RESET ALL returns to. A transaction pooler takes none: there each transaction
    /// is told ([`pins`](Self::pins)).
    pub(super) fn pin(&self, connect: PgConnectOptions, binding: Binding) -> PgConnectOptions {
        // Statements are not logged by sqlx here: those that bind hold tickets. The rest has a log of our own.
        let connect = connect.application_name(APPLICATION).disable_statement_logging();
        match binding {
            Binding::Session => connect.options(self.pinned()),
            Binding::Transaction => connect.extra_float_digits(None).statement_cache_capacity(0),
        }
    }

    /// Sets what [`pin`](Self::pin) cannot, for one transaction.
    pub(super) fn pins(&self) -> String {
        let pins = self
            .pinned()
            .into_iter()
            // Begun already.
            .filter(|(name, _)| !name.starts_with("default_transaction"))
            // What sqlx says at the start of a session, and the pooler may have said to another.
            .chain([
                ("TimeZone", "UTC".to_owned()),
                ("DateStyle", "ISO, MDY".to_owned()),
                ("client_encoding", "UTF8".to_owned()),
                ("application_name", APPLICATION.to_owned()),
            ])
            .map(|(name, value)| set_config(name, &value, true));
        pins.collect::<Vec<_>>().join(", ")
    }

    fn pinned(&self) -> [(&'static str, String); 11] {
        let timeout = |timeout| millis(timeout).to_string();
        [
            ("search_path", self.search_path.clone()),
            ("statement_timeout", timeout(self.statement_timeout)),
            ("lock_timeout", timeout(self.lock_timeout)),
            (
                "idle_in_transaction_session_timeout",
                timeout(self.idle_in_transaction_timeout),
            ),
            ("row_security", "on".to_owned()),
            ("default_transaction_isolation", "read committed".to_owned()),
            ("default_transaction_read_only", "off".to_owned()),
            ("default_transaction_deferrable", "off".to_owned()),
            ("plan_cache_mode", "auto".to_owned()),
            ("check_function_bodies", "on".to_owned()),
            ("standard_conforming_strings", "on".to_owned()),
        ]
    }
}

/// How the sessions of this crate are named in `pg_stat_activity`.
const APPLICATION: &str = "tenantry";

/// The call that sets a setting, for the session or the transaction.
pub(super) fn set_config(name: &str, value: &str, local: bool) -> String {
    let value = value.replace('\'', "''");
    format!("pg_catalog.set_config('{name}', '{value}', {local})")
}
