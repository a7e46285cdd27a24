use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tenantry::{
    Attacks, AuditFingerprint, AuditOptions, AuditReport, AuditSeverity, IsolationAudit, PlatformDirectory,
};

use super::pool;
use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;
use crate::progress;
use crate::secrets::secret;

#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// That pool alone, by its name or id. Without it: all pools
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// A database that no platform knows: TENANTRY_DATABASE_URL holds the URL of its admin role
    #[arg(long, conflicts_with = "pool", requires = "app_role")]
    database: bool,
    /// The role that its clients are served by
    #[arg(long, value_name = "ROLE", requires = "database")]
    app_role: Option<String>,
    /// Have two scratch clients try to reach each other as well; no row of theirs is ever committed
    #[arg(long, conflicts_with = "database")]
    attack: bool,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The file of the repository that code hosts show findings at
    #[arg(long, value_name = "PATH", default_value = "migrations")]
    shown_at: String,
    /// Exit with 1 for what is as bad as that: info, low, medium, high or critical
    #[arg(long, value_name = "SEVERITY", default_value_t = AuditSeverity::Low)]
    fail_on: AuditSeverity,
    /// Write the SQL that mends what is found, in place of the report
    #[arg(long, conflicts_with = "format")]
    mend: bool,
    /// Say what changed since an audit, whose report is in that file as JSON
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// How many databases are audited at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, as `--json` does
    Json,
    /// For code hosts: SARIF 2.1.0
    Sarif,
}

impl Audit {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let report = if self.database {
            let url = secret("TENANTRY_DATABASE_URL", "the URL of the database's admin role")?;
            let role = self.app_role.clone().unwrap_or_default();
            self.with(IsolationAudit::of_database(url, role))?.run().await?
        } else {
            let on = async |platform: &PlatformDirectory| self.of_pools(platform, output).await;
            installation.on_platform(on).await?
        };
        self.write(&report, output)?;
        let clean = report.exit_status(self.fail_on) == 0;
        Ok(if clean { Outcome::Done } else { Outcome::Found })
    }

    async fn of_pools(&self, platform: &PlatformDirectory, output: &Output) -> Result<AuditReport, Failure> {
        let named = match &self.pool {
            Some(named) => Some(pool::find(platform, named).await?.id),
            None => None,
        };
        let audit = match named {
            Some(pool) => IsolationAudit::of_pool(platform.clone(), pool),
            None => IsolationAudit::of_fleet(platform.clone()),
        };
        let mut report = self.with(audit)?.run().await?;
        if !self.attack {
            return Ok(report);
        }
        let attacked = match named {
            Some(pool) => vec![pool],
            None => platform.pools().await?.iter().map(|pool| pool.id).collect(),
        };
        let bar = progress::bar(attacked.len() as u64, "attacked");
        for pool in attacked {
            let attacks = Attacks::new(platform).run(pool).await?;
            bar.inc(1);
            for remains in &attacks.side_effects {
                output.note(&format!("{}: {remains}", attacks.database));
            }
            report = report.with_attacks(&attacks);
        }
        bar.finish_and_clear();
        Ok(report)
    }

    fn with<'c>(&self, audit: IsolationAudit<'c>) -> Result<IsolationAudit<'c>, Failure> {
        let audit = audit.options(AuditOptions::default().databases_at_once(self.at_once.into()));
        Ok(match &self.since {
            Some(path) => audit.since(fingerprint(path)?),
            None => audit,
        })
    }

    fn write(&self, report: &AuditReport, output: &Output) -> Result<(), Failure> {
        if self.mend {
            return output.script(&report.mend_sql());
        }
        match self.format {
            Format::Sarif => output.script(&format!("{:#}\n", report.to_sarif(&self.shown_at))),
            Format::Json => output.json(report),
            Format::Text => output.say(report, report.to_text(output.width().into()).trim_end()),
        }
    }
}

/// That of a report, or by itself.
fn fingerprint(path: &Path) -> Result<AuditFingerprint, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("reading", path, &error))?;
    let wrong = || Failure::usage(format!("{} is no report of an audit as JSON", path.display()));
    let report: serde_json::Value = serde_json::from_str(&text).map_err(|_| wrong())?;
    let fingerprint = report.get("fingerprint").unwrap_or(&report);
    fingerprint.to_string().parse().map_err(|_| wrong())
}
