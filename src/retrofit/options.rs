use std::time::Duration;

/// What to do about triggers of the host that rows would fire which get their client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostTriggers {
    /// They stop the plan.
    #[default]
    Stop,
    /// They fire.
    Fire,
}

/// How tables are retrofitted.
#[derive(Clone, Debug)]
pub struct RetrofitOptions {
    pub(super) turn: Duration,
    pub(super) lock_wait: Duration,
    pub(super) batch: Duration,
    pub(super) pause: Duration,
    pub(super) transaction_wait: Duration,
    pub(super) index_attempts: u32,
    pub(super) index_workers: u16,
    pub(super) take_over_wait: Duration,
    pub(super) sample: u32,
    pub(super) host_triggers: HostTriggers,
}

impl Default for RetrofitOptions {
    fn default() -> Self {
        Self {
            turn: Duration::from_millis(20),
            lock_wait: Duration::from_mins(1),
            batch: Duration::from_millis(10),
            pause: Duration::ZERO,
            transaction_wait: Duration::from_mins(5),
            index_attempts: 3,
            index_workers: 0,
            take_over_wait: Duration::from_secs(10),
            sample: 10,
            host_triggers: HostTriggers::Stop,
        }
    }
}

impl RetrofitOptions {
    /// How long a table is waited for at a time: others wait behind whoever waits. What is done under the lock then
    /// takes some milliseconds more. From a millisecond to half a second. Defaults to 20 milliseconds.
    #[must_use]
    pub fn turn(mut self, turn: Duration) -> Self {
        self.turn = turn.clamp(Duration::from_millis(1), Duration::from_millis(500));
        self
    }

    /// How long all turns for one lock go on, with pauses of up to half a second between them. Then whoever holds the
    /// table is named. Defaults to a minute.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How long a batch of rows is to take, whose writers may wait for it: its size follows. Defaults to 10
    /// milliseconds.
    #[must_use]
    pub fn batch(mut self, time: Duration) -> Self {
        self.batch = time.max(Duration::from_millis(1));
        self
    }

    /// The pause after each batch of rows, for the neighbours. Defaults to none.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How long each transaction in flight is waited for when an index is built or a constraint checked; nobody waits
    /// behind that. Defaults to 5 minutes.
    #[must_use]
    pub fn transaction_wait(mut self, wait: Duration) -> Self {
        self.transaction_wait = wait.max(Duration::from_millis(1));
        self
    }

    /// How often an index is begun that waited for somebody too long; at least once. Defaults to 3.
    #[must_use]
    pub fn index_attempts(mut self, attempts: u32) -> Self {
        self.index_attempts = attempts.max(1);
        self
    }

    /// How many of the server's parallel workers help to build an index: each takes a core from those who write
    /// meanwhile. Defaults to none.
    #[must_use]
    pub fn index_workers(mut self, workers: u16) -> Self {
        self.index_workers = workers;
        self
    }

    /// How long another process that is at it is waited for: one that died is noticed within a second. Defaults to 10
    /// seconds.
    #[must_use]
    pub fn take_over_wait(mut self, wait: Duration) -> Self {
        self.take_over_wait = wait;
        self
    }

    /// How many keys of rows that match nothing are told. Defaults to 10.
    #[must_use]
    pub fn sample(mut self, keys: u32) -> Self {
        self.sample = keys;
        self
    }

    /// What to do about triggers of the host on tables whose rows are written to get their client. Defaults to
    /// [`HostTriggers::Stop`].
    #[must_use]
    pub fn host_triggers(mut self, triggers: HostTriggers) -> Self {
        self.host_triggers = triggers;
        self
    }
}
