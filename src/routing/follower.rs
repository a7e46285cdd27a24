use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::directory::Directory;
use crate::tenant::{Freshness, TICK};

/// Follows the changes of a directory for as long as it lives, and takes note of each.
#[derive(Debug)]
pub(super) struct Follower {
    directory: Arc<dyn Directory>,
    freshness: Arc<Freshness>,
    hears: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The pauses between attempts to hear, which double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Follower {
    pub(super) fn new(directory: Arc<dyn Directory>, freshness: Arc<Freshness>) -> Self {
        Self {
            directory,
            freshness,
            hears: watch::Sender::new(false),
            task: Mutex::default(),
        }
    }

    /// Begins, unless it has.
    pub(super) fn begin(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_none() {
            let following = follow(
                Arc::clone(&self.directory),
                Arc::clone(&self.freshness),
                self.hears.clone(),
            );
            #[expect(clippy::disallowed_methods, reason = "ended by `end` and by Drop")]
            let spawned = tokio::spawn(following);
            *task = Some(spawned);
        }
    }

    /// Waits until changes are heard of. Never, of a directory that cannot tell.
    pub(super) async fn hears(&self) {
        // It ends only with the sender, which is ours.
        let _ = self.hears.subscribe().wait_for(|hears| *hears).await;
    }

    /// Ends, and waits for it. From then on age decides.
    pub(super) async fn end(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
        self.freshness.unheard();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
        self.freshness.unheard();
    }
}

async fn follow(directory: Arc<dyn Directory>, freshness: Arc<Freshness>, hears: watch::Sender<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match directory.changes().await {
            Ok(None) => return,
            Ok(Some(mut changes)) => {
                freshness.heard();
                hears.send_replace(true);
                pause = FIRST_PAUSE;
                loop {
                    let next = tokio::select! {
                        next = changes.next() => next,
                        () = ticking(&freshness) => None,
                    };
                    match next {
                        Some(Ok(change)) => freshness.note(change),
                        Some(Err(error)) => {
                            tracing::warn!(%error, "changes of the directory are not heard of");
                            break;
                        }
                        None => break,
                    }
                }
                freshness.unheard();
                hears.send_replace(false);
            }
            Err(error) => {
                tracing::warn!(%error, "changes of the directory are not heard of");
                tokio::time::sleep(shortened(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Reads the clock for all who ask, and never ends.
async fn ticking(freshness: &Freshness) {
    loop {
        freshness.tick();
        tokio::time::sleep(TICK).await;
    }
}

/// By up to a half, at random, so that many processes do not come at once.
fn shortened(pause: Duration) -> Duration {
    let random = Uuid::new_v4().as_bytes()[15];
    pause.saturating_sub((pause / 512).saturating_mul(random.into()))
}
