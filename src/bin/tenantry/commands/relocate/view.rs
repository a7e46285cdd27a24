use serde::Serialize;
use tenantry::{DifferenceKind, Finding, RelocationPlan, RelocationStatus, RowDifference};

use crate::table::Table;
use crate::views::RowsView;

#[derive(Serialize)]
pub(super) struct PlanView {
    client: String,
    possible: bool,
    plain: bool,
    rows: u64,
    findings: Vec<FindingView>,
    tables: Vec<RowsView>,
}

#[derive(Serialize)]
struct FindingView {
    stops: bool,
    what: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            stops: finding.stops(),
            what: finding.to_string(),
        }
    }
}

impl From<&RelocationPlan> for PlanView {
    fn from(plan: &RelocationPlan) -> Self {
        Self {
            client: plan.client.to_string(),
            possible: plan.is_possible(),
            plain: plan.plain,
            rows: plan.rows(),
            findings: plan.findings.iter().map(FindingView::from).collect(),
            tables: RowsView::all(&plan.tables),
        }
    }
}

impl PlanView {
    pub(super) fn stopping(&self) -> usize {
        self.findings.iter().filter(|finding| finding.stops).count()
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(["", "what"], "");
        for finding in &self.findings {
            let weight = if finding.stops { "stops it" } else { "to be known" };
            table.row([weight.to_owned(), finding.what.clone()]);
        }
        for of in &self.tables {
            table.row([format!("{} rows", of.rows), of.table.clone()]);
        }
        let way = match (self.possible, self.plain) {
            (false, _) => "it cannot be moved as it is",
            (true, true) => "it moves whole while its writers wait",
            (true, false) => "it is copied while it is written to; writers wait for the last changes alone",
        };
        table.row([format!("{} in all", self.rows), way.to_owned()]);
        table
    }
}

#[derive(Serialize)]
pub(super) struct StatusView {
    client: String,
    phase: &'static str,
    attempts: i32,
    failure: Option<String>,
    compared_in_full: Option<bool>,
    writers_waited_micros: Option<u64>,
    rows: Option<u64>,
}

impl From<&RelocationStatus> for StatusView {
    fn from(status: &RelocationStatus) -> Self {
        let certificate = status.certificate.as_ref();
        Self {
            client: status.client.to_string(),
            phase: status.phase.as_str(),
            attempts: status.attempts,
            failure: status.failure.clone(),
            compared_in_full: certificate.map(|certificate| certificate.compared_in_full),
            writers_waited_micros: certificate.map(|certificate| certificate.fenced_micros),
            rows: certificate.map(|certificate| certificate.tables.iter().map(|table| table.rows).sum()),
        }
    }
}

impl StatusView {
    pub(super) fn table(&self) -> Table {
        let waited = self
            .writers_waited_micros
            .map(|micros| format!("{} ms", micros.div_ceil(1_000)));
        let compared = self
            .compared_in_full
            .map(|compared| if compared { "yes" } else { "no" }.to_owned());
        Table::of_fields([
            ("client", self.client.clone()),
            ("phase", self.phase.to_owned()),
            ("attempts", self.attempts.to_string()),
            ("failure", self.failure.clone().unwrap_or_default()),
            ("rows", self.rows.map(|rows| rows.to_string()).unwrap_or_default()),
            ("writers waited", waited.unwrap_or_default()),
            ("compared in full", compared.unwrap_or_default()),
        ])
    }

    pub(super) fn list(relocations: &[Self]) -> Table {
        let mut table = Table::new(
            ["client", "phase", "attempts", "failure"],
            "nobody is being moved",
        );
        for of in relocations {
            table.row([
                of.client.clone(),
                of.phase.to_owned(),
                of.attempts.to_string(),
                of.failure.clone().unwrap_or_default(),
            ]);
        }
        table
    }
}

#[derive(Serialize)]
pub(super) struct DifferenceView {
    table: String,
    key: String,
    kind: &'static str,
}

impl From<&RowDifference> for DifferenceView {
    fn from(difference: &RowDifference) -> Self {
        Self {
            table: difference.table.clone(),
            key: difference.key.clone(),
            kind: match difference.kind {
                DifferenceKind::Missing => "missing",
                DifferenceKind::Extra => "extra",
                _ => "changed",
            },
        }
    }
}

impl DifferenceView {
    pub(super) fn list(differences: &[Self]) -> Table {
        let mut table = Table::new(["table", "key", "kind"], "both sides are the same");
        for of in differences {
            table.row([of.table.clone(), of.key.clone(), of.kind.to_owned()]);
        }
        table
    }
}
