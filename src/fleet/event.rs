use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use super::database::FleetDatabase;
use super::history::MigrationDirection;
use super::report::{Deferral, FleetReport};
use crate::error::{Error, Result};

/// How far a run is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FleetEvent {
    /// It is known what there is to do.
    Began {
        /// How many databases there are in its rings.
        databases: usize,
        /// How many of them are not known to be there.
        pending: usize,
    },
    /// A ring began.
    RingBegan {
        /// Its name.
        ring: String,
        /// How many databases of it are not known to be there.
        pending: usize,
    },
    /// A database is connected to.
    DatabaseBegan {
        /// Which.
        database: FleetDatabase,
    },
    /// A migration was applied or rolled back.
    Migrated {
        /// Where.
        database: FleetDatabase,
        /// Which set: `kernel` or `host`.
        set: &'static str,
        /// The migration.
        version: i64,
        /// Which way.
        direction: MigrationDirection,
        /// How long it took.
        elapsed: Duration,
    },
    /// A migration did not have its locks, and is tried again.
    Contended {
        /// Where.
        database: FleetDatabase,
        /// The migration.
        version: i64,
        /// How often it was tried.
        attempts: u32,
    },
    /// A database is where it is to be.
    DatabaseDone {
        /// Which.
        database: FleetDatabase,
        /// How many migrations that took.
        migrations: usize,
    },
    /// A database has to wait.
    DatabaseDeferred {
        /// Which.
        database: FleetDatabase,
        /// What for.
        why: Deferral,
    },
    /// A database failed.
    DatabaseFailed {
        /// Which.
        database: FleetDatabase,
        /// Why.
        error: Error,
    },
    /// The run ended; the last event.
    Ended(FleetReport),
}

/// A run and its events. The work is done while they are asked for: it stands still while nobody does, and dropped, the
/// run ends where it is.
///
/// An error is the last that comes: the platform database failed, or another process is at it.
#[must_use = "nothing is done unless its events are asked for"]
pub struct FleetEvents {
    pub(super) events: BoxStream<'static, Result<FleetEvent>>,
}

impl FleetEvents {
    /// Goes through to the end.
    ///
    /// # Errors
    /// The error that the events ended with.
    ///
    /// # Cancel safety
    /// As dropping the events.
    pub async fn report(mut self) -> Result<FleetReport> {
        while let Some(event) = self.events.next().await {
            if let FleetEvent::Ended(report) = event? {
                return Ok(report);
            }
        }
        // It does not end without one of both.
        Err(Error::Closed)
    }
}

impl Stream for FleetEvents {
    type Item = Result<FleetEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl fmt::Debug for FleetEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetEvents").finish_non_exhaustive()
    }
}
