use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _};

use super::divergence::{Counts, Divergence};
use super::dual_store::{DualStore, Inner};
use super::hold::Became;
use super::phase::{Side, StorePhase};
use super::record::same;
use super::repository::Repository;
use crate::error::{DualStoreError, Result};

/// What a comparison of both stores in full found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// How many records the store has that decides, as they were listed.
    pub truth: u64,
    /// How many the second store has.
    pub second: u64,
    /// Records that both have alike.
    pub agreed: u64,
    /// Records that differed, and did not once nobody was writing them.
    pub on_their_way: u64,
    /// Records that differ, and are to be repaired.
    pub to_be_repaired: u64,
    /// Records that differ.
    pub diverging: u64,
    /// Some of those.
    pub divergences: Vec<Divergence>,
}

impl Comparison {
    /// Whether both stores hold the same.
    pub fn is_clean(&self) -> bool {
        self.diverging == 0 && self.to_be_repaired == 0
    }
}

const COMPARING: &str = "comparing a record";

/// How one record compares.
#[derive(Debug)]
pub(super) enum Compared {
    Agreed,
    OnItsWay,
    ToBeRepaired,
    Diverged(Divergence),
    /// There is no second store.
    Alone,
}

impl<O: Repository, N: Repository<Record = O::Record>> DualStore<O, N> {
    /// Compares both stores in full, records of either, by count and content, under traffic. Where they hold the same, it
    /// is noted: a cut over asks for it.
    ///
    /// # Errors
    /// [`DualStoreError::OutOfPhase`] where there is no second store; [`DualStoreError::Repository`] where a record
    /// cannot be read, [`DualStoreError::NoAnswer`]; [`Error::Platform`](crate::Error::Platform).
    ///
    /// # Cancel safety
    /// Dropped, it is not noted. Divergences that were found are.
    pub async fn verify(&self) -> Result<Comparison> {
        const STEP: &str = "comparing in full";
        let inner = &self.inner;
        let entry = inner.journal.entry().await?;
        let phase = entry.phase().map_err(inner.journal.failed(STEP))?;
        let began = entry.read_at;
        let (Some(second), Some(dual_since)) = (phase.second(), entry.dual_since) else {
            return Err(inner.journal.failed(STEP)(DualStoreError::OutOfPhase {
                what: STEP,
                phase: phase.to_string(),
            }));
        };
        let mut comparison = Comparison::default();
        for side in [phase.truth(), second] {
            let mut after: Option<String> = None;
            loop {
                let keys = inner.page(side, after.as_deref(), STEP).await?;
                let Some(last) = keys.last() else { break };
                after = Some(last.clone());
                let (full, count) = (keys.len() == inner.options.batch, keys.len() as u64);
                if side == second {
                    comparison.second += count;
                } else {
                    comparison.truth += count;
                }
                let (agreed, others) = inner.agreeing(keys).await;
                if side == phase.truth() {
                    comparison.agreed += agreed;
                }
                // Those of both were compared with the truth's.
                let others = if side == second {
                    let alone = inner.unknown_to(phase.truth(), others).await;
                    alone.map_err(inner.journal.failed(STEP))?
                } else {
                    others
                };
                let compared: Vec<_> = stream::iter(others)
                    .map(|key| async move { inner.compare_one(&key).await })
                    .buffer_unordered(inner.options.parallel)
                    .collect()
                    .await;
                for compared in compared {
                    // Those of both are counted once.
                    inner.count(&mut comparison, compared?, side == phase.truth());
                }
                if !full {
                    break;
                }
            }
        }
        if comparison.is_clean() {
            // Those that were found before, whoever found them: they agree by now.
            loop {
                let before = inner.journal.divergences(inner.options.batch).await?;
                if before.is_empty() {
                    break;
                }
                for divergence in before {
                    let compared = inner.compare_held(&divergence.key).await?;
                    if !matches!(compared, Compared::OnItsWay) {
                        inner.count(&mut comparison, compared, true);
                    }
                }
                if !comparison.is_clean() {
                    return Ok(comparison);
                }
            }
            inner.journal.note_verified(&dual_since, &began).await?;
        }
        Ok(comparison)
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> Inner<O, N> {
    fn count(&self, comparison: &mut Comparison, compared: Compared, of_truth: bool) {
        match compared {
            Compared::Agreed | Compared::Alone => comparison.agreed += u64::from(of_truth),
            Compared::OnItsWay => comparison.on_their_way += 1,
            Compared::ToBeRepaired => comparison.to_be_repaired += u64::from(of_truth),
            Compared::Diverged(divergence) => {
                // One that both have was found with the truth's.
                if of_truth || divergence.kind == super::divergence::DivergenceKind::Extra {
                    comparison.diverging += 1;
                    if comparison.divergences.len() < self.options.told {
                        comparison.divergences.push(divergence);
                    }
                }
            }
        }
    }

    /// Has a record compared behind the reader.
    pub(super) fn compare_later(&self, key: &str) {
        if !self.queue.put(key) {
            Counts::one(&self.counts.dropped);
        }
    }

    /// Compares what was read, and counts it.
    pub(super) async fn compare(&self, key: &str) {
        if self
            .memory
            .phase()
            .is_some_and(|phase| phase != StorePhase::DualRead)
        {
            return;
        }
        match self.compare_one(key).await {
            Ok(Compared::Agreed) => Counts::one(&self.counts.agreed),
            Ok(Compared::OnItsWay) => Counts::one(&self.counts.on_its_way),
            Ok(Compared::ToBeRepaired) => Counts::one(&self.counts.to_be_repaired),
            Ok(Compared::Diverged(divergence)) => self.counts.diverged(&divergence.kind),
            Ok(Compared::Alone) => {}
            Err(error) => {
                Counts::one(&self.counts.failed);
                tracing::debug!(
                    target: "tenantry::dual_store", client = %self.journal.client, store = &*self.journal.name,
                    key, %error, "what was read could not be compared"
                );
            }
        }
    }

    /// How many of the records agree, read with one call of each store; and the keys of the others, and of all where they
    /// cannot be read like that.
    async fn agreeing(&self, mut keys: Vec<String>) -> (u64, Vec<String>) {
        let read = futures_util::future::try_join(self.many(Side::Old, &keys), self.many(Side::New, &keys));
        let Ok((old, new)) = read.await else {
            return (0, keys);
        };
        let all = keys.len();
        let known = self.known_to_differ();
        keys.retain(|key| known.contains(key) || !same(old.get(key), new.get(key)));
        (u64::try_from(all - keys.len()).unwrap_or(u64::MAX), keys)
    }

    /// How the record compares. What differs is read again while nobody writes it: what is on its way is no divergence.
    async fn compare_one(&self, key: &str) -> Result<Compared> {
        let agree = self.agree(key).await.map_err(self.journal.failed(COMPARING))?;
        if agree && !self.known_to_differ().contains(key) {
            return Ok(Compared::Agreed);
        }
        let compared = self.compare_held(key).await?;
        // It was known to differ, and did not before it was held: it was not on its way.
        let agreed = agree && matches!(compared, Compared::OnItsWay);
        Ok(if agreed { Compared::Agreed } else { compared })
    }

    async fn compare_held(&self, key: &str) -> Result<Compared> {
        let hold = self.hold(vec![key.to_owned()]).await?;
        let Some(second) = hold.phase.second() else {
            hold.end(Became::Unchanged, None).await?;
            return Ok(Compared::Alone);
        };
        let truth = self.answered(hold.phase.truth(), |store| store.get(key)).await;
        let there = self.answered(second, |store| store.get(key)).await;
        let (truth, there) = match (truth, there) {
            (Ok(truth), Ok(there)) => (truth, there),
            (Err(error), _) | (_, Err(error)) => {
                hold.end(Became::Unchanged, None).await?;
                return Err(self.journal.failed(COMPARING)(error));
            }
        };
        let compared = match Divergence::between(key, truth.as_ref(), there.as_ref()) {
            None => {
                self.journal.forget_divergence(key).await?;
                self.known_to_differ().remove(key);
                Compared::OnItsWay
            }
            Some(_) if hold.waiting.contains(key) => Compared::ToBeRepaired,
            Some(divergence) => {
                self.journal.note_divergence(&divergence).await?;
                self.remember_to_differ(key);
                tracing::warn!(
                    target: "tenantry::dual_store", client = %self.journal.client, store = &*self.journal.name,
                    phase = %hold.phase, %divergence, "both stores differ"
                );
                if let Some(hook) = &self.options.on_divergence {
                    hook(&divergence);
                }
                Compared::Diverged(divergence)
            }
        };
        hold.end(Became::Unchanged, None).await?;
        Ok(compared)
    }

    /// Up to the bound: the notes of others go when they are written, reconciled, or compared in full.
    fn remember_to_differ(&self, key: &str) {
        let mut known = self.known_to_differ();
        if known.len() < self.options.keep_divergences {
            known.insert(key.to_owned());
        }
    }

    /// Keys that this process saw to differ: the note of it is taken back once they agree.
    fn known_to_differ(&self) -> MutexGuard<'_, HashSet<String>> {
        self.differ.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both stores have the same, as they are read one after the other.
    async fn agree(&self, key: &str) -> Result<bool, DualStoreError> {
        let (old, new) = futures_util::future::try_join(
            self.answered(Side::Old, |store| store.get(key)),
            self.answered(Side::New, |store| store.get(key)),
        )
        .await?;
        Ok(same(old.as_ref(), new.as_ref()))
    }
}
