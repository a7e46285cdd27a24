use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::client::ClientId;
use crate::directory::{Directory, Month, TakeUsage, TakenUsage};
use crate::error::{Error, Result};
use crate::plan::Limit;

/// The meters of a process: a block of each client's month is taken at once, and most calls are counted here.
///
/// What is taken and lost counts as used, never the other way round: a process that crashes loses a block of each
/// meter at most.
pub(super) struct Meters {
    directory: Arc<dyn Directory>,
    block: i64,
    /// How many meters there are before idle ones make room.
    most: usize,
    by_limit: RwLock<HashMap<(ClientId, Limit), Arc<Meter>>>,
    /// Blocks under way outlive the callers who wait for them: one that is dropped must not lose a block. `None`
    /// once closed.
    tasks: Mutex<Option<JoinSet<()>>>,
}

struct Meter {
    client: ClientId,
    limit: Limit,
    held: Mutex<Held>,
    /// Held by who takes the next block.
    refilling: Arc<tokio::sync::Mutex<()>>,
}

/// What is left of the last block.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    month: Option<Month>,
    left: i64,
}

impl Meters {
    pub(super) fn new(directory: Arc<dyn Directory>, block: i64, most: usize) -> Self {
        Self {
            directory,
            block: block.max(1),
            most,
            by_limit: RwLock::default(),
            tasks: Mutex::new(Some(JoinSet::new())),
        }
    }

    /// Counts so many calls. What was found is returned where they are not allowed.
    pub(super) async fn take(
        &self,
        client: ClientId,
        limit: &Limit,
        calls: i64,
    ) -> Result<Option<TakenUsage>> {
        let meter = self.meter(client, limit);
        if meter.take(calls) {
            return Ok(None);
        }
        // Boxed, so that a call that is counted here does not move the state of one that is not.
        Box::pin(self.refill(meter, calls)).await
    }

    async fn refill(&self, meter: Arc<Meter>, calls: i64) -> Result<Option<TakenUsage>> {
        let refilling = Arc::clone(&meter.refilling).lock_owned().await;
        if meter.take(calls) {
            return Ok(None);
        }
        let (answer, answered) = oneshot::channel();
        let (directory, block) = (Arc::clone(&self.directory), self.block);
        self.spawn(async move {
            let refilled = meter.refill(&*directory, block, calls).await;
            drop(refilling);
            // Nobody may wait for it any more.
            let _ = answer.send(refilled);
        })?;
        answered.await.map_err(|_| Error::Closed)?
    }

    fn meter(&self, client: ClientId, limit: &Limit) -> Arc<Meter> {
        let key = (client, limit.clone());
        let meters = self.by_limit.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get(&key) {
            return Arc::clone(meter);
        }
        drop(meters);
        let mut meters = self.by_limit.write().unwrap_or_else(PoisonError::into_inner);
        if meters.len() >= self.most && !meters.contains_key(&key) {
            // Whoever else has one of them has it from this map, so those are idle.
            let idle: Vec<_> = meters
                .extract_if(|_, meter| Arc::strong_count(meter) == 1)
                .map(|(_, meter)| meter)
                .collect();
            let directory = Arc::clone(&self.directory);
            // Where it is closed already, what they hold counts as used.
            let _ = self.spawn(async move {
                for meter in idle {
                    meter.give_back(&*directory).await;
                }
            });
        }
        let made = || {
            Arc::new(Meter {
                client,
                limit: limit.clone(),
                held: Mutex::default(),
                refilling: Arc::default(),
            })
        };
        Arc::clone(meters.entry(key).or_insert_with(made))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = tasks.as_mut().ok_or(Error::Closed)?;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        Ok(())
    }

    /// Waits for the blocks under way and gives back what is left of all.
    ///
    /// # Cancel safety
    /// Dropped, what was not given back counts as used.
    pub(super) async fn close(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut tasks) = tasks {
            while tasks.join_next().await.is_some() {}
        }
        let meters = mem::take(&mut *self.by_limit.write().unwrap_or_else(PoisonError::into_inner));
        for meter in meters.into_values() {
            meter.give_back(&*self.directory).await;
        }
    }
}

impl Meter {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many of what is left of the block, if it has as many and its month is not over.
    fn take(&self, calls: i64) -> bool {
        let mut held = self.held();
        let enough = held.left >= calls && held.is_current();
        if enough {
            held.left -= calls;
        }
        enough
    }

    /// Takes the next block, and so many calls of it. What was found is returned where they are not allowed.
    async fn refill(&self, directory: &dyn Directory, block: i64, calls: i64) -> Result<Option<TakenUsage>> {
        let over = {
            let mut held = self.held();
            if held.is_current() {
                Held::default()
            } else {
                mem::take(&mut *held)
            }
        };
        self.return_to(directory, over).await;
        // Some calls fewer may go on with what is left meanwhile, so it is taken out.
        let rest = mem::take(&mut *self.held());
        let taken = directory
            .take_usage(TakeUsage {
                client: self.client,
                limit: &self.limit,
                needed: calls - rest.left,
                block,
            })
            .await;
        let Ok(found) = &taken else {
            *self.held() = rest;
            return taken.map(Some);
        };
        if found.granted == 0 {
            *self.held() = rest;
            return taken.map(Some);
        }
        *self.held() = Held {
            month: Some(found.month),
            left: found.granted + rest.left - calls,
        };
        Ok(None)
    }

    async fn give_back(&self, directory: &dyn Directory) {
        let held = mem::take(&mut *self.held());
        self.return_to(directory, held).await;
    }

    async fn return_to(&self, directory: &dyn Directory, held: Held) {
        let (Some(month), true) = (held.month, held.left > 0) else {
            return;
        };
        let (client, limit) = (self.client, &self.limit);
        if let Err(error) = directory.give_back(client, limit, month, held.left).await {
            tracing::warn!(%client, %limit, left = held.left, %error, "unused calls could not be given back");
        }
    }
}

impl Held {
    /// Whether it can be used now. The database's month may begin a little before this machine's.
    fn is_current(&self) -> bool {
        self.month
            .is_some_and(|month| Month::of(SystemTime::now()) <= month)
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters")
            .field("block", &self.block)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_month_is_not_used_in_the_next() {
        let meter = Meter {
            client: ClientId::new(),
            limit: Limit::API_CALLS_PER_MONTH,
            held: Mutex::default(),
            refilling: Arc::default(),
        };
        for (month, taken) in [
            (Month::new(2020, 1), false),
            (Month::new(9999, 12), true),
            (None, false),
        ] {
            *meter.held() = Held { month, left: 3 };
            assert_eq!(meter.take(3), taken, "{month:?}");
        }
        *meter.held() = Held {
            month: Month::new(9999, 12),
            left: 3,
        };
        assert!(!meter.take(4) && meter.take(2) && !meter.take(2));
    }
}
