//! Looking after relocations: ending those that were interrupted, and keeping the others ready to go back.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::phase::Phase;
use super::relocation::Relocation;
use super::status::RelocationStatus;
use crate::client::ClientId;
use crate::error::{Error, RelocationError, Result};

/// The pause after so many failures in a row doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// When a relocation is looked after again.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// `None` while it is being looked after.
    due: Option<Instant>,
    failures: u32,
}

impl Relocation {
    /// Looks after the relocations of all clients, for as long as it is polled; it never returns. Those that nobody is
    /// at are [resumed](Self::resume): after their mover was killed, or could not keep writers out in time. What clients
    /// that are cut over write is [followed back](Self::follow_back), so that reverting stays quick. For a task of each
    /// process that may do so: they share the work.
    ///
    /// A client whose mover is killed in the middle of the cut-over is refused everywhere until then: for as long as
    /// the [pause](crate::RelocationOptions::tend_every) between two looks, and where the mover is frozen and not gone for that of
    /// the [lease](crate::RelocationOptions::lease) as well. Single statements and `run` wait for it, and see no error, where that
    /// is shorter than [`relocation_wait`](crate::ManagerOptions::relocation_wait).
    ///
    /// One whose [`revert`](Self::revert) was interrupted so is looked after as often as it is
    /// [followed back](crate::RelocationOptions::follow_back_every).
    ///
    /// What fails is logged and tried again, after a pause that doubles up to a minute.
    ///
    /// # Cancel safety
    /// Dropped, what it was at is under way, as with [`resume`](Self::resume).
    pub async fn tend(&self) {
        let room = Semaphore::new(self.options.tend_at_once);
        let mut turns: HashMap<ClientId, Turn> = HashMap::new();
        let mut at_work = FuturesUnordered::new();
        let mut looks = interval(self.options.tend_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => match self.unfinished().await {
                    Ok(unfinished) => {
                        // Those that are over are forgotten.
                        let known = std::mem::take(&mut turns);
                        for status in unfinished {
                            let mut turn = known.get(&status.client).copied().unwrap_or(Turn {
                                due: Some(Instant::now()),
                                failures: 0,
                            });
                            if turn.due.is_some_and(|due| due <= Instant::now()) {
                                turn.due = None;
                                at_work.push(self.look_after(&room, status.clone(), turn.failures));
                            }
                            turns.insert(status.client, turn);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "relocations could not be looked for"),
                },
                Some((client, turn)) = at_work.next() => {
                    turns.insert(client, turn);
                }
            }
        }
    }

    /// One that is cut over may be on its way back, or not certified.
    async fn look_after_moved(&self, client: ClientId) -> Result<()> {
        let status = self.resume(client).await?;
        if status.phase == Phase::Moved && self.options.follow_back {
            return self.follow_back(client).await;
        }
        Ok(())
    }

    async fn look_after(
        &self,
        room: &Semaphore,
        status: RelocationStatus,
        failures: u32,
    ) -> (ClientId, Turn) {
        let client = status.client;
        // Nobody closes it.
        let _place = room.acquire().await;
        let outcome: Result<()> = match status.phase {
            Phase::Moved => self.look_after_moved(client).await,
            _ => self.resume(client).await.map(drop),
        };
        let (pause, failures) = match outcome {
            Ok(()) if status.phase == Phase::Moved => (self.options.follow_back_every, 0),
            // Or somebody else is at it, or was.
            Ok(())
            | Err(Error::Relocation {
                source:
                    RelocationError::Taken | RelocationError::NotUnderWay | RelocationError::OutOfPhase { .. },
                ..
            }) => (self.options.tend_every, 0),
            Err(error) => {
                tracing::warn!(%client, %error, "a relocation could not be gone on with");
                let pause = self
                    .options
                    .tend_every
                    .saturating_mul(2_u32.saturating_pow(failures));
                (pause.min(LONGEST_PAUSE), failures.saturating_add(1))
            }
        };
        let due = Some(Instant::now() + pause);
        (client, Turn { due, failures })
    }
}
