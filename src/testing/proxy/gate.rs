//! What stops the bytes of one direction, for all connections.

use std::sync::{Condvar, Mutex, PoisonError};

use super::connection::Connection;
use super::lock;

/// Holds the bytes of one direction while it is closed.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn set(&self, closed: bool) {
        *lock(&self.closed) = closed;
        self.changed.notify_all();
    }

    /// Makes those who wait look at their connection.
    pub(super) fn look(&self) {
        drop(lock(&self.closed));
        self.changed.notify_all();
    }

    pub(super) fn wait(&self, connection: &Connection) {
        let held = |closed: &mut bool| *closed && !connection.is_broken();
        drop(
            self.changed
                .wait_while(lock(&self.closed), held)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
