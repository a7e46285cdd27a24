use std::time::Duration;

/// How footprints are taken.
#[derive(Clone, Debug)]
pub struct FootprintOptions {
    pub(super) latest_by: Option<String>,
    pub(super) left_out: Vec<String>,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) databases_at_once: usize,
}

impl Default for FootprintOptions {
    fn default() -> Self {
        Self {
            latest_by: None,
            left_out: Vec::new(),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            databases_at_once: 2,
        }
    }
}

impl FootprintOptions {
    /// The column that says when a row last changed, such as `updated_at`, in each table that has it as a `timestamptz`.
    /// Defaults to none: when a client last changed anything is then not known.
    #[must_use]
    pub fn latest_by(mut self, column: impl Into<String>) -> Self {
        self.latest_by = Some(column.into());
        self
    }

    /// Tables, as `schema.name`, that are not the client's, though they are neither shared nor the ledger of the
    /// host's migrations. Defaults to none.
    #[must_use]
    pub fn leave_out<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.left_out = tables.into_iter().map(Into::into).collect();
        self
    }

    /// How long one statement may take: to count one table, or to read the statistics of a database. At least one
    /// millisecond. Defaults to 30 seconds.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long whoever locks a table is waited for. At least one millisecond. Defaults to 5 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a database is waited for until it lets the admin role in. Defaults to 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many databases are asked at once, over one connection each; at least one. Defaults to 2.
    #[must_use]
    pub fn databases_at_once(mut self, databases: usize) -> Self {
        self.databases_at_once = databases.max(1);
        self
    }
}
