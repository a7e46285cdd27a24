use std::time::Duration;

use super::ring::Ring;

/// What becomes of a run in which a database failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// No further database begins; those under way end.
    #[default]
    Stop,
    /// The others go on, up to the part of a ring that [`FleetOptions::pause_above`] allows to fail.
    Continue,
}

/// How the fleet is migrated, and its bounds.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    pub(super) rings: Vec<Ring>,
    pub(super) on_failure: OnFailure,
    pub(super) pause_above: f64,
    pub(super) at_once: usize,
    pub(super) connect_timeout: Duration,
    pub(super) lock_wait: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) lock_attempts: u32,
    pub(super) migration_timeout: Duration,
    pub(super) lease: Duration,
    pub(super) wait: Duration,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            rings: vec![Ring::all()],
            on_failure: OnFailure::Stop,
            pause_above: 0.05,
            at_once: 4,
            connect_timeout: Duration::from_secs(10),
            lock_wait: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(2),
            lock_attempts: 10,
            migration_timeout: Duration::from_hours(1),
            lease: Duration::from_mins(1),
            wait: Duration::ZERO,
        }
    }
}

impl FleetOptions {
    /// The rings that the fleet is gone through in: the next begins when the one before it ended. Databases of no ring
    /// are left as they are. Defaults to one of all.
    #[must_use]
    pub fn rings(mut self, rings: impl IntoIterator<Item = Ring>) -> Self {
        self.rings = rings.into_iter().collect();
        self
    }

    /// What becomes of the run when a database fails. Defaults to [`OnFailure::Stop`].
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// The part of a ring that may fail, of those databases that there was something to do in, from 0 to 1. Once more
    /// have, no further database begins, and the run ends as [`FleetEnd::Paused`](super::FleetEnd::Paused). Counts
    /// where the others [go on](OnFailure::Continue). Defaults to 0.05.
    #[must_use]
    pub fn pause_above(mut self, part: f64) -> Self {
        self.pause_above = part;
        self
    }

    /// How many databases are migrated at once. Each takes one connection, so that this is the number of connections to
    /// data databases as well. Zero counts as one. Defaults to 4.
    #[must_use]
    pub fn at_once(mut self, databases: usize) -> Self {
        self.at_once = databases.max(1);
        self
    }

    /// How long a database may take to be connected to, and to say what it has. Defaults to 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a database is waited for that somebody else migrates. Defaults to 30 seconds.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How long a statement of a migration waits for a lock, and all who come after it wait behind it. Then the
    /// migration is rolled back and tried again, after a pause. Defaults to 2 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How often a migration is tried that does not have its locks, the pauses between growing from 100 milliseconds to
    /// 5 seconds. One that runs without a transaction is tried once. Zero counts as one. Defaults to 10.
    #[must_use]
    pub fn lock_attempts(mut self, attempts: u32) -> Self {
        self.lock_attempts = attempts.max(1);
        self
    }

    /// How long a migration may take. Defaults to an hour.
    #[must_use]
    pub fn migration_timeout(mut self, timeout: Duration) -> Self {
        self.migration_timeout = timeout;
        self
    }

    /// After how long a process that is frozen or cut off is nobody: its transactions are rolled back, and others may
    /// migrate the fleet. Ten seconds at least. Defaults to a minute.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_secs(10));
        self
    }

    /// How long another process that is at it is waited for. Defaults to not at all: it is an error.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}
