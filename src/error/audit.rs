use std::sync::Arc;

use super::{ErrorKind, kind_of};

/// Why a database could not be audited, or is not what an audit demands.
///
/// Nothing was changed with any of them. No variant holds a value of a row.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It was to be clean, and is not.
    #[error("{} by which clients are not kept apart:\n{}", count(found.len()), found.join("\n"))]
    NotClean {
        /// Each finding as one line, the worst first.
        found: Vec<String>,
    },
    /// There is no role of that name on the server.
    #[error("there is no role {role}")]
    UnknownRole {
        /// The name.
        role: String,
    },
    /// Neither the caller nor the kernel names the role that clients are served by.
    #[error("it is not known which role clients are served by: its kernel names none")]
    NoAppRole,
    /// Somebody else attacks the database at the moment.
    #[error("it is attacked by another audit")]
    UnderWay,
    /// The catalogue says something that this version does not understand.
    #[error("{what} is not understood")]
    Unreadable {
        /// What it says, and where.
        what: String,
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

impl AuditError {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::NotClean { .. } | Self::UnknownRole { .. } | Self::NoAppRole | Self::Unreadable { .. } => {
                ErrorKind::Installation
            }
            Self::UnderWay => ErrorKind::Temporary,
            Self::Statement { source, .. } => kind_of(source),
        }
    }
}

fn count(findings: usize) -> String {
    match findings {
        1 => "1 thing was found".to_owned(),
        more => format!("{more} things were found"),
    }
}
