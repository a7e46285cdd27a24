use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{BadRecord, Error, ErrorKind};

/// Why a [`Repository`](crate::Repository) did not do what it was asked.
///
/// It matters whether something may have been written: only of [`Unknown`](Self::Unknown) and [`Io`](Self::Io) that is
/// not sure. What is displayed holds no value of a record but its key; what a database says, which is the source of
/// some, can: it is not logged, and not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// A record of that key is there already.
    #[error("there is a record {key} already")]
    Exists {
        /// The key.
        key: String,
    },
    /// No record of that key is there.
    #[error("there is no record {key}")]
    Missing {
        /// The key.
        key: String,
    },
    /// What is stored is no record, or not the one that it is filed as.
    #[error("{place} holds no record that can be read: {reason}")]
    Damaged {
        /// The file, with line and column where they are known, or the table and key.
        place: String,
        /// What is wrong with it, without its values.
        reason: String,
    },
    /// A file holds what is no record, or not the one that it is filed as.
    #[error("{0}")]
    BadFile(Box<BadRecord>),
    /// Somebody else was at it for as long as was waited.
    #[error("others are at {what} for longer than {waited:?}")]
    Busy {
        /// The file.
        what: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// A file could not be read or written. Of a write it is not sure whether it is there.
    #[error("{} failed at {step}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Nothing was written: the store refused it.
    #[error("refused{}", known_of(source))]
    Refused {
        /// What it said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// It is not known whether something was written, as where the connection was lost.
    #[error("failed, and may have taken effect{}", known_of(source))]
    Unknown {
        /// What it said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl RepositoryError {
    /// The store refused it, and nothing was written.
    pub fn refused(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Refused {
            source: Arc::new(source),
        }
    }

    /// It failed, and what was to be written may be there.
    pub fn unknown(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unknown {
            source: Arc::new(source),
        }
    }

    /// Whether nothing was written for sure.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Unknown { .. })
    }

    /// Whether what is stored cannot be read.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::BadFile(_))
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } | Self::Missing { .. } | Self::Refused { .. } => ErrorKind::Database,
            Self::Damaged { .. } | Self::BadFile(_) => ErrorKind::Installation,
            Self::Busy { .. } => ErrorKind::Temporary,
            Self::Io { .. } | Self::Unknown { .. } => ErrorKind::Ambiguous,
        }
    }
}

/// What can be told of an error without its text, which may quote what was written: the kind, SQLSTATE and constraint.
fn known_of(source: &Arc<dyn std::error::Error + Send + Sync>) -> String {
    let source: &(dyn std::error::Error + 'static) = &**source;
    let Some(error) = source.downcast_ref::<Error>() else {
        return String::new();
    };
    let mut known = format!(" ({:?}", error.kind()).to_lowercase();
    if let Some(state) = error.sqlstate() {
        known.push_str(", SQLSTATE ");
        known.push_str(&state);
    }
    if let Some(constraint) = error.constraint() {
        known.push_str(", constraint ");
        known.push_str(constraint);
    }
    known.push(')');
    known
}
