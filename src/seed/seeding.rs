use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::data_set::DataSet;
use super::plan::{ClientPlan, Plan};
use super::report::{Outcome, SeedReport, SeedVerification};
use super::secret_form::{Forms, SecretForm};
use super::secret_source::{SecretSource, Secrets};
use crate::client::ClientRecord;
use crate::directory::{Lease, PlatformDirectory, failed};
use crate::error::{Error, Result, SeedError};
use crate::provision::Provisioning;
use crate::routing::ClientConnectionManager;

/// Has clients and rows be there as data sets describe them. Safe to run again, and by several processes at once.
///
/// ```no_run
/// # use tenantry::{ClientConnectionManager, PlatformDirectory, Result};
/// use tenantry::{DataSet, EnvironmentSecrets, Seed};
///
/// # async fn example(platform: PlatformDirectory, manager: ClientConnectionManager) -> Result<()> {
/// let seed = Seed::new(platform, manager)
///     .data(DataSet::read("seed/clients.json").await?)
///     .data(DataSet::read("seed/tools.json").await?)
///     .secrets(EnvironmentSecrets::default().prefix("SEED_"));
/// println!("{}", seed.dry_run().await?);
/// println!("{}", seed.apply().await?);
/// assert!(seed.verify().await?.is_complete());
/// # Ok(()) }
/// ```
///
/// Only what is described is compared and written: other columns, and other rows, are left alone. A client's rows are
/// written in its own scope, in one transaction unless there are [too many](Self::transaction_rows), and count towards
/// its limits. Secrets are read once, before anything is written.
#[derive(Clone)]
pub struct Seed {
    pub(super) platform: PlatformDirectory,
    pub(super) manager: ClientConnectionManager,
    pub(super) provisioning: Option<Provisioning>,
    sets: Vec<DataSet>,
    source: Option<Arc<dyn SecretSource>>,
    pub(super) forms: Forms,
    pub(super) shared_rows: SharedRows,
    pub(super) extra: Extra,
    pub(super) batch_rows: usize,
    pub(super) transaction_rows: usize,
    pub(super) findings: usize,
    concurrency: usize,
    pub(super) wait: Duration,
}

/// Which databases shared rows go into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedRows {
    /// Those that the clients of the data sets live in.
    #[default]
    OfClients,
    /// Every pool database, and every dedicated database of a client that is served.
    OfFleet,
}

/// What becomes of rows that are there and are not described. They are never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extra {
    /// Nothing.
    #[default]
    Leave,
    /// They are counted, which reads each table.
    Report,
}

/// What is done of what is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Apply,
    Look,
}

/// One run, with all that it needs.
pub(super) struct Run<'r> {
    pub(super) seed: &'r Seed,
    pub(super) plan: Plan<'r>,
    pub(super) secrets: Secrets,
    pub(super) mode: Mode,
    pub(super) extra: Extra,
}

/// What a client is, where it is one by now.
pub(super) type Found<'r> = (&'r ClientPlan<'r>, Option<ClientRecord>);

/// Whoever seeds a client holds a connection and may need a second one, of as many as there are for all.
const MOST_AT_ONCE: usize = 8;

impl Seed {
    /// Of that platform, by handles of that manager, which both are of one platform database.
    pub fn new(platform: PlatformDirectory, manager: ClientConnectionManager) -> Self {
        Self {
            platform,
            manager,
            provisioning: None,
            sets: Vec::new(),
            source: None,
            forms: Forms::default(),
            shared_rows: SharedRows::default(),
            extra: Extra::default(),
            batch_rows: 500,
            transaction_rows: 20_000,
            findings: 100,
            concurrency: 4,
            wait: Duration::from_mins(1),
        }
    }

    /// One more data set, beside those before it: they may refer to each other's rows. Defaults to none.
    #[must_use]
    pub fn data(mut self, set: DataSet) -> Self {
        self.sets.push(set);
        self
    }

    /// What sets up clients that are not there. Defaults to none: they are then
    /// [created](PlatformDirectory::create_client), which makes no database of their own.
    #[must_use]
    pub fn provisioning(mut self, provisioning: Provisioning) -> Self {
        self.provisioning = Some(provisioning);
        self
    }

    /// Where secrets come from. Defaults to nowhere: a data set that names one is then refused.
    #[must_use]
    pub fn secrets(mut self, source: impl SecretSource + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What is made of a secret under that name, such as `argon2`. Defaults to none.
    #[must_use]
    pub fn secret_form(mut self, name: impl Into<String>, form: impl SecretForm + 'static) -> Self {
        self.forms.add(name.into(), Arc::new(form));
        self
    }

    /// Which databases shared rows go into. Defaults to [`SharedRows::OfClients`].
    #[must_use]
    pub fn shared_rows(mut self, which: SharedRows) -> Self {
        self.shared_rows = which;
        self
    }

    /// What becomes of rows that are there and are not described. Defaults to [`Extra::Leave`].
    #[must_use]
    pub fn extra(mut self, extra: Extra) -> Self {
        self.extra = extra;
        self
    }

    /// How many rows are compared and written in one statement. Defaults to 500.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// After how many rows a transaction is committed and the next one begun. Defaults to 20,000.
    #[must_use]
    pub fn transaction_rows(mut self, rows: usize) -> Self {
        self.transaction_rows = rows.max(1);
        self
    }

    /// How many rows of a table, of those that are missing or differ, a verification names. Defaults to 100.
    #[must_use]
    pub fn findings(mut self, rows: usize) -> Self {
        self.findings = rows;
        self
    }

    /// How many clients, or databases, are seeded at once; 8 at most. Defaults to 4.
    #[must_use]
    pub fn concurrency(mut self, at_once: usize) -> Self {
        self.concurrency = at_once.clamp(1, MOST_AT_ONCE);
        self
    }

    /// How long another process is waited for that seeds the same client or database, and a lock of a shared table.
    /// Defaults to 60 seconds.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// What [`apply`](Self::apply) would do. It writes nothing, and keeps nobody waiting.
    ///
    /// Of a client that is not there yet, every row is one that would be created; whether its values would be taken
    /// is not known then, nor what constraints say of any; nor, but where they are for the
    /// [fleet](SharedRows::OfFleet), where the shared rows of its database are to go.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), without those of writing.
    ///
    /// # Cancel safety
    /// Dropped, nothing has changed.
    pub async fn dry_run(&self) -> Result<SeedReport> {
        let outcomes = self.run(Mode::Look, self.extra).await?;
        Ok(SeedReport::of(outcomes, false))
    }

    /// Has everything be there as it is described. Says what it did.
    ///
    /// # Errors
    /// [`Error::Seed`], which says where in which data set, and what; [`Error::UnknownClient`] and
    /// [`Error::NotServed`] of a client that is not to be created; those of [`provision`](Provisioning::provision) or
    /// [`create_client`](PlatformDirectory::create_client), [`set_tier`](PlatformDirectory::set_tier) and
    /// [`set_credential`](PlatformDirectory::set_credential); [`Error::Constraint`] and [`Error::LimitReached`] of a
    /// client's rows; those of [`begin`](crate::TenantDb::begin) and [`commit`](crate::TenantTx::commit).
    ///
    /// # Cancel safety
    /// Dropped, some of it was done, each transaction as a whole or not. Call it again.
    pub async fn apply(&self) -> Result<SeedReport> {
        let outcomes = self.run(Mode::Apply, self.extra).await?;
        Ok(SeedReport::of(outcomes, true))
    }

    /// How what is there compares with what is described, with counts of every table. It writes nothing. The rows of
    /// one client, and the shared rows of one database, are compared in one snapshot.
    ///
    /// # Errors
    /// As [`dry_run`](Self::dry_run). That something is missing or different is none.
    ///
    /// # Cancel safety
    /// Dropped, nothing has changed.
    pub async fn verify(&self) -> Result<SeedVerification> {
        self.run(Mode::Look, Extra::Report)
            .await
            .map(SeedVerification::of)
    }

    async fn run(&self, mode: Mode, extra: Extra) -> Result<Vec<Outcome>> {
        let plan = Plan::of(&self.sets)?;
        let secrets = Secrets::of(self.source.as_ref(), plan.secrets()).await?;
        let run = Run {
            seed: self,
            plan,
            secrets,
            mode,
            extra,
        };
        let clients = run.plan.clients.iter().map(|client| run.client(client));
        let clients = self.at_once(clients.collect::<Vec<_>>()).await?;
        let (mut outcomes, mut found) = (Vec::new(), Vec::new());
        for (told, client) in clients {
            outcomes.extend(told);
            found.push(client);
        }
        let databases = run.databases(&found).await?;
        let shared = databases.iter().map(|database| run.shared(database));
        let shared = self.at_once(shared.collect::<Vec<_>>()).await?;
        outcomes.extend(shared.into_iter().flatten());
        let rows = found.iter().map(|(plan, record)| run.rows(plan, record.as_ref()));
        let rows = self.at_once(rows.collect::<Vec<_>>()).await?;
        outcomes.extend(rows.into_iter().flatten());
        Ok(outcomes)
    }

    async fn at_once<T: Send>(&self, work: Vec<impl Future<Output = Result<T>> + Send>) -> Result<Vec<T>> {
        stream::iter(work).buffered(self.concurrency).try_collect().await
    }
}

impl Run<'_> {
    /// Nobody else at it, while it is written.
    pub(super) async fn alone(&self, at: &str, of: &str) -> Result<Option<Lease>> {
        const STEP: &str = "waiting for another process";
        if self.mode == Mode::Look {
            return Ok(None);
        }
        let started = Instant::now();
        let taken =
            Lease::take_within(&self.seed.platform, &format!("seed {at}"), None, self.seed.wait).await;
        let lease = taken.map_err(failed(STEP))?.ok_or_else(|| Error::Seed {
            of: of.to_owned(),
            step: STEP,
            source: Box::new(SeedError::Busy {
                waited: started.elapsed(),
            }),
        })?;
        Ok(Some(lease))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("sets", &self.sets)
            .field("secret_forms", &self.forms.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
