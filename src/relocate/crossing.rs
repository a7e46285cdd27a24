//! Bringing over the last changes while writers are kept out, and having the client be served elsewhere.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::carry::{self, Moment};
use super::certificate::{Certificate, CertifiedTable};
use super::cut_over::{self, Accepted, Way};
use super::following::Compare;
use super::gate::{self, Fence};
use super::moving::{Direction, Moving};
use super::tables::Pair;
use super::{leftovers, patience, verify};
use crate::client::Epoch;
use crate::error::{Error, RelocationError, Result};

/// What arrived while writers were kept out.
#[derive(Default)]
struct Arrived {
    /// Those that were compared as a whole.
    tables: Vec<CertifiedTable>,
    snapshot: String,
}

/// A transaction that reads in one snapshot.
const IN_ONE_SNAPSHOT: &str = "begin isolation level repeatable read;";

/// What a fence came to.
struct Crossed {
    epoch: Epoch,
    tables: Vec<CertifiedTable>,
    source_snapshot: String,
    target_snapshot: String,
    fenced: Duration,
    /// A snapshot of the target as it was opened.
    pinned: Option<PgConnection>,
}

impl Moving {
    /// Brings over the rest, compares, and has the client be served by the target: as often as it takes.
    pub(super) async fn cross(&mut self, there: &Direction) -> Result<()> {
        let mut source = there.source.connect().await?;
        let mut target = there.target.connect().await?;
        if self.options.follow_back && there.way == Way::There {
            let back: Vec<Pair> = there.pairs.iter().map(Pair::reversed).collect();
            self.capture
                .install(&there.target, &mut target, &back, self.options.trigger_wait)
                .await?;
        }
        let plain = self.is_plain(there);
        if !plain {
            self.following(there).prepare(&mut source, &mut target).await?;
            self.catch_up(there, &mut source, &mut target).await?;
            // Once more, and in the snapshot of that pass everything is compared: nobody waits for it.
            let following = self.following(there);
            following.pass(&mut source, &mut target, Compare::Not).await?;
            verify::compare(
                (&there.source, &there.here, &mut source),
                (&there.target, &there.there, &mut target),
                &there.pairs,
            )
            .await?;
            following.forget(&mut source).await?;
            self.empty_logs(there, &mut target).await?;
        }
        let (from, to) = ((&there.source, &mut source), (&there.target, &mut target));
        carry::sequences(from, to, &there.there, &there.pairs, Moment::Before).await?;

        let mut attempt = 1;
        let crossed = loop {
            if !plain {
                self.catch_up(there, &mut source, &mut target).await?;
            }
            match self.try_to_cross(there, &mut source, &mut target, attempt).await {
                Ok(crossed) => break crossed,
                Err(error) => {
                    // Whatever was lost may have been lost in the middle of something.
                    source = there.source.connect().await?;
                    target = there.target.connect().await?;
                    if !plain {
                        self.following(there).prepare(&mut source, &mut target).await?;
                    }
                    if let Some(epoch) = gate::left_for(&there.source, &mut source).await? {
                        return self.go_forward(there, epoch).await;
                    }
                    let again = matches!(&error, Error::Relocation { source, .. } if source.is_of_the_fence())
                        || patience::is_lock_timeout(&error);
                    if !again || attempt >= self.options.fence_attempts || (plain && is_over_budget(&error)) {
                        return Err(error);
                    }
                    tracing::info!(client = %self.client, attempt, error = %error, "a client is not cut over yet");
                    tokio::time::sleep(patience::pause(attempt).saturating_mul(4)).await;
                    attempt += 1;
                }
            }
        };
        self.settle(there, &mut source, crossed).await
    }

    /// Keeps writers out, brings over the rest, and closes the source to them.
    async fn try_to_cross(
        &self,
        there: &Direction,
        source: &mut PgConnection,
        target: &mut PgConnection,
        attempt: u32,
    ) -> Result<Crossed> {
        let budget = self.options.fence_budget;
        let last = attempt >= self.options.fence_attempts;
        let end = self.options.end_blockers && last;
        // As many turns as the budget has room for.
        let turns = u32::try_from(budget.as_millis() / 300)
            .unwrap_or(u32::MAX)
            .clamp(1, 10);
        let outline = there.here.outline(&there.source, source).await?;
        let spare = self.spare(there).await?;
        let fence = gate::fence(&there.source, &there.pairs, budget, turns, end).await?;
        let left = budget.saturating_sub(fence.since.elapsed());
        let over = |_| self.failed("bringing over the last changes", RelocationError::OverBudget);
        let rest = async {
            if self.is_plain(there) {
                let arrived = self.move_whole(there, source, target).await?;
                return Ok((arrived, self.accept(there, 1).await?));
            }
            // Both at once: writers wait.
            let rest = self.bring_the_rest(there, source, target, &outline);
            futures_util::future::try_join(rest, self.accept(there, 1)).await
        };
        let (arrived, accepted) = tokio::time::timeout(left, rest).await.map_err(over)??;
        self.commit_crossing(there, target, Some(fence), accepted, (arrived, spare))
            .await
    }

    /// A session that a snapshot of the target is pinned in, if one is to be.
    async fn spare(&self, there: &Direction) -> Result<Option<PgConnection>> {
        if self.options.verify_in_full && !self.is_plain(there) && there.way == Way::There {
            return there.target.connect().await.map(Some);
        }
        Ok(None)
    }

    async fn accept(&self, there: &Direction, at_least: Epoch) -> Result<Accepted> {
        cut_over::accept(&self.platform, self.client, &self.entry, there.way, at_least).await
    }

    /// Whether everything moves while writers wait.
    fn is_plain(&self, there: &Direction) -> bool {
        self.entry.is_plain() && there.way == Way::There
    }

    /// All rows of a small client.
    async fn move_whole(
        &self,
        there: &Direction,
        source: &mut PgConnection,
        target: &mut PgConnection,
    ) -> Result<Arrived> {
        if !gate::arrived(&there.target, target).await?.is_empty() {
            leftovers::remove(&there.target, target, &there.there, self.options.removal_batch).await?;
        }
        let snapshot = there.source.pin(source, IN_ONE_SNAPSHOT).await?;
        self.copying(there, false, None).run_on(source, target).await?;
        let tables = verify::compare(
            (&there.source, &there.here, &mut *source),
            (&there.target, &there.there, &mut *target),
            &there.pairs,
        )
        .await?;
        there
            .source
            .commit(source, "ending the snapshot of its rows")
            .await?;
        self.carry(there, source, target).await?;
        Ok(Arrived { tables, snapshot })
    }

    /// What changed since the last pass.
    async fn bring_the_rest(
        &self,
        there: &Direction,
        source: &mut PgConnection,
        target: &mut PgConnection,
        outline: &str,
    ) -> Result<Arrived> {
        if there.here.outline(&there.source, source).await? != outline {
            return Err(self.failed(
                "comparing the tables with those of the plan",
                RelocationError::SchemaChanged { side: "source" },
            ));
        }
        let following = self.following(there);
        let (_, snapshot) = following.pass(source, target, Compare::Keys).await?;
        following.forget(source).await?;
        self.carry(there, source, target).await?;
        Ok(Arrived {
            tables: Vec::new(),
            snapshot,
        })
    }

    async fn carry(
        &self,
        there: &Direction,
        source: &mut PgConnection,
        target: &mut PgConnection,
    ) -> Result<()> {
        let (from, to) = ((&there.source, &mut *source), (&there.target, &mut *target));
        carry::sequences(from, to, &there.there, &there.pairs, Moment::Fenced).await?;
        carry::steps((&there.source, source), (&there.target, target)).await
    }

    /// In the order of commits: the source is closed, and the client is served elsewhere from then on; the target is
    /// opened; the platform database tells.
    async fn commit_crossing(
        &self,
        there: &Direction,
        target: &mut PgConnection,
        fence: Option<Fence>,
        accepted: Accepted,
        (arrived, mut pinned): (Arrived, Option<PgConnection>),
    ) -> Result<Crossed> {
        let mut target_snapshot = String::new();
        if let Some(conn) = &mut pinned {
            target_snapshot = there.target.pin(conn, IN_ONE_SNAPSHOT).await?;
        }
        let (since, epoch) = (fence.as_ref().map(|fence| fence.since), accepted.epoch);
        if let Some(fence) = fence {
            gate::close(&there.source, fence, &there.pairs, epoch).await?;
        }
        gate::open(&there.target, target, epoch, accepted.suspended).await?;
        accepted.commit(&self.entry, there.after()).await?;
        Ok(Crossed {
            epoch,
            tables: arrived.tables,
            source_snapshot: arrived.snapshot,
            target_snapshot,
            fenced: since.map(|since| since.elapsed()).unwrap_or_default(),
            pinned,
        })
    }

    /// What noted the rows that arrived is nothing that changed. Nobody writes to the target yet.
    async fn empty_logs(&self, there: &Direction, target: &mut PgConnection) -> Result<()> {
        let followed = there.pairs.iter().filter(|pair| pair.has_key());
        let logs: Vec<String> = followed.map(|pair| self.capture.log(pair)).collect();
        if there.way == Way::Back || !self.options.follow_back || logs.is_empty() {
            return Ok(());
        }
        let sql = format!("truncate {}", logs.join(", "));
        there
            .target
            .run(target, "emptying the logs of the target", sql)
            .await
            .map(drop)
    }

    /// Ends what an attempt began that was interrupted after the source was closed. Nobody has written to the target
    /// yet: where that is nobody was told.
    pub(super) async fn go_forward(&mut self, there: &Direction, left_for: Epoch) -> Result<()> {
        let mut target = there.target.connect().await?;
        let spare = self.spare(there).await?;
        let accepted = self.accept(there, left_for).await?;
        let crossed = self
            .commit_crossing(there, &mut target, None, accepted, (Arrived::default(), spare))
            .await?;
        let mut source = there.source.connect().await?;
        self.settle(there, &mut source, crossed).await
    }

    /// What is left once the client is served by the target: compares everything once more, and certifies.
    async fn settle(&mut self, there: &Direction, source: &mut PgConnection, crossed: Crossed) -> Result<()> {
        self.entry.is_now(there.after());
        self.entry.was_moved = true;
        self.teller.tell(there.after(), None, 0);
        if there.way == Way::Back {
            return Ok(());
        }
        self.capture
            .remove(&there.source, source, &there.pairs, self.options.trigger_wait)
            .await?;
        let mut tables = crossed.tables;
        let mut in_full = !tables.is_empty();
        let began = Instant::now();
        if let Some(mut pinned) = crossed.pinned {
            const STEP: &str = "comparing the frozen source";
            let sql = "begin isolation level repeatable read, read only";
            there.source.run(source, STEP, sql).await?;
            tables = verify::compare(
                (&there.source, &there.here, &mut *source),
                (&there.target, &there.there, &mut pinned),
                &there.pairs,
            )
            .await?;
            there.source.commit(source, STEP).await?;
            in_full = true;
        }
        let certificate = Certificate {
            client: self.client,
            source: there.source.told(),
            target: there.target.told(),
            epoch: crossed.epoch,
            tables,
            source_snapshot: crossed.source_snapshot,
            target_snapshot: crossed.target_snapshot,
            compared_in_full: in_full,
            fenced_micros: u64::try_from(crossed.fenced.as_micros()).unwrap_or(u64::MAX),
            compared_micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            started_at: self.entry.started.clone(),
            cut_over_at: String::new(),
            actor: String::new(),
        };
        self.entry.certify(&self.platform, &certificate).await
    }
}

fn is_over_budget(error: &Error) -> bool {
    matches!(
        error,
        Error::Relocation {
            source: RelocationError::OverBudget,
            ..
        }
    )
}
