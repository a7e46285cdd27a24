//! A report as people read it.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::finding::AuditSeverity;
use super::report::{AuditReport, AuditedDatabase};

pub(super) fn of_report(report: &AuditReport, columns: usize) -> String {
    let mut text = String::new();
    for database in &report.databases {
        of_database(database, columns, &mut text);
    }
    for unread in &report.unread {
        let _ = writeln!(text, "{}: not audited", unread.database);
        wrapped(&mut text, "  ", &unread.why, columns);
        text.push('\n');
    }
    let _ = writeln!(text, "{}", summary(report));
    text
}

fn of_database(database: &AuditedDatabase, columns: usize, text: &mut String) {
    if database.findings.is_empty() {
        let _ = writeln!(text, "{}: clean", database.database);
    } else {
        let _ = writeln!(text, "{}", database.database);
    }
    if database.accepted > 0 {
        let _ = writeln!(text, "  {} accepted and left out", database.accepted);
    }
    text.push('\n');
    for finding in &database.findings {
        let _ = writeln!(text, "{} {}", finding.severity, finding.id);
        wrapped(text, "  ", &finding.object, columns);
        wrapped(text, "  ", &finding.evidence, columns);
        wrapped(text, "  ", &format!("means: {}", finding.meaning), columns);
        if let Some(mend) = &finding.mend {
            text.push_str("  mend:\n");
            for line in mend.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text.push('\n');
    }
}

fn summary(report: &AuditReport) -> String {
    let databases = match report.databases.len() {
        1 => "1 database audited".to_owned(),
        more => format!("{more} databases audited"),
    };
    let mut counts = Vec::new();
    for severity in AuditSeverity::ALL.into_iter().rev() {
        let count = report
            .findings()
            .filter(|finding| finding.severity == severity)
            .count();
        if count > 0 {
            counts.push(format!("{count} {severity}"));
        }
    }
    if counts.is_empty() {
        counts.push("nothing found".to_owned());
    }
    if !report.unread.is_empty() {
        counts.push(format!("{} not audited", report.unread.len()));
    }
    format!("{databases}: {}", counts.join(", "))
}

/// Breaks lines between words. A word that is too long stays whole.
fn wrapped(text: &mut String, indent: &str, words: &str, columns: usize) {
    let room = columns.saturating_sub(indent.chars().count()).max(20);
    let mut used = 0;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if used == 0 {
            text.push_str(indent);
        } else if used + 1 + width > room {
            text.push('\n');
            text.push_str(indent);
            used = 0;
        } else {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += width;
    }
    text.push('\n');
}

pub(super) fn mend_sql(report: &AuditReport) -> String {
    let mut text = String::new();
    for database in &report.databases {
        let (mut first, mut last, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for finding in &database.findings {
            let Some(mend) = &finding.mend else {
                by_hand.push(format!(
                    "-- {}: {}: {}",
                    finding.id, finding.object, finding.evidence
                ));
                continue;
            };
            for statement in statements(mend) {
                if seen.insert(statement.clone()) {
                    let protects = statement.starts_with("select tenantry.");
                    if protects { &mut last } else { &mut first }.push(statement);
                }
            }
        }
        // A sort that keeps the order: columns and keys before whatever needs them.
        first.sort_by_key(|statement| order(statement));
        if first.is_empty() && last.is_empty() && by_hand.is_empty() {
            continue;
        }
        // The name of a database is on one line, whatever is in it.
        let name: String = database
            .database
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let _ = writeln!(text, "-- {name}");
        for line in first.iter().chain(&last).chain(&by_hand) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A line each, with the comment before it.
fn statements(mend: &str) -> Vec<String> {
    let (mut all, mut comment) = (Vec::new(), String::new());
    for line in mend.lines() {
        if line.starts_with("--") {
            comment = format!("{line}\n");
        } else {
            all.push(format!("{comment}{line}"));
        }
    }
    all
}

/// Foreign keys go before the keys that they lead to are made anew, and come back after.
fn order(statement: &str) -> u8 {
    let has = |part: &str| statement.to_ascii_lowercase().contains(part);
    if has(" drop constraint ") && !has("add constraint ") {
        0
    } else if has("foreign key (") {
        4
    } else if has("create ") {
        3
    } else if has("add constraint ") {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::AuditFinding;
    use super::*;

    fn report() -> AuditReport {
        let long =
            "a policy that is long enough to be broken more than once, between words and nowhere else at all";
        AuditReport::of(
            "pool p",
            vec![
                AuditFinding::new("table.rls_off", AuditSeverity::Critical, "public.agents", long, "row-level security is off")
                    .mended_by("select tenantry.protect('public.agents');"),
                AuditFinding::new("key.not_by_client", AuditSeverity::High, "public.agents", long, "agents_pkey is on (id)")
                    .mended_by("alter table public.agents drop constraint x, add constraint x primary key (client_id, id);"),
                AuditFinding::new("key.none", AuditSeverity::Low, "public.runs", long, "it has no primary key"),
            ],
        )
    }

    #[test]
    fn a_report_fits_sixty_columns_but_for_its_sql() {
        let text = report().to_text(60);
        let prose = text.lines().filter(|line| !line.starts_with("    "));
        let wide: Vec<&str> = prose.filter(|line| line.chars().count() > 60).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(
            text.ends_with("1 database audited: 1 critical, 1 high, 1 low\n"),
            "{text}"
        );
    }

    #[test]
    fn the_sql_mends_keys_before_it_protects_and_names_what_is_left() {
        assert_eq!(
            report().mend_sql(),
            "-- pool p\n\
             alter table public.agents drop constraint x, add constraint x primary key (client_id, id);\n\
             select tenantry.protect('public.agents');\n\
             -- key.none: public.runs: it has no primary key\n"
        );
    }

    #[test]
    fn what_is_clean_is_said_to_be() {
        let report = AuditReport::of("pool p", Vec::new());
        assert_eq!(
            report.to_string(),
            "pool p: clean\n\n1 database audited: nothing found"
        );
        assert_eq!(report.mend_sql(), "");
        assert_eq!(report.exit_status(AuditSeverity::Info), 0);
        assert!(report.assert_clean(AuditSeverity::Info).is_ok());
    }

    #[test]
    fn a_report_is_clean_up_to_a_severity() {
        let report = report();
        assert_eq!(report.exit_status(AuditSeverity::Critical), 1);
        let error = report.assert_clean(AuditSeverity::High).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("2 things were found"), "{source}");
        assert!(
            source.contains("critical table.rls_off: public.agents: row-level security is off"),
            "{source}"
        );
    }
}
