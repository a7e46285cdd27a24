//! Beginning an attempt: both sides, with nobody else at them.

use std::sync::Arc;

use secrecy::SecretString;
use sqlx::Connection;
use uuid::Uuid;

use super::arrive::{self, Writing};
use super::capture::Capture;
use super::cut_over::Way;
use super::finding::Finding;
use super::journal::Entry;
use super::moving::{Direction, Moving};
use super::options::RelocateTo;
use super::phase::Phase;
use super::plan;
use super::progress::Teller;
use super::relocation::{Relocation, failed, out_of_phase};
use super::session::Side;
use super::tables::{Pair, fingerprint, pairs};
use crate::client::{ClientId, ClientRef, Placement, PoolId};
use crate::directory::{Directory, Lease, PARTING, column, of_client};
use crate::error::{Error, RelocationError, Result};
use crate::secret::Sealed;

/// What the tables of both sides must be for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expecting {
    /// Those of the plan, while rows are brought over.
    ThePlan,
    /// Whatever they are: it is to end, or to go back.
    Anything,
}

impl Relocation {
    /// Does the work with nobody else at the relocation of that client.
    pub(super) async fn alone<T>(
        &self,
        client: ClientId,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        const STEP: &str = "taking a relocation";
        let expiry = self.options.lease;
        let name = format!("relocate {client}");
        let taken = Lease::take_within(&self.platform, &name, Some(expiry), PARTING).await;
        let taken = taken.map_err(crate::directory::failed(STEP))?;
        let mut lease = taken.ok_or_else(|| failed(client, STEP, RelocationError::Taken))?;
        let outcome = lease.during(expiry / 4, work).await;
        lease.end().await;
        outcome
    }

    /// Another attempt: both sides, with nobody else at them.
    pub(super) async fn begin(
        &self,
        client: ClientId,
        rows: u64,
        expecting: Expecting,
    ) -> Result<(Moving, Direction)> {
        const STEP: &str = "taking a relocation up";
        let entry = Entry::begin_attempt(&self.platform, client).await?;
        let entry = entry.ok_or_else(|| failed(client, STEP, RelocationError::NotUnderWay))?;
        let source = self.side(
            client,
            &entry,
            "source",
            entry.source_pool,
            entry.source_admin.as_ref(),
        );
        let source = source.await?;
        let target = self.side(
            client,
            &entry,
            "target",
            entry.target_pool,
            entry.target_admin.as_ref(),
        );
        let target = target.await?;
        let mut from = source.open().await?;
        let mut to = target.open().await?;
        source.take_over(&mut from).await?;
        target.take_over(&mut to).await?;
        // Whoever slept before that took it from those who had ended it.
        entry.expect_latest(&self.platform).await?;
        let both = plan::read_both((&source, &mut from), (&target, &mut to), &self.options.left_out).await?;
        let (here, there) = both.map_err(|findings| {
            let findings = findings.iter().map(ToString::to_string).collect();
            failed(client, STEP, RelocationError::Stopped { findings })
        })?;
        let is_on_its_way = matches!(entry.phase(), Phase::Planned | Phase::Copying | Phase::Following);
        if is_on_its_way && expecting == Expecting::ThePlan && fingerprint(&here, &there) != entry.fingerprint
        {
            return Err(failed(
                client,
                STEP,
                RelocationError::SchemaChanged {
                    side: "source or target",
                },
            ));
        }
        let writing = Writing::of(&target, &mut to).await?;
        let keys = arrive::unchecked(writing, &target, &mut to, &there).await?;
        let _ = (from.close().await, to.close().await);
        let moving = Moving {
            platform: self.platform.clone(),
            client,
            capture: Capture::of(entry.id),
            teller: Teller::new(
                client,
                self.listeners.clone(),
                rows,
                self.options.bytes_per_second,
            ),
            options: Arc::clone(&self.options),
            entry,
        };
        let direction = Direction {
            pairs: pairs(&here, &there),
            source,
            target,
            here,
            there,
            writing,
            keys,
            way: Way::There,
        };
        Ok((moving, direction))
    }

    /// The way back of a relocation that is cut over.
    pub(super) async fn begin_back(
        &self,
        client: ClientId,
        what: &'static str,
    ) -> Result<(Moving, Direction)> {
        let (moving, there) = self.begin(client, 0, Expecting::Anything).await?;
        let phase = moving.entry.phase();
        if phase != Phase::Moved || !self.options.follow_back {
            return Err(out_of_phase(client, what, phase));
        }
        let back = moving.back(&there).await?;
        Ok((moving, back))
    }

    async fn side(
        &self,
        client: ClientId,
        entry: &Entry,
        name: &'static str,
        pool: Option<PoolId>,
        admin: Option<&Sealed>,
    ) -> Result<Side> {
        let admin_url = match pool {
            Some(pool) => self.platform.pool_admin_url(pool).await?,
            None => self.dedicated_url(client, admin).await?,
        };
        Ok(Side {
            name,
            client,
            placement: pool.map_or(Placement::Dedicated, Placement::Pool),
            admin_url,
            relocation: entry.id,
            attempt: entry.attempt,
            lock_timeout: self.options.lock_timeout,
        })
    }

    async fn dedicated_url(&self, client: ClientId, admin: Option<&Sealed>) -> Result<SecretString> {
        let owner = || format!("client {client}");
        let sealed = admin.ok_or_else(|| Error::MissingCredential {
            owner: owner(),
            what: column::CLIENT_ADMIN.to_owned(),
        })?;
        let for_ = of_client(client, column::CLIENT_ADMIN);
        self.platform.open(sealed, for_, owner).await
    }

    /// Compares both sides as they are now; and the pool that the client is in.
    pub(super) async fn compare(
        &self,
        client: ClientId,
        to: &RelocateTo,
    ) -> Result<(plan::Compared, Option<PoolId>)> {
        let unknown = || Error::UnknownClient {
            client: client.into(),
        };
        let record = self
            .platform
            .client(&ClientRef::Id(client))
            .await?
            .ok_or_else(unknown)?;
        let side = |name, placement, admin_url| Side {
            name,
            client,
            placement,
            admin_url,
            relocation: Uuid::nil(),
            attempt: 0,
            lock_timeout: self.options.lock_timeout,
        };
        let source_pool = match record.placement {
            Placement::Pool(pool) => Some(pool),
            Placement::Dedicated => None,
        };
        let source_url = match source_pool {
            Some(pool) => self.platform.pool_admin_url(pool).await?,
            None => self.platform.dedicated_admin_url(client).await?,
        };
        let (target_pool, target) = match to {
            RelocateTo::Pool(pool) if source_pool == Some(*pool) => {
                return Err(Error::Refused {
                    what: format!("client {client}"),
                    step: "relocating",
                    reason: format!("it is in pool {pool} already"),
                });
            }
            RelocateTo::Pool(pool) => {
                let url = self.platform.pool_admin_url(*pool).await?;
                (Some(*pool), side("target", Placement::Pool(*pool), url))
            }
            RelocateTo::Dedicated { admin_url, .. } => {
                (None, side("target", Placement::Dedicated, admin_url.clone()))
            }
        };
        let source = side("source", record.placement, source_url);
        let mut from = source.open().await?;
        let mut into = target.open().await?;
        let compared = plan::compare(
            &self.platform,
            (&source, &mut from),
            (&target, &mut into),
            target_pool,
            &self.options.left_out,
            self.options.plain_rows,
        )
        .await?;
        let _ = (from.close().await, into.close().await);
        Ok((compared, source_pool))
    }
}

impl Moving {
    /// The way back of a relocation that is cut over. The host's tables may have changed meanwhile, if both sides' did.
    pub(super) async fn back(&self, there: &Direction) -> Result<Direction> {
        const STEP: &str = "following it back";
        let mut findings = plan::findings_of_both(&there.here, &there.there, &there.pairs);
        findings.retain(Finding::stops);
        let keyless = there.pairs.iter().filter(|pair| !pair.has_key());
        findings.extend(keyless.map(|pair| Finding::NoKey { table: pair.name() }));
        if !findings.is_empty() {
            let findings = findings.iter().map(ToString::to_string).collect();
            return Err(self.failed(STEP, RelocationError::Stopped { findings }));
        }
        let back = there.reversed().await?;
        let mut conn = back.source.connect().await?;
        // One that was made since has none, and what was written to it is noted nowhere.
        if !self
            .capture
            .is_whole(&back.source, &mut conn, &back.pairs)
            .await?
        {
            return Err(self.failed(STEP, RelocationError::SchemaChanged { side: "target" }));
        }
        Ok(back)
    }
}

impl Direction {
    pub(super) async fn reversed(&self) -> Result<Self> {
        let mut conn = self.source.connect().await?;
        let writing = Writing::of(&self.source, &mut conn).await?;
        let keys = arrive::unchecked(writing, &self.source, &mut conn, &self.here).await?;
        let _ = conn.close().await;
        Ok(Self {
            source: self.target.clone(),
            target: self.source.clone(),
            here: self.there.clone(),
            there: self.here.clone(),
            pairs: self.pairs.iter().map(Pair::reversed).collect(),
            writing,
            keys,
            way: match self.way {
                Way::There => Way::Back,
                Way::Back => Way::There,
            },
        })
    }
}
