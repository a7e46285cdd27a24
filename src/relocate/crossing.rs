//! Bringing over the last changes while writers are kept out, and having the client be served elsewhere.

use std::time::Duration;

use futures_util::future::{try_join, try_join3};
use sqlx::PgConnection;

use super::carry::{Carried, Moment};
use super::certificate::CertifiedTable;
use super::cut_over::{self, Accepted, Way};
use super::gate::{self, Fence};
use super::moving::{Direction, Moving};
use super::tables::Pair;
use super::verify::Sides;
use super::{leftovers, patience, set_aside, verify};
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
pub(super) struct Crossed {
    pub(super) epoch: Epoch,
    pub(super) tables: Vec<CertifiedTable>,
    pub(super) source_snapshot: String,
    pub(super) target_snapshot: String,
    pub(super) fenced: Duration,
    /// A snapshot of the target as it was opened.
    pub(super) pinned: Option<PgConnection>,
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
        if plain {
            set_aside::silence(&there.target, &mut target, &there.pairs).await?;
        } else {
            self.following(there).prepare(&mut source, &mut target).await?;
            self.catch_up(there, &mut source, &mut target).await?;
            // Once more, and in the snapshot of that pass everything is compared: nobody waits for it.
            let following = self.following(there);
            following.pass(&mut source, &mut target, Moment::Before).await?;
            verify::compare(
                (&there.source, &there.here, &mut source),
                (&there.target, &there.there, &mut target),
                &there.pairs,
                self.options.sides(),
            )
            .await?;
            following.forget(&mut source).await?;
            self.empty_logs(there, &mut target).await?;
        }
        let carried = Carried::read(&there.source, &mut source, &there.pairs).await?;
        let (to, tables) = (&there.target, &there.there);
        carried
            .write(to, &mut target, tables, &there.pairs, Moment::Before)
            .await?;

        let mut attempt = 1;
        let crossed = loop {
            if !plain {
                self.catch_up(there, &mut source, &mut target).await?;
            }
            let tried = self.try_to_cross(there, &mut source, &mut target, &carried, attempt);
            match tried.await {
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
        carried: &Carried,
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
        no_wait_for_the_disk(there, target).await?;
        gate::rehearse(&there.target, target).await?;
        let mut fence = gate::fence(&there.source, &there.pairs, budget, turns, end).await?;
        let left = budget.saturating_sub(fence.since.elapsed());
        let over = |_| self.failed("bringing over the last changes", RelocationError::OverBudget);
        let rest = async {
            let look = self.look(there, &mut fence.conn, &outline);
            // All at once: writers wait.
            let (arrived, now, accepted) = if self.is_plain(there) {
                let (arrived, now) = try_join(self.move_whole(there, source, target), look).await?;
                (arrived, now, self.accept(there, 1).await?)
            } else {
                let rest = self.bring_the_rest(there, source, target);
                try_join3(rest, look, self.accept(there, 1)).await?
            };
            if now != *carried {
                let (to, tables) = (&there.target, &there.there);
                now.write(to, target, tables, &there.pairs, Moment::Fenced)
                    .await?;
            }
            Ok((arrived, accepted))
        };
        let (arrived, accepted) = tokio::time::timeout(left, rest).await.map_err(over)??;
        let crossed = self
            .commit_crossing(there, target, Some(fence), accepted, (arrived, spare))
            .await?;
        there
            .source
            .run(source, "ending the last pass", "rollback")
            .await?;
        Ok(crossed)
    }

    /// What there is at the source beside its rows, whose tables are those that were compared.
    async fn look(&self, there: &Direction, fence: &mut PgConnection, outline: &str) -> Result<Carried> {
        if there.here.outline(&there.source, fence).await? != outline {
            return Err(self.failed(
                "comparing the tables with those of the plan",
                RelocationError::SchemaChanged { side: "source" },
            ));
        }
        Carried::read(&there.source, fence, &there.pairs).await
    }

    /// A session that a snapshot of the target is pinned in, if one is to be.
    async fn spare(&self, there: &Direction) -> Result<Option<PgConnection>> {
        if self.options.verify_in_full && !self.is_plain(there) && there.way == Way::There {
            return there.target.connect().await.map(Some);
        }
        Ok(None)
    }

    async fn accept(&self, there: &Direction, at_least: Epoch) -> Result<Accepted> {
        let way = (there.way, there.after());
        cut_over::accept(&self.platform, self.client, &self.entry, way, at_least).await
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
            Sides::AtOnce,
        )
        .await?;
        Ok(Arrived { tables, snapshot })
    }

    /// What changed since the last pass. The source does not forget it: see [`go_forward`](Self::go_forward).
    async fn bring_the_rest(
        &self,
        there: &Direction,
        source: &mut PgConnection,
        target: &mut PgConnection,
    ) -> Result<Arrived> {
        let (_, snapshot) = self.following(there).pass(source, target, Moment::Fenced).await?;
        Ok(Arrived {
            tables: Vec::new(),
            snapshot,
        })
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
        let pin = async {
            match &mut pinned {
                Some(conn) => there.target.pin(conn, IN_ONE_SNAPSHOT).await,
                None => Ok(String::new()),
            }
        };
        let opening = gate::begin_opening(&there.target, target);
        let (target_snapshot, ()) = try_join(pin, opening).await?;
        let (since, epoch) = (fence.as_ref().map(|fence| fence.since), accepted.epoch);
        if let Some(fence) = fence {
            gate::close(&there.source, fence, &there.pairs, epoch).await?;
        }
        gate::open(&there.target, target, epoch, accepted.suspended).await?;
        accepted.commit().await?;
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
    /// yet: where that is nobody was told. The target may have lost what was not on its disk, and the source, frozen,
    /// has forgotten nothing: the last part is done again.
    pub(super) async fn go_forward(&mut self, there: &Direction, left_for: Epoch) -> Result<()> {
        let mut source = there.source.connect().await?;
        let mut target = there.target.connect().await?;
        let spare = self.spare(there).await?;
        // Refused where clients know that place already: a commit whose answer was lost has ended before this does. What
        // they wrote there is not to be written over.
        self.accept(there, left_for).await?.withdraw().await?;
        set_aside::silence(&there.target, &mut target, &there.pairs).await?;
        let arrived = if self.is_plain(there) {
            self.move_whole(there, &mut source, &mut target).await?
        } else {
            self.following(there).prepare(&mut source, &mut target).await?;
            self.bring_the_rest(there, &mut source, &mut target).await?
        };
        let (to, tables) = (&there.target, &there.there);
        let carried = Carried::read(&there.source, &mut source, &there.pairs).await?;
        carried
            .write(to, &mut target, tables, &there.pairs, Moment::Fenced)
            .await?;
        // Nobody is told before this ends, and nobody else is placed.
        let accepted = self.accept(there, left_for).await?;
        let crossed = self
            .commit_crossing(there, &mut target, None, accepted, (arrived, spare))
            .await?;
        there
            .source
            .run(&mut source, "ending the last pass", "rollback")
            .await?;
        self.settle(there, &mut source, crossed).await
    }
}

/// Has the target's commits not wait for its disk, until [`gate::begin_opening`]: writers wait for them.
async fn no_wait_for_the_disk(there: &Direction, target: &mut PgConnection) -> Result<()> {
    let sql = "set synchronous_commit = off";
    there
        .target
        .run(target, "preparing a session", sql)
        .await
        .map(drop)
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
