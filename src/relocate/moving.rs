//! One attempt at a relocation: both sides, their tables, and the phases.

use std::sync::Arc;

use sqlx::PgConnection;

use super::arrive::Writing;
use super::capture::Capture;
use super::carry::Moment;
use super::copying::Copying;
use super::cut_over::Way;
use super::differences::{self, Differences};
use super::following::Following;
use super::journal::Entry;
use super::options::RelocationOptions;
use super::phase::Phase;
use super::progress::Teller;
use super::session::Side;
use super::tables::{Pair, Tables};
use super::{gate, leftovers, set_aside};
use crate::client::ClientId;
use crate::directory::PlatformDirectory;
use crate::error::{Error, RelocationError, Result};
use crate::provision::{removal, vectors};
use crate::schema::KeyCheck;

/// Both ends of a relocation, and how rows are written at the target.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) source: Side,
    pub(super) target: Side,
    pub(super) here: Tables,
    pub(super) there: Tables,
    pub(super) pairs: Vec<Pair>,
    pub(super) writing: Writing,
    /// What is to be checked beside.
    pub(super) keys: Vec<KeyCheck>,
    pub(super) way: Way,
}

/// A relocation that this process is at.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) platform: PlatformDirectory,
    pub(super) client: ClientId,
    pub(super) entry: Entry,
    pub(super) options: Arc<RelocationOptions>,
    pub(super) capture: Capture,
    pub(super) teller: Teller,
}

impl Moving {
    /// Goes on from where the relocation is until the client is served by the target.
    pub(super) async fn go_on(&mut self, there: &Direction) -> Result<()> {
        loop {
            let phase = self.entry.phase();
            self.teller.tell(phase, None, 0);
            match phase {
                Phase::Planned if self.entry.is_plain() => match self.cross(there).await {
                    Err(Error::Relocation {
                        source: RelocationError::OverBudget,
                        ..
                    }) if there.pairs.iter().all(Pair::has_key) => {
                        leftovers::remove(
                            &there.target,
                            &mut there.target.connect().await?,
                            &there.there,
                            self.options.removal_batch,
                        )
                        .await?;
                        self.entry.follow(&self.platform).await?;
                    }
                    crossed => return crossed,
                },
                Phase::Planned => {
                    let mut conn = there.source.connect().await?;
                    self.capture
                        .install(&there.source, &mut conn, &there.pairs, self.options.trigger_wait)
                        .await?;
                    self.entry.advance(&self.platform, Phase::Copying).await?;
                }
                Phase::Copying => {
                    self.copy(there).await?;
                    self.entry.advance(&self.platform, Phase::Following).await?;
                }
                Phase::Following => return self.cross(there).await,
                _ => return Ok(()),
            }
        }
    }

    async fn copy(&self, there: &Direction) -> Result<()> {
        let mut target = there.target.connect().await?;
        let arrived = gate::arrived(&there.target, &mut target).await?;
        let unbound = !there.target.is_pool();
        if unbound && arrived.is_empty() {
            set_aside::set_aside(&there.target, &mut target, &there.pairs).await?;
        }
        self.copying(there, unbound, Some(&self.capture))
            .run(&arrived)
            .await?;
        if self.options.parallel == 1 {
            let sql = "set max_parallel_maintenance_workers = 0";
            there.target.run(&mut target, "preparing a session", sql).await?;
        }
        set_aside::make_again(&there.target, &mut target).await?;
        let names: Vec<&str> = there.pairs.iter().map(|pair| pair.to.sql.as_str()).collect();
        if unbound && !names.is_empty() {
            let sql = format!("analyze {}", names.join(", "));
            there.target.run(&mut target, "reading statistics", sql).await?;
        }
        let columns = removal::vector_columns(&there.there.manifest);
        if !columns.is_empty() {
            let mut source = there.source.connect().await?;
            let (client, place) = (self.client, there.target.placement);
            vectors::build_same(&mut source, &mut target, client, place, columns).await?;
        }
        Ok(())
    }

    pub(super) fn copying<'a>(
        &'a self,
        there: &'a Direction,
        unbound: bool,
        capture: Option<&'a Capture>,
    ) -> Copying<'a> {
        Copying {
            source: &there.source,
            target: &there.target,
            pairs: &there.pairs,
            manifest: &there.here.manifest,
            options: &self.options,
            teller: &self.teller,
            writing: there.writing,
            keys: &there.keys,
            unbound,
            capture,
        }
    }

    pub(super) fn following<'a>(&'a self, there: &'a Direction) -> Following<'a> {
        Following {
            source: &there.source,
            target: &there.target,
            pairs: &there.pairs,
            capture: &self.capture,
            writing: there.writing,
            keys: &there.keys,
        }
    }

    /// Brings over what changed until little is left. Returns how many keys the last pass had.
    pub(super) async fn catch_up(
        &self,
        there: &Direction,
        source: &mut PgConnection,
        target: &mut PgConnection,
    ) -> Result<()> {
        let following = self.following(there);
        for pass in 1.. {
            let (keys, _) = following.pass(source, target, Moment::Before).await?;
            following.forget(source).await?;
            self.teller.tell(Phase::Following, None, keys);
            if keys <= self.options.short_tail {
                break;
            }
            if pass >= self.options.max_passes {
                return Err(self.failed(
                    "bringing over what changed",
                    RelocationError::FallsBehind {
                        passes: pass,
                        left: keys,
                    },
                ));
            }
        }
        Ok(())
    }

    /// The rows that differ once what changed was brought over.
    pub(super) async fn differences(
        &self,
        there: &Direction,
        after: Option<&str>,
        most: usize,
    ) -> Result<Differences> {
        let mut source = there.source.connect().await?;
        let mut target = there.target.connect().await?;
        let following = self.following(there);
        following.prepare(&mut source, &mut target).await?;
        following.pass(&mut source, &mut target, Moment::Before).await?;
        let (from, to) = ((&there.source, &mut source), (&there.target, &mut target));
        let found = differences::find(from, to, &there.pairs, after, most).await?;
        following.forget(&mut source).await?;
        Ok(found)
    }

    pub(super) fn failed(&self, step: &'static str, source: RelocationError) -> Error {
        Error::Relocation {
            client: self.client,
            step,
            source,
        }
    }
}

impl Direction {
    /// How far the relocation is once this was gone.
    pub(super) fn after(&self) -> Phase {
        match self.way {
            Way::There => Phase::Moved,
            Way::Back => Phase::Cancelling,
        }
    }
}
