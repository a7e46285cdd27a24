use std::convert::Infallible;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tenantry::{Assign, ClientId, PlatformDirectory, Retrofit, RetrofitPhase, RetrofitPlan, RetrofitStatus};

use super::pool;
use crate::failure::{Failure, Outcome};
use crate::installation::{Installation, Named};
use crate::output::Output;
use crate::progress;
use crate::table::Table;

/// How often the database is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum RetrofitCommand {
    /// Print every statement, and what stands against it; nothing is changed
    Plan(Wanted),
    /// Give the tables clients while the old application goes on, up to where it would notice
    Start(Wanted),
    /// Go on with what was interrupted
    Resume(Begun),
    /// Make keys by client, and force row-level security; the old application goes on over its bridge
    Protect(Begun),
    /// Take the bridges away: nobody uses them any more
    Finish(Begun),
    /// Make the tables as they were
    RollBack(Begun),
    /// Say how far it is
    Status(Begun),
}

#[derive(Args, Debug)]
pub(crate) struct Wanted {
    /// The pool, by its name or id
    #[arg(long)]
    pool: String,
    /// Whose the rows are
    #[arg(
        long,
        value_name = "CLIENT",
        required_unless_present = "column",
        conflicts_with = "column"
    )]
    to: Option<Named>,
    /// The column that says whose a row is, by the values of --map
    #[arg(long, requires = "map")]
    column: Option<String>,
    /// Whose rows have that value in the column
    #[arg(long, value_name = "VALUE=CLIENT", requires = "column")]
    map: Vec<Mapping>,
    /// Bind a role of the old application to a client, as ROLE=CLIENT
    #[arg(long, value_name = "ROLE=CLIENT")]
    bridge: Vec<Mapping>,
    /// Tables, as schema.name, that all clients read
    #[arg(long, value_name = "TABLE")]
    share: Vec<String>,
    /// Tables, as schema.name, that stay as they are
    #[arg(long, value_name = "TABLE")]
    leave_out: Vec<String>,
}

/// What was begun is written down in the database, rules and bridges included.
#[derive(Args, Debug)]
pub(crate) struct Begun {
    /// The pool, by its name or id
    #[arg(long)]
    pool: String,
}

#[derive(Clone, Debug)]
struct Mapping {
    name: String,
    client: Named,
}

impl std::str::FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, client) = text.split_once('=').ok_or("not of the form name=client")?;
        Ok(Self {
            name: name.to_owned(),
            client: client.parse()?,
        })
    }
}

impl Wanted {
    async fn retrofit(&self, platform: &PlatformDirectory) -> Result<Retrofit, Failure> {
        let pool = pool::find(platform, &self.pool).await?.id;
        let assign = match (&self.to, &self.column) {
            (Some(client), _) => Assign::to(client.id(platform).await?),
            (None, Some(column)) => {
                let mut clients = Vec::with_capacity(self.map.len());
                for Mapping { name, client } in &self.map {
                    clients.push((name.clone(), client.id(platform).await?));
                }
                Assign::from_column(column, clients)
            }
            (None, None) => {
                return Err(Failure::usage(
                    "say whose the rows are: --to, or --column and --map",
                ));
            }
        };
        let mut retrofit = Retrofit::new(platform.clone(), pool, assign)
            .share(self.share.clone())
            .leave_out(self.leave_out.clone());
        for Mapping { name, client } in &self.bridge {
            retrofit = retrofit.bridge(name, client.id(platform).await?);
        }
        Ok(retrofit)
    }
}

impl Begun {
    async fn retrofit(&self, platform: &PlatformDirectory) -> Result<Retrofit, Failure> {
        let nobody = Assign::from_column("", [] as [(String, ClientId); 0]);
        Ok(Retrofit::new(
            platform.clone(),
            pool::find(platform, &self.pool).await?.id,
            nobody,
        ))
    }
}

impl RetrofitCommand {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let on = async |platform: &PlatformDirectory| self.on(platform, output).await;
        installation.on_platform(on).await
    }

    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<Outcome, Failure> {
        let status = match self {
            Self::Plan(wanted) => return planned(&wanted.retrofit(platform).await?.plan().await?, output),
            Self::Start(wanted) => {
                let retrofit = wanted.retrofit(platform).await?;
                watched(&retrofit, retrofit.start()).await?
            }
            Self::Resume(begun) => {
                let retrofit = begun.retrofit(platform).await?;
                watched(&retrofit, retrofit.resume()).await?
            }
            Self::Protect(begun) => {
                let retrofit = begun.retrofit(platform).await?;
                watched(&retrofit, retrofit.protect()).await?
            }
            Self::Finish(begun) => {
                let retrofit = begun.retrofit(platform).await?;
                watched(&retrofit, retrofit.finish()).await?
            }
            Self::RollBack(begun) => {
                let retrofit = begun.retrofit(platform).await?;
                watched(&retrofit, retrofit.rollback()).await?
            }
            Self::Status(begun) => {
                let Some(status) = begun.retrofit(platform).await?.status().await? else {
                    output.say(&json!({ "state": null }), "nothing was begun")?;
                    return Ok(Outcome::Done);
                };
                status
            }
        };
        show(status, output)
    }
}

/// Runs it with a bar of its steps.
async fn watched<T>(retrofit: &Retrofit, work: impl Future<Output = T>) -> T {
    let bar = progress::bar(0, "begun");
    let told = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // Who cannot look is told by the work itself.
            if let Ok(Some(status)) = retrofit.status().await {
                bar.set_message(status.next.map_or("done", RetrofitPhase::as_str));
                bar.set_length(status.steps as u64);
                bar.set_position(status.done as u64);
            }
        }
    };
    let outcome: Result<T, Infallible> = tokio::select! {
        outcome = work => Ok(outcome),
        never = told => Err(never),
    };
    bar.finish_and_clear();
    match outcome {
        Ok(outcome) => outcome,
        Err(never) => match never {},
    }
}

fn planned(plan: &RetrofitPlan, output: &Output) -> Result<Outcome, Failure> {
    let findings = plan.findings.iter();
    let findings = findings.map(|finding| json!({ "stops": finding.stops(), "what": finding.to_string() }));
    let steps = plan.steps.iter().map(|step| {
        json!({ "phase": step.phase.to_string(), "table": step.table, "sql": step.sql, "undo": step.undo })
    });
    let view = json!({
        "possible": plan.is_possible(),
        "findings": findings.collect::<Vec<_>>(),
        "tables": plan.tables,
        "steps": steps.collect::<Vec<_>>(),
    });
    output.say(&view, plan.to_string().trim_end())?;
    Ok(if plan.is_possible() {
        Outcome::Done
    } else {
        Outcome::Found
    })
}

fn show(status: RetrofitStatus, output: &Output) -> Result<Outcome, Failure> {
    let next = status.next.map(|phase| phase.to_string());
    let state = status.state.to_string();
    let view = json!({ "state": state, "done": status.done, "steps": status.steps, "next": next });
    output.show(&view, |_| {
        Table::of_fields([
            ("state", state.clone()),
            ("steps done", format!("{} of {}", status.done, status.steps)),
            ("next", next.clone().unwrap_or_default()),
        ])
    })?;
    Ok(Outcome::Done)
}
