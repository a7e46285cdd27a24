#![expect(
    clippy::disallowed_methods,
    reason = "owns the task that compares and repairs"
)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::dual_store::Inner;
use super::repository::Repository;

/// The task of a dual store: it compares what was read, and repairs.
#[derive(Debug)]
pub(super) struct Worker {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    pub(super) fn start<O, N>(inner: Arc<Inner<O, N>>) -> Self
    where
        O: Repository,
        N: Repository<Record = O::Record>,
    {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { inner.work(stopped).await });
        Self {
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    pub(super) async fn close(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What it is at is over at its next await; what is unfinished is noted.
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> Inner<O, N> {
    async fn work(&self, mut stopped: watch::Receiver<bool>) {
        tokio::join!(self.compare_on(stopped.clone()), self.repair_on(&mut stopped));
        let dropped = self.queue.close().await;
        self.counts
            .dropped
            .fetch_add(u64::try_from(dropped).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Compares what was read, a few at once.
    async fn compare_on(&self, mut stopped: watch::Receiver<bool>) {
        let mut at_work = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = told(&mut stopped) => break,
                Some(()) = at_work.next() => {}
                taken = self.queue.take(), if at_work.len() < self.options.compare_at_once => {
                    let Some(taken) = taken else { break };
                    at_work.push(async move {
                        self.compare(&taken.key).await;
                        drop(taken);
                    });
                }
            }
        }
        while at_work.next().await.is_some() {}
    }

    /// Repairs what is due, again and again.
    async fn repair_on(&self, stopped: &mut watch::Receiver<bool>) {
        let mut looks = interval(self.options.repair_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut later = Vec::new();
        loop {
            tokio::select! {
                () = told(stopped) => return,
                () = self.owed.any() => {}
                _ = looks.tick() => {
                    self.owed.add(std::mem::take(&mut later));
                    if let Err(error) = self.repair_due(false).await {
                        tracing::warn!(
                            target: "tenantry::dual_store", client = %self.journal.client,
                            store = &*self.journal.name, %error, "writes could not be looked for that are to be repaired"
                        );
                    }
                }
            }
            loop {
                let keys = self.owed.take(self.options.batch);
                if keys.is_empty() {
                    break;
                }
                // Later, where it is not to be had now: what the platform database notes is not lost with it.
                if self.copy(keys.clone()).await.is_err() {
                    later.extend(keys);
                    break;
                }
            }
        }
    }
}

/// Waits until it is to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: so is the task before long.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
