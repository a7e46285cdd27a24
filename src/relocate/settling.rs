//! What is left once a client is served by the target: comparing everything once more, and certifying.

use std::time::Instant;

use sqlx::PgConnection;

use super::carry::Moment;
use super::certificate::{Certificate, CertifiedTable};
use super::crossing::Crossed;
use super::cut_over::Way;
use super::moving::{Direction, Moving};
use super::tables::Pair;
use super::verify;
use crate::client::{ClientRef, Epoch};
use crate::directory::Directory;
use crate::error::{Error, Result};

impl Moving {
    /// Compares the frozen source with the target as it was opened, and certifies.
    pub(super) async fn settle(
        &mut self,
        there: &Direction,
        source: &mut PgConnection,
        crossed: Crossed,
    ) -> Result<()> {
        self.entry.is_now(there.after());
        self.entry.was_moved = true;
        self.teller.tell(there.after(), None, 0);
        if there.way == Way::Back {
            return Ok(());
        }
        self.capture
            .remove(&there.source, source, self.options.trigger_wait)
            .await?;
        let mut certificate = self.certificate(there, crossed.epoch, crossed.tables);
        certificate.source_snapshot = crossed.source_snapshot;
        certificate.target_snapshot = crossed.target_snapshot;
        certificate.fenced_micros = u64::try_from(crossed.fenced.as_micros()).unwrap_or(u64::MAX);
        if let Some(mut pinned) = crossed.pinned {
            const STEP: &str = "comparing the frozen source";
            let began = Instant::now();
            let sql = "begin isolation level repeatable read, read only";
            there.source.run(source, STEP, sql).await?;
            certificate.tables = verify::compare(
                (&there.source, &there.here, &mut *source),
                (&there.target, &there.there, &mut pinned),
                &there.pairs,
                self.options.sides(),
            )
            .await?;
            there.source.commit(source, STEP).await?;
            certificate.compared_in_full = true;
            certificate.compared_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        }
        self.entry.certify(&self.platform, &certificate).await
    }

    /// Certifies a relocation whose mover ended before it had: brings back what was written since, and compares both
    /// sides in the snapshot of that.
    pub(super) async fn settle_late(&mut self, there: &Direction) -> Result<()> {
        if self.entry.compared_in_full
            || !self.options.follow_back
            || !self.options.verify_in_full
            || !there.pairs.iter().all(Pair::has_key)
        {
            return Ok(());
        }
        let back = self.back(there).await?;
        let client = self.platform.client(&ClientRef::Id(self.client)).await?;
        let client = client.ok_or_else(|| Error::UnknownClient {
            client: self.client.into(),
        })?;
        let mut source = back.source.connect().await?;
        let mut target = back.target.connect().await?;
        let following = self.following(&back);
        following.prepare(&mut source, &mut target).await?;
        self.catch_up(&back, &mut source, &mut target).await?;
        let began = Instant::now();
        let (_, snapshot) = following.pass(&mut source, &mut target, Moment::Before).await?;
        let tables = verify::compare(
            (&back.source, &back.here, &mut source),
            (&back.target, &back.there, &mut target),
            &back.pairs,
            self.options.sides(),
        )
        .await?;
        following.forget(&mut source).await?;
        let mut certificate = self.certificate(there, client.epoch, tables);
        certificate.target_snapshot = snapshot;
        certificate.compared_in_full = true;
        certificate.compared_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.entry.certify(&self.platform, &certificate).await
    }

    fn certificate(&self, there: &Direction, epoch: Epoch, tables: Vec<CertifiedTable>) -> Certificate {
        Certificate {
            client: self.client,
            source: there.source.told(),
            target: there.target.told(),
            epoch,
            compared_in_full: !tables.is_empty(),
            tables,
            source_snapshot: String::new(),
            target_snapshot: String::new(),
            fenced_micros: 0,
            compared_micros: 0,
            started_at: self.entry.started.clone(),
            cut_over_at: String::new(),
            actor: String::new(),
        }
    }
}
