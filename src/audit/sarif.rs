//! A report as code hosts read it: SARIF 2.1.0.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::checks;
use super::finding::{AuditFinding, AuditSeverity};
use super::report::AuditReport;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

/// A rule as it is told of.
struct Rule<'a> {
    id: &'a str,
    severity: AuditSeverity,
    meaning: &'a str,
    mend: Option<&'a str>,
}

pub(super) fn of_report(report: &AuditReport, shown_at: &str) -> Value {
    let mut rules: Vec<Rule<'_>> = checks::all()
        .map(|check| Rule {
            id: check.id,
            severity: check.severity,
            meaning: check.meaning,
            mend: Some(check.mend),
        })
        .collect();
    // What was found by other means than a catalogue.
    for finding in report.findings() {
        if !rules.iter().any(|rule| rule.id == finding.id) {
            rules.push(Rule {
                id: finding.id,
                severity: finding.severity,
                meaning: &finding.meaning,
                mend: None,
            });
        }
    }
    rules.sort_by_key(|rule| rule.id);
    let mut results = Vec::new();
    for database in &report.databases {
        for finding in &database.findings {
            let index = rules.iter().position(|rule| rule.id == finding.id);
            results.push(of_finding(finding, &database.database, index, shown_at));
        }
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tenantry",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://docs.rs/tenantry",
                "rules": rules.iter().map(of_rule).collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": report.unread.is_empty(),
                "toolExecutionNotifications": report.unread.iter().map(|unread| json!({
                    "level": "error",
                    "message": { "text": format!("{}: {}", unread.database, unread.why) },
                })).collect::<Vec<_>>(),
            }],
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

fn of_rule(rule: &Rule<'_>) -> Value {
    let help = match rule.mend {
        Some(mend) => format!("{}. What mends it: {mend}", rule.meaning),
        None => rule.meaning.to_owned(),
    };
    json!({
        "id": rule.id,
        "name": name(rule.id),
        "shortDescription": { "text": rule.meaning },
        "fullDescription": { "text": rule.meaning },
        "help": { "text": help, "markdown": help },
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": {
            "security-severity": score(rule.severity),
            "tags": ["security", "isolation"],
        },
    })
}

fn of_finding(finding: &AuditFinding, database: &str, rule: Option<usize>, shown_at: &str) -> Value {
    let mut text = format!("{}: {}. {}", finding.object, finding.evidence, finding.meaning);
    if let Some(mend) = &finding.mend {
        text.push_str(". Mend: ");
        text.push_str(mend);
    }
    // The same from run to run, whatever else is found; the id and the object say which it is.
    let same = Sha256::digest(format!(
        "{database}\0{}\0{}\0{}",
        finding.id, finding.object, finding.evidence
    ));
    json!({
        "ruleId": finding.id,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(shown_at) },
                "region": { "startLine": 1 },
            },
            "logicalLocations": [{
                "fullyQualifiedName": format!("{database}/{}", finding.object),
                "name": finding.object,
                "kind": "resource",
            }],
        }],
        "partialFingerprints": { "tenantryFinding/v1": hex::encode(&same[..16]) },
        "properties": { "severity": finding.severity, "database": database },
    })
}

fn level(severity: AuditSeverity) -> &'static str {
    match severity {
        AuditSeverity::Info | AuditSeverity::Low => "note",
        AuditSeverity::Medium => "warning",
        AuditSeverity::High | AuditSeverity::Critical => "error",
    }
}

/// As code hosts order security findings: from 0 to 10.
fn score(severity: AuditSeverity) -> &'static str {
    match severity {
        AuditSeverity::Info => "0.1",
        AuditSeverity::Low => "3.0",
        AuditSeverity::Medium => "5.5",
        AuditSeverity::High => "8.0",
        AuditSeverity::Critical => "9.5",
    }
}

/// `table.rls_off` as `TableRlsOff`.
fn name(id: &str) -> String {
    let words = id.split(['.', '_']);
    words
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        })
        .collect()
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into());
            }
            b'\\' => uri.push('/'),
            other => {
                uri.push('%');
                uri.push_str(&hex::encode_upper([other]));
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The properties that the standard requires, and those that code hosts do.
    #[test]
    fn a_report_has_what_the_standard_requires() {
        let finding = |id, object: &str| {
            AuditFinding::new(id, AuditSeverity::High, object, "meaning", "evidence").mended_by("select 1;")
        };
        let findings = vec![
            finding("table.rls_off", "public.a"),
            finding("attack.read", "public.\"b c\""),
        ];
        let sarif = AuditReport::of("pool p", findings).to_sarif("./migrations/0001 a.sql");
        assert_eq!(sarif["version"], "2.1.0");
        assert!(
            sarif["$schema"]
                .as_str()
                .unwrap()
                .ends_with("sarif-schema-2.1.0.json")
        );
        let run = &sarif["runs"][0];
        assert_eq!(run["tool"]["driver"]["name"], "tenantry");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert!(rules.len() > 100, "{}", rules.len());
        for rule in rules {
            assert!(!rule["id"].as_str().unwrap().is_empty());
            assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
            assert!(!rule["help"]["text"].as_str().unwrap().is_empty());
            assert!(
                ["note", "warning", "error"]
                    .contains(&rule["defaultConfiguration"]["level"].as_str().unwrap())
            );
        }
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert_eq!(result["level"], "error");
            assert!(result["message"]["text"].as_str().unwrap().contains("evidence"));
            let location = &result["locations"][0];
            assert_eq!(
                location["physicalLocation"]["artifactLocation"]["uri"],
                "migrations/0001%20a.sql"
            );
            assert!(location["logicalLocations"][0]["fullyQualifiedName"].is_string());
            assert_eq!(
                result["partialFingerprints"]["tenantryFinding/v1"]
                    .as_str()
                    .unwrap()
                    .len(),
                32
            );
        }
        assert_ne!(
            results[0]["partialFingerprints"],
            results[1]["partialFingerprints"]
        );
    }
}
