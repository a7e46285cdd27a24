use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BadRecord, Error, ErrorKind, RepositoryError};

/// Why JSON files could not be imported, backed up or restored. No variant holds a value of a record but its key.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// A file or folder could not be read or written.
    #[error("{step} failed")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A record cannot be taken, and none was to be left out. Batches before its own are imported.
    #[error("{0}")]
    BadRecord(Box<BadRecord>),
    /// The target of an import failed. Batches before are imported: run it again to go on.
    #[error("the target failed")]
    Target(#[source] RepositoryError),
    /// There is a backup of that name, or a folder where one is to be restored. Nothing was written.
    #[error("it is there already")]
    AlreadyThere,
    /// Somebody else is at it.
    #[error("somebody else is making a backup there")]
    Busy,
    /// What is there is no backup that was finished.
    #[error("it is no finished backup: {reason}")]
    NoBackup {
        /// What is missing or wrong.
        reason: &'static str,
    },
    /// Files of a backup are not what was backed up, or those that were copied are not.
    #[error("{} files are not what was backed up: {}", files.len(), files.join(", "))]
    Damaged {
        /// The files, each with what is wrong.
        files: Vec<String>,
    },
    /// A name that is no plain name of a folder.
    #[error("a backup is not named like that")]
    BadName,
}

impl JsonError {
    pub(crate) fn io(step: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io {
            step,
            source: Arc::new(source),
        }
    }

    pub(crate) fn of(self, path: impl AsRef<Path>) -> Error {
        Error::Json {
            path: PathBuf::from(path.as_ref()),
            source: Box::new(self),
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::BadRecord(_) | Self::NoBackup { .. } | Self::Damaged { .. } => {
                ErrorKind::Installation
            }
            Self::Target(source) => source.kind(),
            Self::Busy => ErrorKind::Temporary,
            Self::AlreadyThere | Self::BadName => ErrorKind::Usage,
        }
    }
}
