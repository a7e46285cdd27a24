use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::dual_store::{DualStore, Inner};
use super::journal::Noted;
use super::memory::REMEMBERED;
use super::phase::StorePhase;
use super::repository::Repository;
use crate::directory::Writing;
use crate::error::{DualStoreError, Error, Result};

const STEP: &str = "changing the phase";

/// How often it is looked whether writes under way have ended.
const LOOK: Duration = Duration::from_millis(10);

impl<O: Repository, N: Repository<Record = O::Record>> DualStore<O, N> {
    /// Changes the phase, to the one after it or the one before it; the one that it is in is left as it is. Every process
    /// goes by it at once.
    ///
    /// The truth changes with [`CutOver`](StorePhase::CutOver) and with the way back from it. That is announced for a
    /// second, so that nobody remembers who decided until then; writes wait at most for as long as
    /// [`drain`](crate::DualStoreOptions::drain) says while those under way end. It asks that nothing is to be repaired,
    /// that no record was seen to differ, and that both stores were [compared in full](Self::verify).
    ///
    /// # Errors
    /// [`DualStoreError::NoSuchStep`] where that is no neighbour, and from the last phase. For a change of the truth:
    /// [`DualStoreError::RepairsPending`], [`DualStoreError::Diverges`], [`DualStoreError::NotVerified`],
    /// [`DualStoreError::NotDrained`]. [`DualStoreError::Changed`] where somebody else changed it;
    /// [`DualStoreError::Busy`]; [`Error::Platform`](crate::Error::Platform). The phase is as it was, except where the
    /// connection was lost: ask for it.
    ///
    /// # Cancel safety
    /// Dropped, it is changed or not. Where it was announced, readers ask for the phase each time for up to half a
    /// minute.
    pub async fn change_phase(&self, to: StorePhase) -> Result<()> {
        self.change(to, None).await
    }

    /// As [`change_phase`](Self::change_phase), in spite of records that were seen to differ, and of stores that were not
    /// compared in full. The reason is kept with the phase and in the log. What is to be repaired cannot be waived: it
    /// would be lost.
    ///
    /// # Errors
    /// As [`change_phase`](Self::change_phase), but for [`DualStoreError::Diverges`] and
    /// [`DualStoreError::NotVerified`].
    ///
    /// # Cancel safety
    /// As [`change_phase`](Self::change_phase).
    pub async fn change_phase_despite(&self, to: StorePhase, reason: &str) -> Result<()> {
        self.change(to, Some(reason)).await
    }

    async fn change(&self, to: StorePhase, stated: Option<&str>) -> Result<()> {
        let inner = &self.inner;
        let from = inner
            .journal
            .entry()
            .await?
            .phase()
            .map_err(inner.journal.failed(STEP))?;
        if from == to {
            return Ok(());
        }
        if from.next() != Some(to) && from.previous() != Some(to) {
            return Err(inner.journal.failed(STEP)(DualStoreError::NoSuchStep {
                from: from.to_string(),
                to: to.to_string(),
            }));
        }
        if from.truth() == to.truth() {
            let writing = inner.journal.change(inner.options.drain).await?;
            inner.conclude(writing, from, to, None, stated).await?;
        } else {
            inner.ready(stated).await?;
            let announced = inner.journal.announce().await?;
            inner.memory.forget();
            let changed = inner.flip(from, to, &announced, stated).await;
            if changed.is_err() {
                // Where that fails too, it ends by itself.
                let _ = inner.journal.withdraw(&announced).await;
            }
            changed?;
        }
        inner.memory.forget();
        tracing::info!(
            target: "tenantry::dual_store", client = %inner.journal.client, store = &*inner.journal.name,
            %from, %to, stated, "the phase was changed"
        );
        Ok(())
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> Inner<O, N> {
    /// Whether the truth may change, as far as that can be told while writes go on.
    async fn ready(&self, stated: Option<&str>) -> Result<()> {
        let noted = self.journal.noted(None).await?;
        if noted.stands_against(stated) {
            return Err(self.against(noted).await?);
        }
        Ok(())
    }

    /// What stands against it. It asks the platform database: nobody holds a connection to it meanwhile, of which there
    /// are few.
    async fn against(&self, noted: Noted) -> Result<Error> {
        let against = if noted.failed > 0 {
            let pending = self.journal.pending(self.options.told).await?;
            DualStoreError::RepairsPending {
                pending: noted.failed.unsigned_abs(),
                reasons: pending
                    .into_iter()
                    .map(|repair| format!("{}: {}", repair.key, repair.failure))
                    .collect(),
            }
        } else if noted.divergences > 0 || noted.unlisted {
            let divergences = self.journal.divergences(self.options.told).await?;
            DualStoreError::Diverges {
                divergences: noted.divergences.unsigned_abs(),
                and_more: noted.unlisted,
                examples: divergences.iter().map(ToString::to_string).collect(),
            }
        } else {
            DualStoreError::NotVerified
        };
        Ok(self.journal.failed(STEP)(against))
    }

    /// Changes the truth: once nobody remembers the other, and no write is under way.
    async fn flip(
        &self,
        from: StorePhase,
        to: StorePhase,
        announced: &str,
        stated: Option<&str>,
    ) -> Result<()> {
        sleep(REMEMBERED).await;
        let mut writing = self.journal.change(self.options.drain).await?;
        let noted = self.drained(&mut writing).await?;
        if noted.stands_against(stated) {
            writing.roll_back().await?;
            return Err(self.against(noted).await?);
        }
        self.conclude(writing, from, to, Some(announced), stated).await
    }

    /// Waits until the writes under way are over. None begins meanwhile.
    async fn drained(&self, writing: &mut Writing) -> Result<Noted> {
        let waited = self.options.drain;
        let until = Instant::now() + waited;
        loop {
            let noted = self.journal.noted(Some(writing)).await?;
            if noted.under_way == 0 {
                return Ok(noted);
            }
            if Instant::now() >= until {
                return Err(self.journal.failed(STEP)(DualStoreError::NotDrained {
                    under_way: noted.under_way.unsigned_abs(),
                    waited,
                }));
            }
            sleep(LOOK).await;
        }
    }

    async fn conclude(
        &self,
        mut writing: Writing,
        from: StorePhase,
        to: StorePhase,
        announced: Option<&str>,
        stated: Option<&str>,
    ) -> Result<()> {
        let changed = self
            .journal
            .advance(&mut writing, from, to, announced, stated)
            .await?;
        if changed {
            return writing.commit().await;
        }
        writing.roll_back().await?;
        let phase = self
            .journal
            .entry()
            .await?
            .phase()
            .map_err(self.journal.failed(STEP))?;
        Err(self.journal.failed(STEP)(DualStoreError::Changed {
            phase: phase.to_string(),
        }))
    }
}
