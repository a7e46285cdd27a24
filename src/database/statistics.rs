use std::sync::atomic::{AtomicU64, Ordering};

/// The connections of this process to one pool database, at one moment and since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Connections open now, in use or idle.
    pub size: usize,
    /// Connections waiting to be used.
    pub idle: usize,
    /// Of the idle ones, those bound to a client.
    pub bound: usize,
    /// Statements and transactions waiting for a connection.
    pub waiting: usize,
    /// Times that a connection was bound to the right client already.
    pub hits: u64,
    /// Times that a connection had to be bound.
    pub binds: u64,
    /// Times that a connection was waited for.
    pub waits: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections that were in an unknown state and were made good.
    pub repaired: u64,
    /// Connections that were closed because they could not be.
    pub broken: u64,
    /// Times that the kernel refused a route or a scope.
    pub refused: u64,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) binds: Counter,
    pub(super) waits: Counter,
    pub(super) connects: Counter,
    pub(super) repaired: Counter,
    pub(super) broken: Counter,
    pub(super) refused: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
