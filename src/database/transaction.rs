use std::borrow::Cow;

/// How a transaction is begun; see [`TenantDb::begin_with`](crate::TenantDb::begin_with).
///
/// ```
/// use tenantry::{Isolation, TransactionOptions};
///
/// let options = TransactionOptions::default().isolation(Isolation::Serializable).read_only();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionOptions {
    isolation: Isolation,
    read_only: bool,
    /// So many candidates are looked at by an approximate index that it is for.
    search: Option<u16>,
}

/// What a transaction sees of those beside it, as PostgreSQL has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the first. A write of a row that another has changed
    /// since fails, and so does beginning on a pool database while the client is relocated
    /// ([`Error::is_retryable`](crate::Error::is_retryable)).
    RepeatableRead,
    /// As if one transaction ran after the other; one that cannot be put in an order fails.
    Serializable,
}

impl TransactionOptions {
    /// What it sees of others. Defaults to [`Isolation::ReadCommitted`].
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Refuses writes. Defaults to admitting them.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Whether the fence of each statement is enough: a snapshot that is older than the fence sees nothing of it,
    /// so it has to be taken by who enters.
    pub(crate) fn is_fenced_by_statements(self) -> bool {
        self.isolation == Isolation::ReadCommitted
    }

    /// Isolation is said, so that no stored default of a role decides it.
    pub(crate) const fn begin(self) -> &'static str {
        match self.isolation {
            Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
            Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE",
            Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        }
    }

    /// One that searches by an approximate index.
    pub(crate) fn search(candidates: u16) -> Self {
        Self {
            search: Some(candidates),
            ..Self::default().read_only()
        }
    }

    /// Binding a session writes to sequences, so a transaction turns read-only after it.
    pub(crate) fn after_begin(self) -> Option<Cow<'static, str>> {
        match (self.search, self.read_only) {
            (Some(candidates), _) => {
                Some(format!("SET TRANSACTION READ ONLY; {}", search(candidates)).into())
            }
            (None, true) => Some("SET TRANSACTION READ ONLY".into()),
            (None, false) => None,
        }
    }
}

/// The settings of a search by an approximate index: it goes on until enough rows pass the other conditions, and
/// without sorting the planner, which cannot price that, has no other choice.
pub(crate) fn search(candidates: u16) -> String {
    format!(
        "SET LOCAL hnsw.ef_search = {candidates}; SET LOCAL hnsw.iterative_scan = relaxed_order; \
         SET LOCAL enable_sort = off; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off"
    )
}
