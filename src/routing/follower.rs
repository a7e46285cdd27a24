use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::client::ClientId;
use crate::directory::Directory;
use crate::tenant::{Freshness, TICK};

/// Follows the changes of a directory for as long as it lives, and takes note of each.
#[derive(Debug)]
pub(super) struct Follower {
    directory: Arc<dyn Directory>,
    freshness: Arc<Freshness>,
    /// Who was looked up since it was last told.
    active: Arc<Mutex<HashSet<ClientId>>>,
    hears: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The pauses between attempts to hear, which double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often it is told who was looked up, and how many at most.
const TELL_EVERY: Duration = Duration::from_mins(1);
const MOST_ACTIVE: usize = 100_000;

impl Follower {
    pub(super) fn new(directory: Arc<dyn Directory>, freshness: Arc<Freshness>) -> Self {
        Self {
            directory,
            freshness,
            active: Arc::default(),
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
                Arc::clone(&self.active),
                self.hears.clone(),
            );
            #[expect(clippy::disallowed_methods, reason = "ended by `end` and by Drop")]
            let spawned = tokio::spawn(following);
            *task = Some(spawned);
        }
    }

    /// A client was looked up.
    pub(super) fn looked_up(&self, client: ClientId) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.len() < MOST_ACTIVE {
            active.insert(client);
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
            tell_of(&*self.directory, &self.active).await;
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

/// Tells the directory who was looked up. What it does not take is told the next time.
async fn tell_of(directory: &dyn Directory, active: &Mutex<HashSet<ClientId>>) {
    let told = std::mem::take(&mut *active.lock().unwrap_or_else(PoisonError::into_inner));
    if told.is_empty() {
        return;
    }
    let clients: Vec<ClientId> = told.iter().copied().collect();
    if let Err(error) = directory.note_active(&clients).await {
        tracing::debug!(%error, "who is in use was not noted");
        active.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
    }
}

async fn follow(
    directory: Arc<dyn Directory>,
    freshness: Arc<Freshness>,
    active: Arc<Mutex<HashSet<ClientId>>>,
    hears: watch::Sender<bool>,
) {
    // Also where its runtime ends before the manager does: nobody would read the clock.
    let _unheard = Unheard(&freshness);
    let mut pause = FIRST_PAUSE;
    // Beside the changes, which must not wait for it.
    let mut told: Option<BoxFuture<'_, ()>> = None;
    let (mut tell, mut clock) = (interval(TELL_EVERY), interval(TICK));
    for timer in [&mut tell, &mut clock] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        match directory.changes().await {
            Ok(None) => return,
            Ok(Some(mut changes)) => {
                let began = Instant::now();
                freshness.heard();
                hears.send_replace(true);
                pause = FIRST_PAUSE;
                loop {
                    tokio::select! {
                        // Changes first: they must not wait.
                        biased;
                        change = changes.next() => match change {
                            Some(Ok(change)) => freshness.note(change),
                            Some(Err(error)) => {
                                tracing::warn!(%error, "changes of the directory are not heard of");
                                break;
                            }
                            None => break,
                        },
                        // For all who ask, and do not read it themselves.
                        _ = clock.tick() => freshness.tick(),
                        _ = tell.tick() => told = Some(Box::pin(tell_of(&*directory, &active))),
                        () = done(&mut told) => told = None,
                    }
                }
                freshness.unheard();
                hears.send_replace(false);
                // At once, unless they end as soon as they begin.
                if began.elapsed() < LONGEST_PAUSE {
                    tokio::time::sleep(shortened(FIRST_PAUSE)).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "changes of the directory are not heard of");
                tokio::time::sleep(shortened(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Has changes not be heard of any more, however it ends.
struct Unheard<'a>(&'a Freshness);

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        self.0.unheard();
    }
}

/// The end of what is under way; never, where nothing is.
async fn done(told: &mut Option<BoxFuture<'_, ()>>) {
    match told {
        Some(told) => told.await,
        None => std::future::pending().await,
    }
}

/// By up to a half, at random, so that many processes do not come at once.
fn shortened(pause: Duration) -> Duration {
    let random = Uuid::new_v4().as_bytes()[15];
    pause.saturating_sub((pause / 512).saturating_mul(random.into()))
}
