use std::time::Duration;

/// How an installation is examined.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    pub(super) at_once: usize,
    pub(super) patience: Duration,
    pub(super) unfinished_after: Duration,
}

impl Default for DoctorOptions {
    fn default() -> Self {
        Self {
            at_once: 4,
            patience: Duration::from_secs(10),
            unfinished_after: Duration::from_mins(10),
        }
    }
}

impl DoctorOptions {
    /// How many databases are examined at once, over two connections each. Defaults to 4.
    #[must_use]
    pub fn at_once(mut self, databases: usize) -> Self {
        self.at_once = databases.max(1);
        self
    }

    /// How long a database may take to be examined before it counts as one that does not answer. Defaults to 10
    /// seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// After how long something that was begun and not ended is told of. Defaults to 10 minutes.
    #[must_use]
    pub fn unfinished_after(mut self, age: Duration) -> Self {
        self.unfinished_after = age;
        self
    }
}
