use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::divergence::Divergence;

/// How a [`DualStore`](crate::DualStore) goes about it.
#[derive(Clone)]
pub struct DualStoreOptions {
    pub(super) key_wait: Duration,
    pub(super) answer_wait: Duration,
    pub(super) settled_after: Duration,
    pub(super) drain: Duration,
    pub(super) batch: usize,
    pub(super) parallel: usize,
    pub(super) compare_queue: usize,
    pub(super) compare_at_once: usize,
    pub(super) repair_every: Duration,
    pub(super) told: usize,
    pub(super) keep_divergences: usize,
    pub(super) on_divergence: Option<Arc<OnDivergence>>,
}

type OnDivergence = dyn Fn(&Divergence) + Send + Sync;

impl Default for DualStoreOptions {
    fn default() -> Self {
        Self {
            key_wait: Duration::from_secs(10),
            answer_wait: Duration::from_secs(10),
            settled_after: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            batch: 100,
            parallel: 8,
            compare_queue: 1_000,
            compare_at_once: 4,
            repair_every: Duration::from_secs(1),
            told: 20,
            keep_divergences: 1_000,
            on_divergence: None,
        }
    }
}

impl DualStoreOptions {
    /// How long a write waits for others at the same record, and for a phase that is being changed. Defaults to 10
    /// seconds.
    #[must_use]
    pub fn key_wait(mut self, wait: Duration) -> Self {
        self.key_wait = wait.max(Duration::from_millis(1));
        self
    }

    /// How long one of the stores is waited for, for each call. Defaults to 10 seconds.
    #[must_use]
    pub fn answer_wait(mut self, wait: Duration) -> Self {
        self.answer_wait = wait.max(Duration::from_millis(1));
        self
    }

    /// After how long a write is over whose process died, or that did not answer: what it left behind is repaired at
    /// once, and once more then. Until then no store is cut over. Longer than the longest write can take in either
    /// store. Defaults to 30 seconds.
    #[must_use]
    pub fn settled_after(mut self, wait: Duration) -> Self {
        self.settled_after = wait.max(Duration::from_millis(1));
        self
    }

    /// How long writes are held up at most while those under way end, before a cut over and before the way back from
    /// one. At most 10 seconds. Defaults to 2 seconds.
    #[must_use]
    pub fn drain(mut self, wait: Duration) -> Self {
        self.drain = wait.clamp(Duration::from_millis(1), Duration::from_secs(10));
        self
    }

    /// How many records are held, read and copied at once by an import, a reconciliation and a comparison in full. From
    /// 1 to 500. Defaults to 100.
    #[must_use]
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = records.clamp(1, 500);
        self
    }

    /// How many of a batch are read or written at the same time; at least one. Defaults to 8.
    #[must_use]
    pub fn parallel(mut self, records: usize) -> Self {
        self.parallel = records.max(1);
        self
    }

    /// How many comparisons of what was read wait at most; more are dropped, and counted. At least one. Defaults to
    /// 1,000.
    #[must_use]
    pub fn compare_queue(mut self, waiting: usize) -> Self {
        self.compare_queue = waiting.max(1);
        self
    }

    /// How many comparisons of what was read are made at the same time; at least one. Defaults to 4.
    #[must_use]
    pub fn compare_at_once(mut self, comparisons: usize) -> Self {
        self.compare_at_once = comparisons.max(1);
        self
    }

    /// How often it is looked for writes to be repaired. At least every millisecond. Defaults to every second.
    #[must_use]
    pub fn repair_every(mut self, pause: Duration) -> Self {
        self.repair_every = pause.max(Duration::from_millis(1));
        self
    }

    /// How many divergences, repairs and bad records are told one by one; all are counted. Defaults to 20.
    #[must_use]
    pub fn tell_at_most(mut self, each: usize) -> Self {
        self.told = each;
        self
    }

    /// How many records that differ are kept in the platform database, by key, for this store of the client; at least
    /// one. That there are more is kept as well, and holds a cut over up until a comparison in full is clean; all are
    /// counted. Defaults to 1,000.
    #[must_use]
    pub fn keep_divergences(mut self, records: usize) -> Self {
        self.keep_divergences = records.max(1);
        self
    }

    /// What is called for every divergence that is found, from the task that found it: it must not block. Defaults to
    /// nothing; an event of `tracing` is written in any case.
    #[must_use]
    pub fn on_divergence(mut self, hook: impl Fn(&Divergence) + Send + Sync + 'static) -> Self {
        self.on_divergence = Some(Arc::new(hook));
        self
    }
}

impl fmt::Debug for DualStoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DualStoreOptions").finish_non_exhaustive()
    }
}
