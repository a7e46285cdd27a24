use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::database::FleetDatabase;
use crate::client::ClientId;
use crate::error::Error;

/// What a run did. Call it again to go on where it did not complete: what is done is not done again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FleetReport {
    /// Its number in the log; `None` where there was nothing to do.
    pub run: Option<Uuid>,
    /// How it ended.
    pub end: FleetEnd,
    /// The databases that were brought there.
    pub done: Vec<FleetDatabase>,
    /// How many were there already, by what the platform knows or when they were asked.
    pub current: usize,
    /// Those that failed, each left where its last whole migration brought it.
    pub failed: Vec<FailedDatabase>,
    /// Those that have to wait.
    pub deferred: Vec<DeferredDatabase>,
    /// How many were not begun, in rings that the run did not come to or end.
    pub not_begun: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetEnd {
    /// All its rings were gone through.
    Completed,
    /// A database failed.
    Stopped,
    /// More of a ring failed than may.
    Paused {
        /// The ring, by its name.
        ring: String,
    },
}

/// A database that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedDatabase {
    /// Which.
    pub database: FleetDatabase,
    /// Why.
    pub error: Error,
}

/// A database that has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeferredDatabase {
    /// Which.
    pub database: FleetDatabase,
    /// What for.
    pub why: Deferral,
}

/// Why a database has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deferral {
    /// A client is being relocated from or to it, which ends at a change of its tables: complete, cancel or revert that
    /// first.
    Relocating {
        /// The client.
        client: ClientId,
    },
    /// It has no kernel: an older system made it, and it is served as it is. See
    /// [`apply_to_dedicated`](crate::schema::apply_to_dedicated).
    NotInstalled,
}

impl FleetReport {
    pub(super) const fn of_nothing(current: usize) -> Self {
        Self {
            run: None,
            end: FleetEnd::Completed,
            done: Vec::new(),
            current,
            failed: Vec::new(),
            deferred: Vec::new(),
            not_begun: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// Whether every database of its rings is there now.
    pub fn is_complete(&self) -> bool {
        self.end == FleetEnd::Completed && self.failed.is_empty() && self.deferred.is_empty()
    }
}

impl FleetEnd {
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Paused { .. } => "paused",
        }
    }
}

impl fmt::Display for Deferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relocating { client } => write!(f, "client {client} is being relocated from or to it"),
            Self::NotInstalled => f.write_str("it has no kernel"),
        }
    }
}
