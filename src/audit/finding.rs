use std::fmt;

use serde::Serialize;

/// How bad an [`AuditFinding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditSeverity {
    /// Nothing is wrong; whoever reads the report is to know of it.
    Info,
    /// It costs time or room, or takes away a second guard while the first one holds.
    Low,
    /// Clients learn of each other that something is there, or get in each other's way.
    Medium,
    /// A client reaches what is another's under circumstances, or a guard is off that others stand in for.
    High,
    /// A client reads or writes what is another's.
    Critical,
}

impl AuditSeverity {
    /// From the least to the worst.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for AuditSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A severity that there is none of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no severity: info, low, medium, high or critical")]
pub struct UnknownAuditSeverity {
    given: String,
}

impl std::str::FromStr for AuditSeverity {
    type Err = UnknownAuditSeverity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|severity| severity.as_str() == text);
        known.ok_or_else(|| UnknownAuditSeverity {
            given: text.to_owned(),
        })
    }
}

/// Something by which one client could reach, learn of or get in the way of another. It holds no credential and no
/// value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditFinding {
    /// The check that found it, such as `table.rls_not_forced`: it stays the same from version to version.
    pub id: &'static str,
    /// How bad it is.
    pub severity: AuditSeverity,
    /// The table, function, role or whatever it is that is wrong, with its schema.
    pub object: String,
    /// What it means: what a client could do with it.
    pub meaning: String,
    /// What was seen.
    pub evidence: String,
    /// The SQL that mends it, to be run as the admin role unless it says otherwise; `None` where no SQL does.
    pub mend: Option<String>,
}

impl AuditFinding {
    pub(crate) fn new(
        id: &'static str,
        severity: AuditSeverity,
        object: impl Into<String>,
        meaning: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity,
            object: object.into(),
            meaning: meaning.into(),
            evidence: evidence.into(),
            mend: None,
        }
    }

    #[must_use]
    pub(crate) fn mended_by(mut self, sql: impl Into<String>) -> Self {
        self.mend = Some(sql.into());
        self
    }
}

/// One line: severity, id, object and evidence.
impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            severity,
            object,
            evidence,
            ..
        } = self;
        write!(f, "{severity} {id}: {object}: {evidence}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_ordered_and_read_as_they_are_written() {
        assert!(AuditSeverity::ALL.is_sorted());
        for severity in AuditSeverity::ALL {
            assert_eq!(severity.as_str().parse(), Ok(severity));
        }
        assert!("CRITICAL".parse::<AuditSeverity>().is_err());
    }
}
