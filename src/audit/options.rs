use std::time::Duration;

/// How databases are audited.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    pub(super) databases_at_once: usize,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) left_out: Vec<(String, String)>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            databases_at_once: 2,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            left_out: Vec::new(),
        }
    }
}

impl AuditOptions {
    /// How many databases are audited at once, over one connection each; at least one. Defaults to 2.
    #[must_use]
    pub fn databases_at_once(mut self, databases: usize) -> Self {
        self.databases_at_once = databases.max(1);
        self
    }

    /// How long a database is waited for until it lets the admin role in. Defaults to 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one statement may take; at least one millisecond. Defaults to 30 seconds.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long whoever locks a table is waited for; at least one millisecond. Defaults to 5 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// A finding that is known and accepted, by its id and object as a report tells them: it is left out of reports,
    /// and counted there. May be said of several. Defaults to none.
    #[must_use]
    pub fn accept(mut self, id: impl Into<String>, object: impl Into<String>) -> Self {
        self.left_out.push((id.into(), object.into()));
        self
    }
}
