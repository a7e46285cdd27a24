use std::time::Duration;

/// How a pool database is attacked.
#[derive(Clone, Debug)]
pub struct AttackOptions {
    pub(super) time: Duration,
    pub(super) table_time: Duration,
    pub(super) transaction_time: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) max_tables: usize,
    pub(super) max_functions: usize,
    pub(super) tries_per_row: usize,
    pub(super) triggered_tables: Attacked,
    pub(super) functions: Attacked,
    pub(super) left_out: Vec<String>,
}

/// Whether something is attacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Attacked {
    /// It is.
    #[default]
    Yes,
    /// It is left out, and the report says so.
    LeftOut,
}

impl Default for AttackOptions {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(2),
            table_time: Duration::from_secs(5),
            transaction_time: Duration::from_millis(50),
            statement_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_millis(100),
            max_tables: 1_000,
            max_functions: 500,
            tries_per_row: 4,
            triggered_tables: Attacked::Yes,
            functions: Attacked::Yes,
            left_out: Vec::new(),
        }
    }
}

impl AttackOptions {
    /// How long all of it takes at most. What was not attacked by then is a finding (`attack.inconclusive`). Defaults
    /// to 2 minutes.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// How long one table, view or function takes at most. Defaults to 5 seconds.
    #[must_use]
    pub fn table_time(mut self, time: Duration) -> Self {
        self.table_time = time;
        self
    }

    /// After how long a transaction is rolled back and the next attack made in another: no lock is held longer, but
    /// by the one statement that runs then. Defaults to 50 milliseconds.
    #[must_use]
    pub fn transaction_time(mut self, time: Duration) -> Self {
        self.transaction_time = time;
        self
    }

    /// After how long the server ends a statement; what it would have found is not known then
    /// (`attack.inconclusive`). Defaults to a second.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long a lock is waited for. Defaults to 100 milliseconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How many tables are attacked at most, in order of their references. Those beyond are a finding
    /// (`attack.inconclusive`). Defaults to 1,000.
    #[must_use]
    pub fn max_tables(mut self, tables: usize) -> Self {
        self.max_tables = tables;
        self
    }

    /// How many functions are called at most. Those beyond are a finding (`attack.inconclusive`). Defaults to 500.
    #[must_use]
    pub fn max_functions(mut self, functions: usize) -> Self {
        self.max_functions = functions;
        self
    }

    /// How many rows are made up for a table, one after the other, until one is taken; zero counts as one. Defaults
    /// to 4.
    #[must_use]
    pub fn tries_per_row(mut self, tries: usize) -> Self {
        self.tries_per_row = tries.max(1);
        self
    }

    /// Whether tables with triggers of the host's are attacked. Those triggers fire as for any row, and what they do
    /// in the database is rolled back; what they do outside it is not. Defaults to [`Attacked::Yes`].
    #[must_use]
    pub fn triggered_tables(mut self, attacked: Attacked) -> Self {
        self.triggered_tables = attacked;
        self
    }

    /// Whether the host's functions are called. What they do in the database is rolled back; what they do outside it
    /// is not. Defaults to [`Attacked::Yes`].
    #[must_use]
    pub fn functions(mut self, attacked: Attacked) -> Self {
        self.functions = attacked;
        self
    }

    /// Leaves out tables, views and functions by their names, with their schema. Defaults to none.
    #[must_use]
    pub fn leave_out<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.left_out.extend(names.into_iter().map(Into::into));
        self
    }
}
