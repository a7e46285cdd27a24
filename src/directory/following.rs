use std::time::Duration;

/// How the changes of a platform database are followed.
///
/// By LISTEN, where it works: a change is known within milliseconds of its commit. Whether it works is tried out
/// with a notification to oneself, at first and from time to time; it does not through a transaction pooler. Where
/// it does not, or is not wanted, the log of changes is read from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    pub(super) listens: bool,
    pub(super) check_every: Duration,
    pub(super) poll_every: Duration,
}

impl Default for Following {
    fn default() -> Self {
        Self {
            listens: true,
            check_every: Duration::from_secs(2),
            poll_every: Duration::from_secs(1),
        }
    }
}

impl Following {
    /// Reads the log without trying to LISTEN.
    #[must_use]
    pub fn polling(mut self) -> Self {
        self.listens = false;
        self
    }

    /// How often it is tried out whether notifications still arrive, and how long one may take: a connection that
    /// died without a word is noticed within twice that. Defaults to 2 seconds.
    #[must_use]
    pub fn check_every(mut self, interval: Duration) -> Self {
        self.check_every = interval;
        self
    }

    /// How often the log is read where notifications do not arrive. Defaults to 1 second.
    #[must_use]
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_every = interval;
        self
    }
}
