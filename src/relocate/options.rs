use std::time::Duration;

use secrecy::SecretString;

use super::verify::Sides;
use crate::client::PoolId;

/// Where a client goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RelocateTo {
    /// Into a pool.
    Pool(PoolId),
    /// Into a database of its own, which has the kernel, the host's tables and no rows of any client.
    Dedicated {
        /// The URL of its app role.
        app_url: SecretString,
        /// The URL of its admin role.
        admin_url: SecretString,
    },
}

impl RelocateTo {
    /// Into a database of its own, by the URLs of its app role and its admin role.
    pub fn dedicated(app_url: impl Into<SecretString>, admin_url: impl Into<SecretString>) -> Self {
        Self::Dedicated {
            app_url: app_url.into(),
            admin_url: admin_url.into(),
        }
    }
}

/// How a client is relocated.
#[derive(Clone, Debug)]
pub struct RelocationOptions {
    pub(super) left_out: Vec<String>,
    pub(super) parallel: usize,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) plain_rows: u64,
    pub(super) lease: Duration,
    pub(super) fence_budget: Duration,
    pub(super) fence_attempts: u32,
    pub(super) short_tail: u64,
    pub(super) max_passes: u32,
    pub(super) lock_timeout: Duration,
    pub(super) trigger_wait: Duration,
    pub(super) end_blockers: bool,
    pub(super) follow_back: bool,
    pub(super) verify_in_full: bool,
    pub(super) removal_batch: u32,
    pub(super) tend_every: Duration,
    pub(super) follow_back_every: Duration,
    pub(super) tend_at_once: usize,
}

impl Default for RelocationOptions {
    fn default() -> Self {
        Self {
            left_out: Vec::new(),
            parallel: 2,
            bytes_per_second: None,
            plain_rows: 5_000,
            lease: Duration::from_secs(15),
            fence_budget: Duration::from_secs(2),
            fence_attempts: 10,
            short_tail: 200,
            max_passes: 100,
            lock_timeout: Duration::from_secs(10),
            trigger_wait: Duration::from_secs(30),
            end_blockers: false,
            follow_back: true,
            verify_in_full: true,
            removal_batch: 10_000,
            tend_every: Duration::from_secs(1),
            follow_back_every: Duration::from_mins(1),
            tend_at_once: 4,
        }
    }
}

impl RelocationOptions {
    pub(super) fn sides(&self) -> Sides {
        if self.parallel > 1 {
            Sides::AtOnce
        } else {
            Sides::OneByOne
        }
    }

    /// Tables, as `schema.name`, that are not the client's, though they are neither shared nor the ledger of the
    /// host's migrations. Defaults to none.
    #[must_use]
    pub fn leave_out<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.left_out = tables.into_iter().map(Into::into).collect();
        self
    }

    /// How many tables are copied at once, where foreign keys allow it; at least one. Each takes a connection to both
    /// databases. With one, indexes are built without helpers and both sides are compared one after the other as well:
    /// no server has more than one process busy with it. Defaults to 2.
    #[must_use]
    pub fn parallel_tables(mut self, tables: usize) -> Self {
        self.parallel = tables.max(1);
        self
    }

    /// How many bytes are copied a second, all tables together. Defaults to no bound.
    #[must_use]
    pub fn max_bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes.max(1));
        self
    }

    /// Up to how many rows a client is moved while its writers wait, with nothing to follow. Where that takes longer
    /// than the [budget](Self::fence_budget), it is followed after all. Zero follows every client. Defaults to 5,000.
    #[must_use]
    pub fn plain_up_to(mut self, rows: u64) -> Self {
        self.plain_rows = rows;
        self
    }

    /// After how long another process may go on, where this one says nothing: it is gone, frozen or cut off. At least one
    /// second. Defaults to 15 seconds.
    #[must_use]
    pub fn lease(mut self, silence: Duration) -> Self {
        self.lease = silence.max(Duration::from_secs(1));
        self
    }

    /// How long writers are kept out at most, before they go on at the source and it is tried again. The server holds
    /// it, whatever becomes of this process. From 10 milliseconds to 10 seconds. Defaults to 2 seconds.
    #[must_use]
    pub fn fence_budget(mut self, budget: Duration) -> Self {
        self.fence_budget = budget.clamp(Duration::from_millis(10), Duration::from_secs(10));
        self
    }

    /// How often writers are kept out at most, at least once. Between two attempts there is a pause of up to 2
    /// seconds. Defaults to 10.
    #[must_use]
    pub fn fence_attempts(mut self, attempts: u32) -> Self {
        self.fence_attempts = attempts.max(1);
        self
    }

    /// How few changes are left when writers are kept out. Defaults to 200.
    #[must_use]
    pub fn short_tail(mut self, changes: u64) -> Self {
        self.short_tail = changes;
        self
    }

    /// After how many passes over what changed it is given up that they become few. Defaults to 100.
    #[must_use]
    pub fn max_passes(mut self, passes: u32) -> Self {
        self.max_passes = passes.max(1);
        self
    }

    /// How long a lock is waited for, but for those that keep writers out, which are tried for 300 milliseconds each.
    /// Defaults to 10 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long whoever writes to a table is waited for, whichever client's it is, before the triggers are made that
    /// note what changes, and before they are removed: in turns of 50 milliseconds, since others wait behind. Defaults
    /// to 30 seconds.
    #[must_use]
    pub fn trigger_wait(mut self, wait: Duration) -> Self {
        self.trigger_wait = wait;
        self
    }

    /// Ends the sessions whose transactions do not end within the budget, at the last attempt: what they were at
    /// fails, and where it was being committed its fate is unknown to them. Defaults to not.
    #[must_use]
    pub fn end_blockers(mut self, end: bool) -> Self {
        self.end_blockers = end;
        self
    }

    /// Whether changes are followed back to the source after the cut-over, so that the relocation can be reverted with
    /// what was written since. Defaults to `true`.
    #[must_use]
    pub fn follow_back(mut self, follow: bool) -> Self {
        self.follow_back = follow;
        self
    }

    /// Whether all rows are compared once more after the cut-over, the frozen source with the target as it was opened.
    /// Defaults to `true`.
    #[must_use]
    pub fn verify_in_full(mut self, verify: bool) -> Self {
        self.verify_in_full = verify;
        self
    }

    /// How many rows of a pool are removed in one transaction. Defaults to 10,000.
    #[must_use]
    pub fn removal_batch(mut self, rows: u32) -> Self {
        self.removal_batch = rows.max(1);
        self
    }

    /// How often [`tend`](crate::Relocation::tend) looks for relocations that nobody is at. At least every
    /// millisecond. Defaults to every second.
    #[must_use]
    pub fn tend_every(mut self, pause: Duration) -> Self {
        self.tend_every = pause.max(Duration::from_millis(1));
        self
    }

    /// How often [`tend`](crate::Relocation::tend) follows a client back that is cut over. Defaults to every minute.
    #[must_use]
    pub fn follow_back_every(mut self, pause: Duration) -> Self {
        self.follow_back_every = pause;
        self
    }

    /// How many relocations [`tend`](crate::Relocation::tend) is at, at once; at least one. Each takes some
    /// connections to both databases. Defaults to 4.
    #[must_use]
    pub fn tend_at_once(mut self, relocations: usize) -> Self {
        self.tend_at_once = relocations.max(1);
        self
    }
}
