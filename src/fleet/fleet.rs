use std::sync::Arc;

use futures_util::StreamExt;
use sqlx::migrate::Migrator;
use tokio::sync::mpsc;

use super::event::{FleetEvent, FleetEvents};
use super::finding::{self, FleetFinding};
use super::history::FleetEntry;
use super::ledger;
use super::options::FleetOptions;
use super::plan::FleetPlan;
use super::run;
use super::sets::{Sets, Way};
use super::status::FleetStatus;
use crate::directory::{FleetOwner, Lease, PlatformDirectory, failed};
use crate::error::{Error, FleetError, Result};

/// All pool and dedicated databases: brings them to the host's migrations and the crate's kernel, and back. One for each
/// run of a deployment; cheap to clone.
///
/// The databases of suspended and archived clients are part of it. Those of clients that are being set up, deleted or
/// erased are not: a client that is set up has the current version, and one that is undeleted is brought there by the
/// next run.
///
/// What the platform database knows to be there is not connected to. A database that fails is left where its last whole
/// migration brought it, and comes first in its ring the next time. Of several processes one is at it.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory) -> tenantry::Result<()> {
/// use futures_util::StreamExt;
/// use tenantry::{Fleet, FleetEvent, FleetOptions, Ring};
///
/// static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");
///
/// let rings = [Ring::named(["pool-1", "acme"]), Ring::percent(10), Ring::all()];
/// let fleet = Fleet::new(platform.acting_as("deploy"), &HOST).options(FleetOptions::default().rings(rings));
/// println!("{}", fleet.plan().await?);
/// let mut events = fleet.migrate();
/// while let Some(event) = events.next().await {
///     if let FleetEvent::Ended(report) = event? {
///         assert!(report.is_complete(), "{:?}", report.failed);
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Fleet {
    pub(super) platform: PlatformDirectory,
    pub(super) sets: Arc<Sets>,
    pub(super) options: Arc<FleetOptions>,
}

/// As many events wait for who asks for them more slowly than they come.
const WAITING_EVENTS: usize = 64;

impl Fleet {
    /// With the host's migrations, those that [`Provisioning`](crate::Provisioning) has.
    pub fn new(platform: PlatformDirectory, host: &'static Migrator) -> Self {
        Self {
            platform,
            sets: Arc::new(Sets::new(host)),
            options: Arc::default(),
        }
    }

    /// How it is migrated. Defaults to [`FleetOptions::default`].
    #[must_use]
    pub fn options(mut self, options: FleetOptions) -> Self {
        self.options = Arc::new(options);
        self
    }

    /// What [`migrate`](Self::migrate) would do. Databases that are not known to be current are asked; nothing is
    /// changed, and no lock is taken.
    ///
    /// # Errors
    /// [`Error::Fleet`] where a ring names a database that is not there; [`Error::Platform`].
    pub async fn plan(&self) -> Result<FleetPlan> {
        FleetPlan::of(self, Way::Up).await
    }

    /// Brings every database of the rings to the newest migration, of the kernel and of the host. What is applied is not
    /// applied again: call it again to go on after a failure or a crash.
    ///
    /// The events end with an error where another process is at it ([`Error::Fleet`]), a ring names a database that is
    /// not there, or the platform database does not answer; what fails in a data database is in the report.
    ///
    /// # Cancel safety
    /// Dropped, each database has whole migrations, and the next call goes on. One that runs without a transaction goes
    /// on in the server and counts as half applied: [`settle`](Self::settle) it.
    pub fn migrate(&self) -> FleetEvents {
        self.run(Way::Up)
    }

    /// Takes back every migration of the host that is newer than that version, where it is applied, the newest first, by
    /// its down migration; the kernel stays. Databases say that they are older before anything is taken back.
    ///
    /// The events end as those of [`migrate`](Self::migrate) do; also with an error, and nothing done, where a migration
    /// that would be taken back has no down migration.
    ///
    /// # Cancel safety
    /// As [`migrate`](Self::migrate).
    pub fn roll_back(&self, to: i64) -> FleetEvents {
        self.run(Way::Down { to })
    }

    /// What [`roll_back`](Self::roll_back) would do.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); also where a migration has no down migration.
    pub async fn plan_roll_back(&self, to: i64) -> Result<FleetPlan> {
        self.check_way_back(to)?;
        FleetPlan::of(self, Way::Down { to }).await
    }

    /// Asks every database, and says where it is not as it should be: migrations that were changed, are not known here,
    /// missing or half applied, and tables that were changed by hand.
    ///
    /// # Errors
    /// [`Error::Platform`]. A database that does not answer is a finding.
    pub async fn verify(&self) -> Result<Vec<FleetFinding>> {
        finding::all(self).await
    }

    /// How the fleet stands, by what the platform database knows.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn status(&self) -> Result<FleetStatus> {
        FleetStatus::of(self).await
    }

    /// What was done to a database, the last first; so much at most.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn history(&self, of: FleetOwner, most: u32) -> Result<Vec<FleetEntry>> {
        ledger::history(&self.platform, of, most).await
    }

    fn check_way_back(&self, to: i64) -> Result<()> {
        self.sets.host.check_way_back(to).map_err(|source| Error::Fleet {
            database: "the fleet".to_owned(),
            step: Way::Down { to }.step(),
            source,
        })
    }

    fn run(&self, way: Way) -> FleetEvents {
        let fleet = self.clone();
        let events = async_stream::try_stream! {
            if let Way::Down { to } = way {
                fleet.check_way_back(to)?;
            }
            let mut lease = fleet.alone().await?;
            let (tell, mut told) = mpsc::channel(WAITING_EVENTS);
            let ended = {
                let work = lease.during(fleet.options.lease / 4, run::go(fleet.clone(), way, tell));
                let mut work = std::pin::pin!(work);
                loop {
                    tokio::select! {
                        biased;
                        Some(event) = told.recv() => yield event,
                        ended = &mut work => break ended,
                    }
                }
            };
            while let Ok(event) = told.try_recv() {
                yield event;
            }
            lease.end().await;
            yield FleetEvent::Ended(ended?);
        };
        FleetEvents {
            events: events.boxed(),
        }
    }

    /// Nobody else is at it until this ends.
    async fn alone(&self) -> Result<Lease> {
        let options = &self.options;
        let lease = Lease::take_within(&self.platform, "fleet", Some(options.lease), options.wait).await;
        let lease = lease.map_err(failed("waiting for who migrates the fleet"))?;
        lease.ok_or_else(|| Error::Fleet {
            database: "the fleet".to_owned(),
            step: "beginning",
            source: FleetError::Busy,
        })
    }
}
