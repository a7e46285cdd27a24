use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::audit::{AuditFinding, AuditSeverity};
use crate::error::{AuditError, Error, Result};

/// What attacks on a pool database found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttackReport {
    /// The pool database, by name and id.
    pub database: String,
    /// By what one client reaches another, the worst first.
    pub findings: Vec<AuditFinding>,
    /// What PostgreSQL lets every client of a pool do, whatever the guards, and was seen to let them: they share one
    /// role. No row is read or written by it.
    pub tolerated: Vec<String>,
    /// What is left behind of the attacks.
    pub side_effects: Vec<String>,
    /// The tables that were attacked, rows of both clients being there.
    pub tables: Vec<String>,
    /// The partitions, views, materialized views, foreign tables and sequences that were attacked.
    pub relations: Vec<String>,
    /// The functions that were called.
    pub functions: Vec<String>,
    /// What was left out, as the options say.
    pub left_out: Vec<String>,
    /// How many messages were sent to the database.
    pub statements: u64,
    /// How long it took.
    pub took: Duration,
    /// The longest transaction: no lock on a table was held longer.
    pub longest_transaction: Duration,
}

impl AttackReport {
    /// Whether everything was attacked and nothing was reached.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The report itself where it is clean.
    ///
    /// # Errors
    /// [`Error::Audit`] with the findings as text.
    pub fn expect_clean(self) -> Result<Self> {
        if self.is_clean() {
            return Ok(self);
        }
        let found = self.findings.iter().map(ToString::to_string).collect();
        Err(Error::Audit {
            database: self.database,
            source: AuditError::NotClean { found },
        })
    }

    /// Adds a finding, once for each object.
    pub(super) fn found(&mut self, finding: AuditFinding) {
        let known = self
            .findings
            .iter()
            .any(|known| known.id == finding.id && known.object == finding.object);
        if !known {
            self.findings.push(finding);
        }
    }

    /// Adds that something could not be told.
    pub(super) fn unclear(&mut self, object: impl Into<String>, evidence: impl Into<String>) {
        self.found(AuditFinding::new(
            "attack.inconclusive",
            AuditSeverity::Medium,
            object,
            "whether clients reach each other there is not known",
            evidence,
        ));
    }

    pub(super) fn tolerate(&mut self, what: &str) {
        if !self.tolerated.iter().any(|known| known == what) {
            self.tolerated.push(what.to_owned());
        }
    }

    pub(super) fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            let worst_first = b.severity.cmp(&a.severity);
            worst_first.then_with(|| (a.id, &a.object).cmp(&(b.id, &b.object)))
        });
    }
}

/// A line for each finding, or one that says that there is none.
impl fmt::Display for AttackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} tables, {} relations and {} functions attacked in {:?}",
            self.database,
            self.tables.len(),
            self.relations.len(),
            self.functions.len(),
            self.took
        )?;
        if self.is_clean() {
            write!(f, ", nothing was reached")?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        Ok(())
    }
}
