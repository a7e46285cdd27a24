use std::sync::Arc;

use super::kind::kind_of;
use super::{ErrorKind, is_connection_failure};

/// Why the tables of a database could not be made those of many clients, or not yet, or not be made as they were.
///
/// Whoever uses them goes on. The texts name no value of a row; what [`Unmatched`](Self::Unmatched) has beside its text
/// does, and so can the messages of PostgreSQL.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RetrofitError {
    /// What was found before anything was touched stands against it.
    #[error("the plan has findings that stop it: {}", findings.join("; "))]
    Stopped {
        /// Each finding as text.
        findings: Vec<String>,
    },
    /// The database has no kernel that knows of it: apply it.
    #[error("the database has no kernel of this version: apply it")]
    NoKernel,
    /// Nothing is under way.
    #[error("none is under way")]
    NotUnderWay,
    /// One is under way already: go on with that, or roll it back.
    #[error("one is under way already, and {state}")]
    UnderWay {
        /// How far it is.
        state: String,
    },
    /// What was asked for is not possible in this state.
    #[error("{what} is not possible: it is {state}")]
    OutOfState {
        /// What was asked for.
        what: &'static str,
        /// How far it is.
        state: String,
    },
    /// Another process is at it.
    #[error("another process is at it")]
    Taken,
    /// Rows match no rule. They are nobody's until a rule is made for them, or they are changed or removed.
    #[error("table {table}: {rows} rows match no rule")]
    Unmatched {
        /// The table, with its schema.
        table: String,
        /// How many.
        rows: i64,
        /// The primary keys of some of them, as JSON; where a table has none, whole rows.
        sample: Vec<String>,
    },
    /// Transactions in flight did not end in time. They go on.
    #[error("transactions in flight did not end in time: {}", blockers.join("; "))]
    NotDrained {
        /// The sessions that were waited for, each by its pid, its state and the age of its transaction.
        blockers: Vec<String>,
    },
    /// To go back would lose whose rows these are. Nothing was changed.
    #[error("to go back would lose whose rows these are: {}", rows.join("; "))]
    WouldLose {
        /// Each table, with the clients that have rows in it and how many.
        rows: Vec<String>,
    },
    /// The rows are not unique any more without their client, so the key of before cannot be had. Nothing was changed.
    #[error("table {table}: the rows do not satisfy the key {key} of before")]
    NotUnique {
        /// The table, with its schema.
        table: String,
        /// The constraint or index.
        key: String,
    },
    /// A statement failed.
    #[error("a statement failed")]
    Statement(#[source] Arc<sqlx::Error>),
}

impl RetrofitError {
    /// Whether going back is refused, with everything as it was.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::WouldLose { .. } | Self::NotUnique { .. })
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Stopped { .. } | Self::NoKernel => ErrorKind::Installation,
            Self::NotUnderWay | Self::UnderWay { .. } | Self::OutOfState { .. } => ErrorKind::Usage,
            Self::Taken | Self::NotDrained { .. } => ErrorKind::Temporary,
            Self::Unmatched { .. } | Self::WouldLose { .. } | Self::NotUnique { .. } => ErrorKind::Database,
            // Each step is done once, however often it is asked for.
            Self::Statement(source) if is_connection_failure(source) => ErrorKind::Temporary,
            Self::Statement(source) => kind_of(source),
        }
    }
}
