use std::sync::Arc;
use std::time::Duration;

use super::{ErrorKind, is_connection_failure};

/// Why a database of the fleet could not be migrated or rolled back, or none was.
///
/// What was applied before stays, each migration as a whole. `set` is `kernel` or `host`.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// Another process migrates the fleet or rolls it back.
    #[error("another process is at it")]
    Busy,
    /// No pool and no client with a database of its own goes by this name.
    #[error("no database of the fleet is named {name}")]
    UnknownDatabase {
        /// The name that a ring gives.
        name: String,
    },
    /// A migration has no way back, so nothing was rolled back.
    #[error("migration {version} has no down migration")]
    NoWayBack {
        /// Its version.
        version: i64,
    },
    /// Somebody else migrates the database for longer than may be waited.
    #[error("somebody else migrates it, and did not end within {} ms", waited.as_millis())]
    Locked {
        /// How long it was waited for.
        waited: Duration,
    },
    /// A migration that was applied is not the one that is given now.
    #[error("the {set} migration {version} was changed after it was applied")]
    Changed {
        /// Which set.
        set: &'static str,
        /// Its version.
        version: i64,
    },
    /// A migration was applied that is not among those given: by a newer version of the program, perhaps.
    #[error("the {set} migration {version} was applied and is not known here")]
    Unknown {
        /// Which set.
        set: &'static str,
        /// Its version.
        version: i64,
    },
    /// A migration that runs without a transaction began and did not end: look at what there is of it, and
    /// [`settle`](crate::Fleet::settle) it.
    #[error("the host migration {version} is half applied: it runs without a transaction and did not end")]
    HalfApplied {
        /// Its version.
        version: i64,
        /// Why it did not end; `None` where that was another time.
        #[source]
        source: Option<Arc<sqlx::Error>>,
    },
    /// No migration of that version is half applied.
    #[error("no host migration {version} is half applied")]
    NotHalfApplied {
        /// The version that was asked for.
        version: i64,
    },
    /// A migration could not lock what it changes, however often it was tried. It did nothing.
    #[error("the {set} migration {version} did not have its locks in {attempts} attempts")]
    Contended {
        /// Which set.
        set: &'static str,
        /// Its version.
        version: i64,
        /// How often it was tried.
        attempts: u32,
        /// What the database said last.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A migration took longer than it may. It did nothing, or is half applied where it runs without a transaction.
    #[error("the {set} migration {version} did not end within {} s", after.as_secs_f64())]
    TimedOut {
        /// Which set.
        set: &'static str,
        /// Its version.
        version: i64,
        /// The bound.
        after: Duration,
    },
    /// A migration failed.
    #[error("the {set} migration {version} failed")]
    Failed {
        /// Which set.
        set: &'static str,
        /// Its version.
        version: i64,
        /// What the database or the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
}

impl FleetError {
    pub(super) fn database(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::HalfApplied { source, .. } => source.as_ref()?.as_database_error(),
            Self::Contended { source, .. } | Self::Failed { source, .. } => source.as_database_error(),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy | Self::Locked { .. } | Self::Contended { .. } => ErrorKind::Temporary,
            Self::Failed { source, .. } if is_connection_failure(source) => ErrorKind::Temporary,
            Self::UnknownDatabase { .. } | Self::NoWayBack { .. } | Self::NotHalfApplied { .. } => {
                ErrorKind::Usage
            }
            Self::Changed { .. }
            | Self::Unknown { .. }
            | Self::HalfApplied { .. }
            | Self::TimedOut { .. }
            | Self::Failed { .. } => ErrorKind::Installation,
        }
    }
}
