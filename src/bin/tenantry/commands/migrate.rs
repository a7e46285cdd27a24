mod view;

use std::path::PathBuf;

use clap::Args;
use futures_util::StreamExt as _;
use tenantry::{Fleet, FleetEvent, FleetEvents, FleetOptions, FleetReport, OnFailure, Ring};

use self::view::{FindingView, PlanView, ReportView, StandingView};
use crate::failure::{Failure, Outcome};
use crate::installation::{Installation, migrations};
use crate::output::Output;
use crate::progress;

#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct Migrate {
    /// A folder with the host's migrations
    #[arg(long, value_name = "FOLDER")]
    migrations: PathBuf,
    /// Say what would run where; nothing is touched
    #[arg(long, group = "what")]
    dry_run: bool,
    /// Say how the fleet stands, as the platform database knows it; no other database is asked
    #[arg(long, group = "what")]
    status: bool,
    /// Look into every database for migrations that were changed, are missing or half applied, and tables changed by hand
    #[arg(long, group = "what")]
    verify: bool,
    /// Take back what is newer than that version, by the host's down migrations; with --dry-run, say what that would be
    #[arg(long, value_name = "VERSION")]
    roll_back_to: Option<i64>,
    /// Pools by name and clients by slug that go first
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    canaries: Vec<String>,
    /// Then so many percent of the fleet, before the rest
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..100))]
    percent: Vec<u8>,
    /// Go on where a database fails, up to --pause-above
    #[arg(long = "continue")]
    go_on: bool,
    /// Pause where more than so many percent of a ring failed
    #[arg(long, default_value_t = 5, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    pause_above: u8,
    /// How many databases at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
}

impl Migrate {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let host = migrations(&self.migrations).await?;
        let platform = installation.platform().await?;
        let fleet = Fleet::new(platform.clone(), host).options(self.options());
        let done = self.on(&fleet, output).await;
        platform.close().await;
        done
    }

    fn options(&self) -> FleetOptions {
        let canaries = (!self.canaries.is_empty()).then(|| Ring::named(self.canaries.clone()));
        let percents = self.percent.iter().map(|percent| Ring::percent(*percent));
        let rings = canaries.into_iter().chain(percents).chain([Ring::all()]);
        let on_failure = if self.go_on {
            OnFailure::Continue
        } else {
            OnFailure::Stop
        };
        FleetOptions::default()
            .rings(rings)
            .on_failure(on_failure)
            .pause_above(f64::from(self.pause_above) / 100.0)
            .at_once(self.at_once.into())
    }

    async fn on(&self, fleet: &Fleet, output: &Output) -> Result<Outcome, Failure> {
        if self.status {
            let status = fleet.status().await?;
            let views: Vec<StandingView> = status.databases.iter().map(StandingView::from).collect();
            output.show(&views, |views| StandingView::list(views))?;
            return Ok(Outcome::of_findings(status.behind()));
        }
        if self.verify {
            let findings = fleet.verify().await?;
            let views: Vec<FindingView> = findings.iter().map(FindingView::from).collect();
            output.show(&views, |views| FindingView::list(views))?;
            return Ok(Outcome::of_findings(views.len()));
        }
        if self.dry_run {
            let plan = match self.roll_back_to {
                Some(version) => fleet.plan_roll_back(version).await?,
                None => fleet.plan().await?,
            };
            output.say(&PlanView::from(&plan), plan.to_string().trim_end())?;
            return Ok(Outcome::of_findings(plan.failing.len()));
        }
        let events = match self.roll_back_to {
            Some(version) => fleet.roll_back(version),
            None => fleet.migrate(),
        };
        let report = watched(events, output).await?;
        let view = ReportView::from(&report);
        output.show(&view, ReportView::table)?;
        Ok(if report.is_complete() {
            Outcome::Done
        } else {
            Outcome::Found
        })
    }
}

/// Goes through a run with a bar; failures are told as they come.
async fn watched(mut events: FleetEvents, output: &Output) -> Result<FleetReport, Failure> {
    let bar = progress::bar(0, "databases");
    while let Some(event) = events.next().await {
        match event? {
            FleetEvent::Began { pending, .. } => bar.set_length(pending as u64),
            FleetEvent::RingBegan { ring, .. } => bar.set_message(ring),
            FleetEvent::DatabaseDone { .. } | FleetEvent::DatabaseDeferred { .. } => bar.inc(1),
            FleetEvent::DatabaseFailed { database, error } => {
                bar.inc(1);
                bar.suspend(|| output.note(&format!("{database}: {}", Failure::from(error).told())));
            }
            FleetEvent::Ended(report) => {
                bar.finish_and_clear();
                return Ok(report);
            }
            _ => {}
        }
    }
    Err(tenantry::Error::Closed.into())
}
