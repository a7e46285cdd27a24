use std::cmp::Reverse;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::attack::AttackReport;
use super::finding::{AuditFinding, AuditSeverity};
use super::fingerprint::AuditFingerprint;
use super::{sarif, text};
use crate::error::{AuditError, Error, Result};

/// What an audit found. Shown, it is for people, 80 columns wide; serialized, for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditReport {
    /// What was audited, in the order of pools.
    pub databases: Vec<AuditedDatabase>,
    /// What could not be audited.
    pub unread: Vec<UnreadDatabase>,
    /// What the catalogues were, for [`IsolationAudit::since`](crate::IsolationAudit::since).
    pub fingerprint: AuditFingerprint,
}

/// A database that was audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditedDatabase {
    /// By kind, name and id.
    pub database: String,
    /// What was found, the worst first.
    pub findings: Vec<AuditFinding>,
    /// How many findings were left out, because they are known and accepted.
    pub accepted: usize,
}

/// A database that could not be audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnreadDatabase {
    /// By kind, name and id.
    pub database: String,
    /// Why not.
    pub why: String,
}

impl AuditReport {
    pub(crate) fn of(database: impl Into<String>, findings: Vec<AuditFinding>) -> Self {
        let mut report = Self::default();
        report.databases.push(AuditedDatabase {
            database: database.into(),
            findings,
            accepted: 0,
        });
        report
    }

    /// The report with what [`Attacks`](crate::Attacks) on one of its databases, or another, found: in all that is made
    /// of a report those are findings like the others.
    #[must_use]
    pub fn with_attacks(mut self, attacks: &AttackReport) -> Self {
        let known = self
            .databases
            .iter()
            .position(|audited| audited.database == attacks.database);
        let at = known.unwrap_or_else(|| {
            self.databases.push(AuditedDatabase {
                database: attacks.database.clone(),
                findings: Vec::new(),
                accepted: 0,
            });
            self.databases.len() - 1
        });
        if let Some(audited) = self.databases.get_mut(at) {
            audited.findings.extend(attacks.findings.iter().cloned());
            audited.findings.sort_by_key(|finding| Reverse(finding.severity));
        }
        self
    }

    /// All findings, of all databases.
    pub fn findings(&self) -> impl Iterator<Item = &AuditFinding> {
        self.databases.iter().flat_map(|database| &database.findings)
    }

    /// The worst there is. `None` where nothing was found.
    pub fn worst(&self) -> Option<AuditSeverity> {
        self.findings().map(|finding| finding.severity).max()
    }

    /// Whether nothing as bad as that was found, and every database was audited.
    pub fn is_clean(&self, at_least: AuditSeverity) -> bool {
        self.unread.is_empty() && self.worst().is_none_or(|worst| worst < at_least)
    }

    /// An error that tells what was found, where it [is not clean](Self::is_clean): for tests, and for a service that
    /// is not to start on a database that does not keep its clients apart.
    ///
    /// # Errors
    /// [`AuditError::NotClean`].
    pub fn assert_clean(&self, at_least: AuditSeverity) -> Result<()> {
        if self.is_clean(at_least) {
            return Ok(());
        }
        let found = self.findings().filter(|finding| finding.severity >= at_least);
        let mut found: Vec<String> = found.map(ToString::to_string).collect();
        found.extend(
            self.unread
                .iter()
                .map(|unread| format!("{}: {}", unread.database, unread.why)),
        );
        let mut names = self.databases.iter().map(|database| &database.database);
        let database = match (names.next(), names.next()) {
            (Some(name), None) => name.clone(),
            _ => "the fleet".to_owned(),
        };
        Err(Error::Audit {
            database,
            source: AuditError::NotClean { found },
        })
    }

    /// What a program ends with: 0 where it [is clean](Self::is_clean), else 1.
    pub fn exit_status(&self, fail_on: AuditSeverity) -> u8 {
        u8::from(!self.is_clean(fail_on))
    }

    /// All that mends it, as a script for each database: what makes columns and keys right first, what protects tables
    /// last. Each statement once. To be read before it is run: what no SQL mends is in it as a comment.
    pub fn mend_sql(&self) -> String {
        text::mend_sql(self)
    }

    /// As text, so many columns wide at most, but for names and SQL.
    pub fn to_text(&self, columns: usize) -> String {
        text::of_report(self, columns)
    }

    /// As SARIF 2.1.0, by which code hosts show findings. They show them at a file: `shown_at` is one of the
    /// repository, by its path there, such as the folder of the host's migrations.
    pub fn to_sarif(&self, shown_at: &str) -> Value {
        sarif::of_report(self, shown_at)
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text(80).trim_end())
    }
}
