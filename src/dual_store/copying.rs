use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _};

use super::dual_store::{DualStore, Inner};
use super::hold::{Became, Let};
use super::phase::{Side, StorePhase};
use super::record::{Record, differing_fields, same};
use super::repository::Repository;
use crate::error::{DualStoreError, Result};

/// What was done to have the second store hold what the truth does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Records that the second store had as they are.
    pub unchanged: u64,
    /// Records that were created or changed there.
    pub written: u64,
    /// How many of those were not there before.
    pub created: u64,
    /// Records that were removed there.
    pub removed: u64,
    /// Records that neither store had.
    pub gone: u64,
    /// Records that it did not take; they are noted, and tried again.
    pub failed: u64,
}

/// What became of one record.
#[derive(Debug)]
pub(super) enum Outcome {
    Unchanged,
    Created,
    Changed,
    Removed,
    Gone,
    Failed(String),
}

impl Copied {
    fn count(&mut self, outcome: &Outcome) {
        self.created += u64::from(matches!(outcome, Outcome::Created));
        *match outcome {
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Created | Outcome::Changed => &mut self.written,
            Outcome::Removed => &mut self.removed,
            Outcome::Gone => &mut self.gone,
            Outcome::Failed(_) => &mut self.failed,
        } += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.unchanged += other.unchanged;
        self.written += other.written;
        self.created += other.created;
        self.removed += other.removed;
        self.gone += other.gone;
        self.failed += other.failed;
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> DualStore<O, N> {
    /// Repairs what the second store did not take, whenever it was to be tried again, and once each. The store's task
    /// does so by itself, with pauses that double up to a minute.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform); [`DualStoreError::Busy`] where others were at a record for too long. What a
    /// store refuses is counted, and stays noted.
    ///
    /// # Cancel safety
    /// Dropped, what it did not come to stays noted.
    pub async fn repair(&self) -> Result<Copied> {
        self.inner.repair_due(true).await
    }

    /// Has the second store hold what the truth does: each record of either is copied as it is in the truth, or removed,
    /// while nobody writes it. Safe to run again, and under traffic.
    ///
    /// # Errors
    /// [`DualStoreError::OutOfPhase`] where there is no second store; [`DualStoreError::Repository`] and
    /// [`DualStoreError::NoAnswer`] where one cannot be listed; as [`repair`](Self::repair).
    ///
    /// # Cancel safety
    /// Call it again to go on.
    pub async fn reconcile(&self) -> Result<Copied> {
        const STEP: &str = "reconciling";
        let (phase, second) = self.expect_second(STEP).await?;
        let mut copied = Copied::default();
        for side in [phase.truth(), second] {
            let mut after = None;
            loop {
                let page = self.inner.page(side, after.as_deref(), STEP).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                let full = page.len() == self.inner.options.batch;
                let keys = if side == phase.truth() {
                    page
                } else {
                    // Those of both were copied already.
                    let alone = self.inner.unknown_to(phase.truth(), page).await;
                    alone.map_err(self.inner.journal.failed(STEP))?
                };
                copied.add(self.inner.copy(keys).await?);
                if !full {
                    break;
                }
            }
        }
        Ok(copied)
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> DualStore<O, N> {
    /// The phase, and the store that is written as well.
    pub(super) async fn expect_second(&self, step: &'static str) -> Result<(StorePhase, Side)> {
        let phase = self.phase().await?;
        match phase.second() {
            Some(second) => Ok((phase, second)),
            None => Err(self.inner.journal.failed(step)(DualStoreError::OutOfPhase {
                what: step,
                phase: phase.to_string(),
            })),
        }
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> Inner<O, N> {
    /// Keys of one page.
    pub(super) async fn page(
        &self,
        side: Side,
        after: Option<&str>,
        step: &'static str,
    ) -> Result<Vec<String>> {
        let limit = u32::try_from(self.options.batch).unwrap_or(u32::MAX);
        let page = self.answered(side, |store| store.list(after, limit)).await;
        let page = page.map_err(self.journal.failed(step))?;
        Ok(page.iter().map(|record| record.key().into_owned()).collect())
    }

    /// Those of the keys that a store has no record of.
    pub(super) async fn unknown_to(
        &self,
        side: Side,
        mut keys: Vec<String>,
    ) -> Result<Vec<String>, DualStoreError> {
        let found = self.many(side, &keys).await?;
        keys.retain(|key| !found.contains_key(key));
        Ok(keys)
    }

    /// The records of those keys, by key.
    pub(super) async fn many(
        &self,
        side: Side,
        keys: &[String],
    ) -> Result<HashMap<String, O::Record>, DualStoreError> {
        let found = self.answered(side, |store| store.get_many(keys)).await?;
        Ok(found
            .into_iter()
            .map(|record| (record.key().into_owned(), record))
            .collect())
    }

    pub(super) async fn repair_due(&self, all: bool) -> Result<Copied> {
        let mut copied = Copied::default();
        let mut after = String::new();
        loop {
            let keys = self.journal.due(all, &after, self.options.batch).await?;
            let Some(last) = keys.last() else { break };
            after.clone_from(last);
            let full = keys.len() == self.options.batch;
            copied.add(self.copy(keys).await?);
            if !full {
                break;
            }
        }
        Ok(copied)
    }

    /// Copies the records as the truth has them, while nobody writes them. Nothing, where there is no second store.
    pub(super) async fn copy(&self, keys: Vec<String>) -> Result<Copied> {
        let mut copied = Copied::default();
        for (_, outcome) in self.copy_each(keys).await? {
            copied.count(&outcome);
        }
        Ok(copied)
    }

    /// As [`copy`](Self::copy), and tells of each record what became of it.
    pub(super) async fn copy_each(&self, keys: Vec<String>) -> Result<Vec<(String, Outcome)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut hold = self.hold(keys.clone()).await?;
        let Some(second) = hold.phase.second() else {
            hold.end(Became::Unchanged, None).await?;
            return Ok(Vec::new());
        };
        let truth = hold.phase.truth();
        let (mut outcomes, alone) = self.copy_at_once(truth, second, keys).await;
        let alone: Vec<(String, Outcome)> = stream::iter(alone)
            .map(|key| async move {
                let outcome = self.copy_one(truth, second, &key).await;
                let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string()));
                (key, outcome)
            })
            .buffer_unordered(self.options.parallel)
            .collect()
            .await;
        outcomes.extend(alone);
        let mut done = Vec::with_capacity(outcomes.len());
        for (key, outcome) in &outcomes {
            match outcome {
                Outcome::Failed(failure) => {
                    hold.leave(std::slice::from_ref(key), Became::Failed, Some(failure))
                        .await?;
                }
                _ => done.push(key.clone()),
            }
        }
        if hold.leave(&done, Became::Done, None).await? == Let::Overtaken {
            // Others may have written the records since they were read.
            self.owed.add(done);
        }
        Ok(outcomes)
    }

    /// Copies as many as it can with one call for all. The keys that it returns are to be copied one by one: those that
    /// are to be removed, and all where one of them stands in the way of the others.
    async fn copy_at_once(
        &self,
        truth: Side,
        second: Side,
        keys: Vec<String>,
    ) -> (Vec<(String, Outcome)>, Vec<String>) {
        if keys.len() == 1 {
            return (Vec::new(), keys);
        }
        let read = futures_util::future::try_join(self.many(truth, &keys), self.many(second, &keys)).await;
        let Ok((states, there)) = read else {
            return (Vec::new(), keys);
        };
        let (mut outcomes, mut alone, mut differing) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            match (states.get(&key), there.get(&key)) {
                (None, None) => outcomes.push((key, Outcome::Gone)),
                (None, Some(_)) => alone.push(key),
                (state, there) if same(state, there) => outcomes.push((key, Outcome::Unchanged)),
                (Some(state), _) => differing.push((key, state.clone())),
            }
        }
        if differing.is_empty() {
            return (outcomes, alone);
        }
        let (written, records): (Vec<String>, Vec<O::Record>) = differing.into_iter().unzip();
        match self.answered(second, |store| store.put_many(&records)).await {
            Ok(()) => {}
            Err(DualStoreError::Repository { source, .. }) if source.is_refusal() => {
                alone.extend(written);
                return (outcomes, alone);
            }
            // It may have been written, or may yet be.
            Err(error) => {
                let failure = error.to_string();
                outcomes.extend(
                    written
                        .into_iter()
                        .map(|key| (key, Outcome::Failed(failure.clone()))),
                );
                return (outcomes, alone);
            }
        }
        let kept = self.many(second, &written).await;
        for (key, record) in written.into_iter().zip(&records) {
            let outcome = match &kept {
                Ok(kept) => kept_as(record, kept.get(&key), there.contains_key(&key)),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            outcomes.push((key, outcome));
        }
        (outcomes, alone)
    }

    /// By state, not by what was done: whatever order writes and repairs come in, the last copy is of what is there.
    async fn copy_one(&self, truth: Side, second: Side, key: &str) -> Result<Outcome, DualStoreError> {
        let state = self.answered(truth, |store| store.get(key)).await?;
        let there = match self.answered(second, |store| store.get(key)).await {
            Ok(there) if same(state.as_ref(), there.as_ref()) => {
                let outcome = if state.is_some() {
                    Outcome::Unchanged
                } else {
                    Outcome::Gone
                };
                return Ok(outcome);
            }
            Ok(there) => there.is_some(),
            // It is written over, or removed.
            Err(DualStoreError::Repository { source, .. }) if source.is_damage() => true,
            Err(error) => return Err(error),
        };
        let Some(record) = &state else {
            self.answered(second, |store| store.delete(key)).await?;
            return Ok(Outcome::Removed);
        };
        if there {
            self.answered(second, |store| store.update(record)).await?;
        } else {
            self.answered(second, |store| store.create(record)).await?;
        }
        let kept = self.answered(second, |store| store.get(key)).await?;
        Ok(kept_as(record, kept.as_ref(), there))
    }
}

/// What became of a record that was written, by what the store has of it then.
fn kept_as<R: Record>(record: &R, kept: Option<&R>, was_there: bool) -> Outcome {
    match kept {
        Some(kept) => match differing_fields(record, kept) {
            fields if !fields.is_empty() => {
                Outcome::Failed(format!("it does not keep as they are: {}", fields.join(", ")))
            }
            _ if was_there => Outcome::Changed,
            _ => Outcome::Created,
        },
        None => Outcome::Failed("it does not keep the record".to_owned()),
    }
}
