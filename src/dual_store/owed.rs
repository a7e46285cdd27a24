use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Keys whose writes this process left unfinished, to be copied to the second store before their notes are due: a
/// caller gave up, or a store did not answer.
#[derive(Debug, Default)]
pub(super) struct Owed {
    keys: Mutex<BTreeSet<String>>,
    more: Notify,
}

/// More are left to their notes.
const MOST: usize = 10_000;

impl Owed {
    pub(super) fn add(&self, keys: impl IntoIterator<Item = String>) {
        let mut owed = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if owed.len() >= MOST {
                break;
            }
            owed.insert(key);
            self.more.notify_one();
        }
    }

    /// Takes some, to be added again where they cannot be copied.
    pub(super) fn take(&self, limit: usize) -> Vec<String> {
        let mut owed = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(key) = owed.pop_first()
        {
            taken.push(key);
        }
        taken
    }

    /// Waits until there may be some.
    pub(super) async fn any(&self) {
        self.more.notified().await;
    }
}
