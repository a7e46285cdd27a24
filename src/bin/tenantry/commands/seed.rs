use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tenantry::{
    DataSet, EnvironmentSecrets, Extra, PlatformDirectory, SecretFile, Seed as Seeding, SeedReport,
    SeedVerification, SharedRows,
};

use super::client::MaybeDatabases;
use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;

#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct Seed {
    /// Data sets in JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Say what would be created and changed; nothing is
    #[arg(long, group = "what")]
    dry_run: bool,
    /// Compare what is there with the data sets; nothing is changed
    #[arg(long, group = "what")]
    verify: bool,
    /// A file of NAME=value lines with the secrets that the data sets name. Without it, the environment has them, each
    /// after TENANTRY_SECRET_
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
    /// Write shared rows into every database of the fleet, not into those alone that the clients of the data sets are in
    #[arg(long)]
    whole_fleet: bool,
    /// Count the rows as well that are there and in no data set
    #[arg(long)]
    extra: bool,
    #[command(flatten)]
    databases: MaybeDatabases,
}

#[derive(Serialize)]
struct SeededView {
    within: String,
    table: String,
    created: u64,
    changed: u64,
    unchanged: u64,
    extra: Option<u64>,
}

impl Seed {
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
        let manager = installation.manager().await?;
        let mut seeding = Seeding::new(platform.clone(), manager.clone());
        for file in &self.files {
            seeding = seeding.data(DataSet::read(file).await?);
        }
        seeding = match &self.secrets_file {
            Some(path) => seeding.secrets(SecretFile::read(path).await?),
            None => seeding.secrets(EnvironmentSecrets::default().prefix("TENANTRY_SECRET_")),
        };
        if let Some(provisioning) = self.databases.provisioning(platform, &manager).await? {
            seeding = seeding.provisioning(provisioning);
        }
        if self.whole_fleet {
            seeding = seeding.shared_rows(SharedRows::OfFleet);
        }
        if self.extra {
            seeding = seeding.extra(Extra::Report);
        }
        let done = self.go(&seeding, output).await;
        manager.close().await;
        done
    }

    async fn go(&self, seeding: &Seeding, output: &Output) -> Result<Outcome, Failure> {
        if self.verify {
            let found = seeding.verify().await?;
            output.say(&verified(&found), found.to_string().trim_end())?;
            return Ok(if found.is_complete() {
                Outcome::Done
            } else {
                Outcome::Found
            });
        }
        let report = if self.dry_run {
            seeding.dry_run().await?
        } else {
            seeding.apply().await?
        };
        output.say(&seeded(&report), report.to_string().trim_end())?;
        Ok(Outcome::Done)
    }
}

fn seeded(report: &SeedReport) -> serde_json::Value {
    let view = |table: &tenantry::SeededTable| SeededView {
        within: table.within.clone(),
        table: table.table.clone(),
        created: table.created,
        changed: table.changed,
        unchanged: table.unchanged,
        extra: table.extra,
    };
    let tables: Vec<SeededView> = report.tables.iter().map(view).collect();
    json!({
        "created": report.created(), "changed": report.changed(), "unchanged": report.unchanged(), "tables": tables,
    })
}

fn verified(found: &SeedVerification) -> serde_json::Value {
    let table = |table: &tenantry::VerifiedTable| {
        json!({
            "within": table.within, "table": table.table, "expected": table.expected, "equal": table.equal,
            "different": table.different, "missing": table.missing, "in_database": table.in_database,
        })
    };
    let tables: Vec<serde_json::Value> = found.tables.iter().map(table).collect();
    let findings: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    json!({ "complete": found.is_complete(), "tables": tables, "findings": findings })
}
