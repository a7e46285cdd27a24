//! What is looked for: pure functions over a catalogue that was read, by theme.

macro_rules! checks {
    ($($(#[$about:meta])* $name:ident = $id:literal, $severity:ident, $meaning:literal, $mend:literal;)*) => {
        $($(#[$about])* const $name: $crate::audit::checks::Check = $crate::audit::checks::Check {
            id: $id,
            severity: $crate::audit::finding::AuditSeverity::$severity,
            meaning: $meaning,
            mend: $mend,
        };)*
        /// All of this theme.
        pub(in crate::audit) const ALL: &[&$crate::audit::checks::Check] = &[$(&$name),*];
    };
}
pub(super) use checks;

mod foreign_keys;
mod functions;
mod grants;
mod kernel;
mod keys;
mod look;
mod policies;
mod policy_text;
mod roles;
mod server;
mod settings;
mod tables;
mod versions;
mod views;

pub(super) use self::look::Look;
use super::catalogue::Catalogue;
use super::finding::{AuditFinding, AuditSeverity};

/// Something that is looked for.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) id: &'static str,
    /// How bad it is, where nothing makes it worse or better.
    pub(super) severity: AuditSeverity,
    /// What it means.
    pub(super) meaning: &'static str,
    /// How it is mended.
    pub(super) mend: &'static str,
}

impl Check {
    pub(super) fn found(&self, object: impl Into<String>, evidence: impl Into<String>) -> AuditFinding {
        AuditFinding::new(self.id, self.severity, object, self.meaning, evidence)
    }

    pub(super) fn found_at(
        &self,
        severity: AuditSeverity,
        object: impl Into<String>,
        evidence: impl Into<String>,
    ) -> AuditFinding {
        AuditFinding::new(self.id, severity, object, self.meaning, evidence)
    }
}

/// All checks of catalogues and plans.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    [
        tables::ALL,
        policies::ALL,
        keys::ALL,
        foreign_keys::ALL,
        views::ALL,
        functions::ALL,
        roles::ALL,
        grants::ALL,
        settings::ALL,
        server::ALL,
        versions::ALL,
        kernel::ALL,
        super::plans::ALL,
        super::isolation::DRIFT,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Everything that is wrong with it, the worst first.
pub(super) fn look(catalogue: &Catalogue) -> Vec<AuditFinding> {
    let look = Look::at(catalogue);
    let mut found = Vec::new();
    for theme in [
        tables::look,
        policies::look,
        keys::look,
        foreign_keys::look,
        views::look,
        functions::look,
        roles::look,
        grants::look,
        settings::look,
        server::look,
        versions::look,
        kernel::look,
    ] {
        theme(&look, &mut found);
    }
    sort(&mut found);
    found
}

/// The worst first, then by id and object.
pub(super) fn sort(found: &mut Vec<AuditFinding>) {
    found.sort_by(|a, b| {
        let worst_first = b.severity.cmp(&a.severity);
        worst_first.then_with(|| (a.id, &a.object, &a.evidence).cmp(&(b.id, &b.object, &b.evidence)))
    });
    found.dedup();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TABLE: &str = include_str!("../checks.md");

    fn row(check: &Check) -> String {
        let Check {
            id,
            severity,
            meaning,
            mend,
        } = check;
        format!("| `{id}` | {severity} | {meaning} | {mend} |")
    }

    #[test]
    fn the_table_of_checks_is_that_of_the_code() {
        if std::env::var_os("TENANTRY_BLESS").is_some() {
            let mut rows: Vec<String> = all().map(row).collect();
            rows.sort();
            let table = format!(
                "| id | severity | what it means | what mends it |\n|---|---|---|---|\n{}\n",
                rows.join("\n")
            );
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/audit/checks.md");
            std::fs::write(path, table).unwrap();
            return;
        }
        let told: BTreeSet<&str> = TABLE.lines().skip(2).collect();
        let checks: Vec<String> = all().map(row).collect();
        let checks: BTreeSet<&str> = checks.iter().map(String::as_str).collect();
        let differ: Vec<_> = told.symmetric_difference(&checks).collect();
        assert!(differ.is_empty(), "TENANTRY_BLESS=1 writes it anew: {differ:#?}");
    }

    #[test]
    fn ids_are_dotted_and_no_two_are_the_same() {
        let ids: Vec<&str> = all().map(|check| check.id).collect();
        let different: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), different.len());
        for id in ids {
            let (theme, name) = id.split_once('.').unwrap();
            let plain = |part: &str| {
                part.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            assert!(plain(theme) && plain(name), "{id}");
        }
    }
}
