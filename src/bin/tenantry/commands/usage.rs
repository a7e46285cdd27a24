use clap::Args;
use tenantry::{Footprint, FootprintOptions, Footprints, GrowthBounds, PlatformDirectory};

use crate::failure::{Failure, Outcome};
use crate::installation::{Installation, Named};
use crate::output::Output;
use crate::table::Table;

#[derive(Args, Debug)]
pub(crate) struct Usage {
    /// What that client takes up. Without it: all pools, where there is room, and who has outgrown one
    client: Option<Named>,
    /// Count its rows, table by table, in place of what the server's statistics say
    #[arg(long, requires = "client")]
    exact: bool,
    /// The column that says when a row changed last, in tables that have it and an index on it
    #[arg(long, value_name = "COLUMN", requires = "client")]
    latest_by: Option<String>,
    /// Who has more rows has outgrown a pool
    #[arg(long, value_name = "ROWS", conflicts_with = "client")]
    max_rows: Option<u64>,
    /// Who takes more megabytes has outgrown a pool
    #[arg(long, value_name = "MB", conflicts_with = "client")]
    max_mb: Option<u64>,
    /// Who takes a larger part of its pool has outgrown it
    #[arg(long, value_name = "PERCENT", conflicts_with = "client", value_parser = clap::value_parser!(u8).range(1..=100))]
    max_share: Option<u8>,
    /// How many megabytes a pool takes
    #[arg(long, value_name = "MB", conflicts_with = "client")]
    pool_mb: Option<u64>,
}

const MB: u64 = 1_000_000;

impl Usage {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let on = async |platform: &PlatformDirectory| self.on(platform, output).await;
        installation.on_platform(on).await
    }

    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<Outcome, Failure> {
        let mut options = FootprintOptions::default();
        if let Some(column) = &self.latest_by {
            options = options.latest_by(column);
        }
        let footprints = Footprints::new(platform.clone()).options(options);
        let Some(client) = &self.client else {
            let report = footprints.report(&self.bounds()).await?;
            output.say(&report, report.to_string().trim_end())?;
            return Ok(Outcome::of_findings(report.outgrown.len() + report.unread.len()));
        };
        let id = client.id(platform).await?;
        let footprint = if self.exact {
            footprints.exact(id).await?
        } else {
            footprints.estimate(id).await?
        };
        output.show(&footprint, table)?;
        Ok(Outcome::Done)
    }

    fn bounds(&self) -> GrowthBounds {
        let mut bounds = GrowthBounds::default();
        if let Some(rows) = self.max_rows {
            bounds = bounds.rows(rows);
        }
        if let Some(megabytes) = self.max_mb {
            bounds = bounds.bytes(megabytes.saturating_mul(MB));
        }
        if let Some(percent) = self.max_share {
            bounds = bounds.share(f64::from(percent) / 100.0);
        }
        if let Some(megabytes) = self.pool_mb {
            bounds = bounds.pool_bytes(megabytes.saturating_mul(MB));
        }
        bounds
    }
}

fn table(footprint: &Footprint) -> Table {
    let mut table = Table::new(["table", "rows", "bytes"], "no tables").numbers([1, 2]);
    for of in &footprint.tables {
        table.row([of.table.clone(), of.rows.to_string(), of.bytes.to_string()]);
    }
    table.row([
        "in all".to_owned(),
        footprint.rows().to_string(),
        footprint.bytes().to_string(),
    ]);
    for calls in &footprint.calls {
        table.row([
            format!("{} this month", calls.limit),
            calls.used.to_string(),
            String::new(),
        ]);
    }
    table
}
