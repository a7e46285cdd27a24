use serde::Serialize;
use tenantry::{DatabaseStatus, FleetEnd, FleetFinding, FleetPlan, FleetReport};

use crate::failure::Failure;
use crate::table::Table;

#[derive(Serialize)]
pub(super) struct PlanView {
    rings: Vec<RingView>,
    current: usize,
    deferred: Vec<String>,
    failing: Vec<FailedView>,
}

#[derive(Serialize)]
struct RingView {
    ring: String,
    databases: Vec<PlannedView>,
}

#[derive(Serialize)]
struct PlannedView {
    database: String,
    from: Option<i64>,
    migrations: Vec<MigrationView>,
}

#[derive(Serialize)]
struct MigrationView {
    set: &'static str,
    version: i64,
    description: String,
}

#[derive(Serialize)]
struct FailedView {
    database: String,
    error: String,
}

impl From<&tenantry::FailedDatabase> for FailedView {
    fn from(failed: &tenantry::FailedDatabase) -> Self {
        Self {
            database: failed.database.to_string(),
            error: Failure::from(failed.error.clone()).told(),
        }
    }
}

impl From<&FleetPlan> for PlanView {
    fn from(plan: &FleetPlan) -> Self {
        let migration = |migration: &tenantry::PlannedMigration| MigrationView {
            set: migration.set,
            version: migration.version,
            description: migration.description.clone(),
        };
        let database = |planned: &tenantry::PlannedDatabase| PlannedView {
            database: planned.database.to_string(),
            from: planned.from,
            migrations: planned.migrations.iter().map(migration).collect(),
        };
        let ring = |(ring, databases): &(String, Vec<tenantry::PlannedDatabase>)| RingView {
            ring: ring.clone(),
            databases: databases.iter().map(database).collect(),
        };
        Self {
            rings: plan.rings.iter().map(ring).collect(),
            current: plan.current,
            deferred: plan
                .deferred
                .iter()
                .map(|deferred| deferred.database.to_string())
                .collect(),
            failing: plan.failing.iter().map(FailedView::from).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ReportView {
    run: Option<String>,
    end: &'static str,
    done: Vec<String>,
    current: usize,
    failed: Vec<FailedView>,
    deferred: Vec<String>,
    not_begun: usize,
    elapsed_ms: u128,
}

impl From<&FleetReport> for ReportView {
    fn from(report: &FleetReport) -> Self {
        Self {
            run: report.run.map(|run| run.to_string()),
            end: match report.end {
                FleetEnd::Completed => "completed",
                FleetEnd::Stopped => "stopped",
                FleetEnd::Paused { .. } => "paused",
            },
            done: report.done.iter().map(ToString::to_string).collect(),
            current: report.current,
            failed: report.failed.iter().map(FailedView::from).collect(),
            deferred: report
                .deferred
                .iter()
                .map(|deferred| deferred.database.to_string())
                .collect(),
            not_begun: report.not_begun,
            elapsed_ms: report.elapsed.as_millis(),
        }
    }
}

impl ReportView {
    pub(super) fn table(&self) -> Table {
        let named = |names: &[String]| {
            if names.is_empty() {
                "0".to_owned()
            } else {
                format!("{}: {}", names.len(), names.join(", "))
            }
        };
        let failed: Vec<String> = self.failed.iter().map(|failed| failed.database.clone()).collect();
        Table::of_fields([
            ("run", self.end.to_owned()),
            ("migrated", self.done.len().to_string()),
            ("there already", self.current.to_string()),
            ("failed", named(&failed)),
            ("have to wait", named(&self.deferred)),
            ("not begun", self.not_begun.to_string()),
            ("took", format!("{} ms", self.elapsed_ms)),
        ])
    }
}

#[derive(Serialize)]
pub(super) struct StandingView {
    database: String,
    host_version: Option<i64>,
    kernel_version: Option<i64>,
    current: bool,
    failure: Option<String>,
}

impl From<&DatabaseStatus> for StandingView {
    fn from(status: &DatabaseStatus) -> Self {
        Self {
            database: status.database.to_string(),
            host_version: status.host_version,
            kernel_version: status.kernel_version,
            current: status.is_current,
            failure: status.failure.clone(),
        }
    }
}

impl StandingView {
    pub(super) fn list(databases: &[Self]) -> Table {
        let mut table = Table::new(
            ["database", "host", "kernel", "current", "failure"],
            "no databases",
        )
        .numbers([1, 2]);
        let or_unknown =
            |version: Option<i64>| version.map_or_else(|| "?".to_owned(), |version| version.to_string());
        for of in databases {
            table.row([
                of.database.clone(),
                or_unknown(of.host_version),
                or_unknown(of.kernel_version),
                if of.current { "yes" } else { "no" }.to_owned(),
                of.failure.clone().unwrap_or_default(),
            ]);
        }
        table
    }
}

#[derive(Serialize)]
pub(super) struct FindingView {
    database: String,
    what: String,
}

impl From<&FleetFinding> for FindingView {
    fn from(finding: &FleetFinding) -> Self {
        Self {
            database: finding.database.to_string(),
            what: finding.to_string(),
        }
    }
}

impl FindingView {
    pub(super) fn list(findings: &[Self]) -> Table {
        let mut table = Table::new(["database", "what"], "every database is as it was left");
        for of in findings {
            table.row([of.database.clone(), of.what.clone()]);
        }
        table
    }
}
