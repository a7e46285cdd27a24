mod target;
mod view;

use std::convert::Infallible;

use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use tenantry::{ClientId, Phase, PlatformDirectory, RelocateTo, Relocation, RelocationOptions};

use self::target::Target;
use self::view::{DifferenceView, PlanView, StatusView};
use super::client::Databases;
use super::pool;
use crate::failure::{Failure, Outcome};
use crate::installation::{Installation, Named};
use crate::output::Output;
use crate::progress;

#[derive(Debug, Subcommand)]
pub(crate) enum RelocateCommand {
    /// Say what would be moved and what stands against it; nothing is touched
    Plan(Move),
    /// Move a client, until it is served by the other database
    Start(Move),
    /// Go on with a move that was interrupted
    Resume(Of),
    /// Give a move up, before the client is served by the other database
    Cancel(Of),
    /// Bring a client back, with what it wrote since
    Revert(Of),
    /// End a move: the rows that it left behind are removed
    Complete(Of),
    /// Name the rows that are not the same on both sides
    Differences(Differences),
    /// Say how far a client's move is; without a client, all that have not ended
    Status(Status),
    /// Give a client a tier that allows more, and the database of its own that it may demand
    ///
    /// TENANTRY_SERVER_URL names the server that databases are made on.
    Upgrade(Upgrade),
    /// Give a client a tier that allows less, and the place in a pool that it may demand
    Downgrade(Downgrade),
}

#[derive(Args, Debug)]
pub(crate) struct Pace {
    /// Copy no more than so many megabytes a second
    #[arg(long, value_name = "MB")]
    max_mb_per_second: Option<u32>,
    /// Copy so many tables at once; 1 is gentle to others
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    parallel_tables: u8,
    /// Tables, as schema.name, that are not the client's
    #[arg(long, value_name = "TABLE")]
    leave_out: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Move {
    /// The client
    client: Named,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    pace: Pace,
}

#[derive(Args, Debug)]
pub(crate) struct Of {
    /// The client
    client: Named,
    #[command(flatten)]
    pace: Pace,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// The client
    client: Option<Named>,
}

#[derive(Args, Debug)]
pub(crate) struct Differences {
    /// The client
    client: Named,
    /// How many rows a table at most
    #[arg(long, default_value_t = 20)]
    most: usize,
    /// Behind that table
    #[arg(long, value_name = "TABLE")]
    after: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Upgrade {
    /// The client
    client: Named,
    /// The tier
    tier: String,
    #[command(flatten)]
    databases: Databases,
    #[command(flatten)]
    pace: Pace,
}

#[derive(Args, Debug)]
pub(crate) struct Downgrade {
    /// The client
    client: Named,
    /// The tier
    tier: String,
    /// The pool, by its name or id, where it is to share one. Without it, the first with room
    #[arg(long)]
    pool: Option<String>,
    #[command(flatten)]
    databases: Databases,
    #[command(flatten)]
    pace: Pace,
}

impl Pace {
    fn relocation(&self, platform: &PlatformDirectory) -> Relocation {
        let mut options = RelocationOptions::default()
            .parallel_tables(self.parallel_tables.into())
            .leave_out(self.leave_out.clone());
        if let Some(megabytes) = self.max_mb_per_second {
            options = options.max_bytes_per_second(u64::from(megabytes) * 1_000_000);
        }
        Relocation::new(platform.clone()).options(options)
    }
}

impl RelocateCommand {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let on = async |platform: &PlatformDirectory| self.on(installation, platform, output).await;
        installation.on_platform(on).await
    }

    async fn on(
        &self,
        installation: &Installation,
        platform: &PlatformDirectory,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        match self {
            Self::Plan(plan) => {
                let (id, to) = plan.both(platform).await?;
                let view = PlanView::from(&plan.pace.relocation(platform).plan(id, &to).await?);
                output.show(&view, PlanView::table)?;
                Ok(Outcome::of_findings(view.stopping()))
            }
            Self::Start(start) => {
                let (id, to) = start.both(platform).await?;
                let relocation = start.pace.relocation(platform);
                shown(output, &relocation, Box::pin(relocation.start(id, &to))).await
            }
            Self::Resume(of) => {
                let (id, relocation) = of.both(platform).await?;
                shown(output, &relocation, Box::pin(relocation.resume(id))).await
            }
            Self::Cancel(of) => {
                let (id, relocation) = of.both(platform).await?;
                shown(output, &relocation, Box::pin(relocation.cancel(id))).await
            }
            Self::Revert(of) => {
                let (id, relocation) = of.both(platform).await?;
                shown(output, &relocation, Box::pin(relocation.revert(id))).await
            }
            Self::Complete(of) => {
                let (id, relocation) = of.both(platform).await?;
                shown(output, &relocation, Box::pin(relocation.complete(id))).await
            }
            Self::Differences(of) => of.on(platform, output).await,
            Self::Status(status) => status.on(platform, output).await,
            Self::Upgrade(upgrade) => {
                let id = upgrade.client.id(platform).await?;
                let provisioning = upgrade.databases.provisioning(installation, platform).await?;
                let relocation = upgrade.pace.relocation(platform);
                let upgraded = relocation.upgrade(&provisioning, id, upgrade.tier.as_str());
                changed(output, &relocation, &upgrade.tier, Box::pin(upgraded)).await
            }
            Self::Downgrade(downgrade) => {
                let id = downgrade.client.id(platform).await?;
                let pool = match &downgrade.pool {
                    Some(named) => Some(pool::find(platform, named).await?.id),
                    None => None,
                };
                let provisioning = downgrade.databases.provisioning(installation, platform).await?;
                let relocation = downgrade.pace.relocation(platform);
                let downgraded = relocation.downgrade(&provisioning, id, downgrade.tier.as_str(), pool);
                changed(output, &relocation, &downgrade.tier, Box::pin(downgraded)).await
            }
        }
    }
}

impl Move {
    async fn both(&self, platform: &PlatformDirectory) -> Result<(ClientId, RelocateTo), Failure> {
        Ok((self.client.id(platform).await?, self.target.read(platform).await?))
    }
}

impl Of {
    async fn both(&self, platform: &PlatformDirectory) -> Result<(ClientId, Relocation), Failure> {
        Ok((self.client.id(platform).await?, self.pace.relocation(platform)))
    }
}

impl Differences {
    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<Outcome, Failure> {
        let id = self.client.id(platform).await?;
        let relocation = Relocation::new(platform.clone());
        let found = relocation
            .differences(id, self.after.as_deref(), self.most)
            .await?;
        let views: Vec<DifferenceView> = found.rows.iter().map(DifferenceView::from).collect();
        output.show(&views, |views| DifferenceView::list(views))?;
        if let Some(next) = &found.next_after {
            output.note(&format!("not every table was compared: --after {next}"));
        }
        Ok(Outcome::of_findings(views.len()))
    }
}

impl Status {
    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<Outcome, Failure> {
        let relocation = Relocation::new(platform.clone());
        let found = match &self.client {
            Some(client) => relocation
                .status(client.id(platform).await?)
                .await?
                .into_iter()
                .collect(),
            None => relocation.unfinished().await?,
        };
        let views: Vec<StatusView> = found.iter().map(StatusView::from).collect();
        output.show(&views, |views| StatusView::list(views))?;
        Ok(Outcome::Done)
    }
}

/// Runs it with a bar, and shows how it stands then.
async fn shown(
    output: &Output,
    relocation: &Relocation,
    work: impl Future<Output = tenantry::Result<tenantry::RelocationStatus>>,
) -> Result<Outcome, Failure> {
    let status = watched(relocation, work).await?;
    let view = StatusView::from(&status);
    output.show(&view, StatusView::table)?;
    if status.phase == Phase::Moved && !output.is_json() {
        output
            .note("it is served there now; `revert` brings it back, `complete` removes what it left behind");
    }
    Ok(Outcome::Done)
}

async fn changed(
    output: &Output,
    relocation: &Relocation,
    tier: &str,
    work: impl Future<Output = tenantry::Result<Option<tenantry::RelocationStatus>>>,
) -> Result<Outcome, Failure> {
    match watched(relocation, work).await? {
        Some(status) => output.show(&StatusView::from(&status), StatusView::table)?,
        None => output.say(
            &serde_json::json!({ "tier": tier, "relocated": false }),
            format!("it is of tier {tier} now, and stays where it is"),
        )?,
    }
    Ok(Outcome::Done)
}

async fn watched<T>(relocation: &Relocation, work: impl Future<Output = T>) -> T {
    let bar = progress::bar(0, "planned");
    let mut events = Box::pin(relocation.progress());
    let told = async {
        while let Some(event) = events.next().await {
            bar.set_message(event.phase.as_str());
            bar.set_length(event.rows_in_all.max(event.rows));
            bar.set_position(event.rows);
        }
        // Nothing is told any more, and the work goes on.
        std::future::pending::<Infallible>().await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        never = told => match never {},
    };
    bar.finish_and_clear();
    outcome
}
