use std::sync::Arc;
use std::time::Duration;

use super::{ErrorKind, kind_of};
use crate::client::ClientId;

/// Why what clients take up could not be told.
///
/// Nothing was changed with any of them. No variant holds a value of a row.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FootprintError {
    /// Counting a table took longer than a statement may.
    #[error("counting client {client} in table {table} took longer than {after:?}")]
    TimedOut {
        /// Whose rows were counted.
        client: ClientId,
        /// The table, with its schema.
        table: String,
        /// How long it may take.
        after: Duration,
    },
    /// The admin role is held back by row-level security: it would be told of no rows, and of no statistics.
    #[error("row-level security hides table {table} from the admin role")]
    Hidden {
        /// The table, with its schema.
        table: String,
    },
    /// The database refused a statement, or the connection was lost while it ran.
    #[error("{step} failed")]
    Statement {
        /// What was being done.
        step: String,
        /// What the database or the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
}

impl FootprintError {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut { .. } => ErrorKind::Database,
            Self::Hidden { .. } => ErrorKind::Installation,
            Self::Statement { source, .. } => kind_of(source),
        }
    }
}
