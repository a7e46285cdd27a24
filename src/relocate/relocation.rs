use std::sync::Arc;

use futures_core::Stream;
use tokio::sync::broadcast;

use super::attempt::Expecting;
use super::differences::Differences;
use super::gate;
use super::journal::{self, Entry, NewEntry};
use super::options::{RelocateTo, RelocationOptions};
use super::phase::Phase;
use super::plan::RelocationPlan;
use super::progress::RelocationProgress;
use super::status::RelocationStatus;
use crate::client::ClientId;
use crate::directory::{PlatformDirectory, column, of_client};
use crate::error::{Error, RelocationError, Result};
use crate::plan::TierName;

/// Moves clients between databases, with nothing lost. One per process; cheap to clone.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory, vast: tenantry::ClientId, app: String, admin: String)
/// # -> tenantry::Result<()> {
/// use tenantry::{RelocateTo, Relocation};
///
/// let relocation = Relocation::new(platform);
/// let to = RelocateTo::dedicated(app, admin);
/// let plan = relocation.plan(vast, &to).await?;
/// assert!(plan.is_possible(), "{:?}", plan.findings);
/// let moved = relocation.start(vast, &to).await?;
/// // Served by its own database from here on. When all is well:
/// relocation.complete(vast).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Relocation {
    pub(super) platform: PlatformDirectory,
    pub(super) options: Arc<RelocationOptions>,
    pub(super) listeners: broadcast::Sender<RelocationProgress>,
}

/// As many events are kept for who listens more slowly than they come.
const KEPT_EVENTS: usize = 256;

impl Relocation {
    /// With the options that are the defaults.
    pub fn new(platform: PlatformDirectory) -> Self {
        Self {
            platform,
            options: Arc::default(),
            listeners: broadcast::Sender::new(KEPT_EVENTS),
        }
    }

    /// How clients are relocated. Defaults to [`RelocationOptions::default`].
    #[must_use]
    pub fn options(mut self, options: RelocationOptions) -> Self {
        self.options = Arc::new(options);
        self
    }

    /// Tells how the relocations of this value and its clones go, from now on. Whoever listens too slowly misses some.
    pub fn progress(&self) -> impl Stream<Item = RelocationProgress> + Send + use<> {
        let mut events = self.listeners.subscribe();
        async_stream::stream! {
            loop {
                match events.recv().await {
                    Ok(event) => yield event,
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break,
                }
            }
        }
    }

    /// Compares both sides, and counts what there is to move. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::MissingCredential`], [`Error::WrongKey`], [`Error::Invalid`] and
    /// [`Error::Unreachable`] of either database; [`Error::Refused`] where the client is there already.
    pub async fn plan(&self, client: ClientId, to: &RelocateTo) -> Result<RelocationPlan> {
        Ok(self.compare(client, to).await?.0.plan)
    }

    /// Relocates a client: it is served by the target when this returns. Its rows at the source stay until
    /// [`complete`](Self::complete), and what it writes can be [followed back](Self::follow_back) there: its keys are
    /// noted until then, which takes room where nobody follows it back for long.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); [`Error::Relocation`] with what stands against it, in which case nothing was done, or
    /// with what kept it from being cut over: it is then under way, served by the source, and
    /// [`resume`](Self::resume) goes on.
    ///
    /// # Cancel safety
    /// Dropped, it is under way or not begun; [`resume`](Self::resume) goes on, in whatever process, and
    /// [`cancel`](Self::cancel) gives it up. Writers that are kept out go on within the
    /// [budget](RelocationOptions::fence_budget). Dropped in the middle of the cut-over, the client may be refused
    /// everywhere until it is resumed.
    pub async fn start(&self, client: ClientId, to: &RelocateTo) -> Result<RelocationStatus> {
        self.start_with(client, to, None).await
    }

    pub(super) async fn start_with(
        &self,
        client: ClientId,
        to: &RelocateTo,
        tier: Option<&TierName>,
    ) -> Result<RelocationStatus> {
        self.alone(client, Box::pin(self.begin_to(client, to, tier)))
            .await?;
        self.expect_status(client).await
    }

    async fn begin_to(&self, client: ClientId, to: &RelocateTo, tier: Option<&TierName>) -> Result<()> {
        if let Some(entry) = Entry::open(&self.platform, client).await? {
            let phase = entry.phase().to_string();
            return Err(failed(client, "planning", RelocationError::UnderWay { phase }));
        }
        let (compared, source_pool) = self.compare(client, to).await?;
        if !compared.plan.is_possible() {
            let stopping = compared.plan.findings.iter().filter(|finding| finding.stops());
            let findings = stopping.map(ToString::to_string).collect();
            return Err(failed(client, "planning", RelocationError::Stopped { findings }));
        }
        let (target_pool, target) = match to {
            RelocateTo::Pool(pool) => (Some(*pool), None),
            RelocateTo::Dedicated { app_url, admin_url } => {
                let owner = || format!("client {client}");
                let (app, admin) = (
                    of_client(client, column::CLIENT_APP),
                    of_client(client, column::CLIENT_ADMIN),
                );
                let app = self.platform.seal(app_url, app, owner).await?;
                let admin = self.platform.seal(admin_url, admin, owner).await?;
                (None, Some((app, admin)))
            }
        };
        let new = NewEntry {
            client,
            plain: compared.plan.plain,
            source_pool,
            target_pool,
            target,
            target_tier: tier.map(|tier| tier.as_str().to_owned()),
            fingerprint: compared.fingerprint,
        };
        Entry::create(&self.platform, new).await?;
        self.go_on(client, compared.plan.rows()).await
    }

    /// Goes on with a relocation that was interrupted, until the client is served by the target; where it was being
    /// completed or cancelled, with that.
    ///
    /// # Errors
    /// [`Error::Relocation`] where there is none, or another process is at it; else as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn resume(&self, client: ClientId) -> Result<RelocationStatus> {
        self.alone(client, Box::pin(self.go_on(client, 0))).await?;
        self.expect_status(client).await
    }

    /// Brings to the source what the client wrote since it was cut over, until little is left: the less, the quicker
    /// it can be [reverted](Self::revert).
    ///
    /// # Errors
    /// [`Error::Relocation`] where it is not cut over; else as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Dropped, some of it was brought back; call it again.
    pub async fn follow_back(&self, client: ClientId) -> Result<()> {
        let work = Box::pin(async {
            let (moving, back) = self.begin_back(client, "to follow it back").await?;
            let mut source = back.source.connect().await?;
            let mut target = back.target.connect().await?;
            moving.following(&back).prepare(&mut source, &mut target).await?;
            moving.catch_up(&back, &mut source, &mut target).await
        });
        self.alone(client, work).await
    }

    /// Has the client be served by the source again, with everything that it wrote since, and removes what is at the
    /// target; a database of its own is left empty.
    ///
    /// # Errors
    /// [`Error::Relocation`] where it is not cut over, nothing is followed back, a table has no key to follow it by, or
    /// one was made since; else as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Dropped, it is cut over still, or back at the source; call it again, or [`resume`](Self::resume).
    pub async fn revert(&self, client: ClientId) -> Result<RelocationStatus> {
        let work = Box::pin(async {
            let (mut moving, back) = self.begin_back(client, "to revert it").await?;
            moving.cross(&back).await?;
            self.clear_away(&mut moving, &back.reversed().await?).await
        });
        self.alone(client, work).await?;
        self.expect_status(client).await
    }

    /// Gives a relocation up that is not cut over, and removes what has arrived at the target.
    ///
    /// # Errors
    /// [`Error::Relocation`] where there is none, it is cut over, or another process is at it.
    ///
    /// # Cancel safety
    /// Dropped, some of it was removed; call it again.
    pub async fn cancel(&self, client: ClientId) -> Result<RelocationStatus> {
        let work = Box::pin(async {
            let (mut moving, there) = self.begin(client, 0, Expecting::Anything).await?;
            let mut source = there.source.connect().await?;
            let left = gate::left_for(&there.source, &mut source).await?;
            let phase = moving.entry.phase();
            let early = matches!(
                phase,
                Phase::Planned | Phase::Copying | Phase::Following | Phase::Cancelling
            );
            if !early || (left.is_some() && phase != Phase::Cancelling) {
                return Err(out_of_phase(client, "to cancel it", phase));
            }
            self.clear_away(&mut moving, &there).await
        });
        self.alone(client, work).await?;
        self.expect_status(client).await
    }

    /// Removes the client's rows at the source, and whatever was needed to go back. A database of its own is not
    /// touched: nobody serves it, and it can be dropped.
    ///
    /// # Errors
    /// [`Error::Relocation`] where it is not cut over, or was not compared in full.
    ///
    /// # Cancel safety
    /// Dropped, some of it was removed; call it again.
    pub async fn complete(&self, client: ClientId) -> Result<RelocationStatus> {
        let work = Box::pin(async {
            let (mut moving, there) = self.begin(client, 0, Expecting::Anything).await?;
            self.finish(&mut moving, &there).await
        });
        self.alone(client, work).await?;
        self.expect_status(client).await
    }

    /// Names the rows that are not the same on both sides, of a relocation that brings changes over or back: what
    /// changed is brought over first, and both are compared in the snapshot of that. `most` rows at most; behind a
    /// table, where an earlier call [says](Differences::next_after) so.
    ///
    /// # Errors
    /// [`Error::Relocation`] where nothing is followed now; else as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Dropped, some of it was brought over.
    pub async fn differences(
        &self,
        client: ClientId,
        after: Option<&str>,
        most: usize,
    ) -> Result<Differences> {
        let work = Box::pin(async {
            let (moving, mut there) = self.begin(client, 0, Expecting::ThePlan).await?;
            match moving.entry.phase() {
                Phase::Following => {}
                Phase::Moved if self.options.follow_back => there = moving.back(&there).await?,
                phase => return Err(out_of_phase(client, "to compare it", phase)),
            }
            moving.differences(&there, after, most).await
        });
        self.alone(client, work).await
    }

    /// How the latest relocation of the client stands; `None` where there was none.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn status(&self, client: ClientId) -> Result<Option<RelocationStatus>> {
        journal::status(&self.platform, client).await
    }

    /// Those that are under way, the oldest first, 1,000 at most: for whoever resumes what was interrupted.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn unfinished(&self) -> Result<Vec<RelocationStatus>> {
        journal::unfinished(&self.platform).await
    }

    async fn expect_status(&self, client: ClientId) -> Result<RelocationStatus> {
        let status = self.status(client).await?;
        status.ok_or_else(|| failed(client, "reading how it stands", RelocationError::NotUnderWay))
    }

    async fn go_on(&self, client: ClientId, rows: u64) -> Result<()> {
        let (mut moving, there) = self.begin(client, rows, Expecting::ThePlan).await?;
        let outcome = async {
            match moving.entry.phase() {
                Phase::Completing => return self.finish(&mut moving, &there).await,
                Phase::Cancelling => return self.clear_away(&mut moving, &there).await,
                Phase::Planned | Phase::Copying | Phase::Following => {
                    let mut source = there.source.connect().await?;
                    if let Some(epoch) = gate::left_for(&there.source, &mut source).await? {
                        return moving.go_forward(&there, epoch).await;
                    }
                }
                Phase::Moved => {
                    // On its way back, and interrupted after it was closed there.
                    let mut target = there.target.connect().await?;
                    if let Some(epoch) = gate::left_for(&there.target, &mut target).await? {
                        moving.go_forward(&there.reversed().await?, epoch).await?;
                        return self.clear_away(&mut moving, &there).await;
                    }
                    return moving.settle_late(&there).await;
                }
                _ => return Ok(()),
            }
            moving.go_on(&there).await
        }
        .await;
        if let Err(error) = &outcome {
            moving.entry.note_failure(&self.platform, error).await;
        }
        outcome
    }
}

pub(super) fn failed(client: ClientId, step: &'static str, source: RelocationError) -> Error {
    Error::Relocation { client, step, source }
}

pub(super) fn out_of_phase(client: ClientId, what: &'static str, phase: Phase) -> Error {
    let phase = phase.to_string();
    failed(client, "going on", RelocationError::OutOfPhase { what, phase })
}
