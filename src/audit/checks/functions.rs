//! The host's functions.

use super::Look;
use super::look::quoted;
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    DEFINER = "function.definer", High,
        "the app role may call a function that runs with the rights of an owner whom row-level security does not hold",
        "`alter function … security invoker`, or `revoke execute`";
    DEFINER_UNPINNED = "function.definer_unpinned", High,
        "the app role may call a function that runs with the rights of its owner and finds its names by the search path of whoever calls",
        "`alter function … set search_path = pg_catalog, pg_temp`";
    TEMP_FIRST = "function.temp_first", Low,
        "a function with the rights of its owner looks for tables among the temporary ones of whoever calls before any other",
        "end its search path with pg_temp";
    LEAKPROOF = "function.leakproof", Critical,
        "a function is said to be leakproof: it is given rows of other clients before the policy has left them out",
        "`alter function … not leakproof`";
    UNTRUSTED = "function.untrusted_language", Critical,
        "the app role may call a function in a language that does as it likes with the server",
        "`revoke execute`";
    SETTING = "function.changes_guard", High,
        "a function changes who it runs as, or what guards rows, while it runs",
        "`alter function … reset`";
    IMMUTABLE_SCOPE = "function.immutable_scope", High,
        "a function that asks who is bound is said to be immutable: its answer is kept in a plan or an index and given to the next client",
        "`alter function … volatile`, or stable";
    PARALLEL_SCOPE = "function.parallel_scope", Low,
        "a function that asks who is bound is said to be parallel safe: a worker does not know",
        "`alter function … parallel restricted`";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for function in &look.catalogue.functions {
        let sql = &function.sql;
        let verb = if function.procedure {
            "procedure"
        } else {
            "function"
        };
        let callable = function.callable && !function.trigger;
        let taken = |found: &mut Vec<AuditFinding>, finding: AuditFinding| {
            let app = quoted(&look.catalogue.app);
            found.push(finding.mended_by(format!("revoke execute on {verb} {sql} from public, {app};")));
        };
        if callable && function.definer {
            if function.owner_bypasses {
                let severity = if function.owner_superuser {
                    AuditSeverity::Critical
                } else {
                    AuditSeverity::High
                };
                let what = if function.owner_superuser {
                    "a superuser"
                } else {
                    "BYPASSRLS"
                };
                let evidence = format!("it runs as {} ({what})", function.owner);
                taken(found, DEFINER.found_at(severity, sql, evidence));
            }
            if !function.pinned && !function.sql_body {
                let finding = DEFINER_UNPINNED.found(
                    sql,
                    format!("it runs as {}, with no search path of its own", function.owner),
                );
                found.push(finding.mended_by(format!(
                    "alter {verb} {sql} set search_path = pg_catalog, pg_temp;"
                )));
            } else if function.pinned && !function.temp_last {
                let finding = TEMP_FIRST.found(sql, "its search path does not end with pg_temp");
                found.push(finding.mended_by(format!(
                    "alter {verb} {sql} set search_path = pg_catalog, pg_temp;"
                )));
            }
        }
        if function.leakproof {
            let finding = LEAKPROOF.found(sql, "it is marked leakproof");
            found.push(finding.mended_by(format!("alter {verb} {sql} not leakproof;")));
        }
        if callable && !function.trusted {
            taken(
                found,
                UNTRUSTED.found(sql, format!("it is written in {}", function.language)),
            );
        }
        let guards = ["role", "session_authorization", "session_replication_role"];
        let changed = function
            .settings
            .iter()
            .find(|setting| guards.contains(&setting.as_str()));
        let changed = changed
            .map(String::as_str)
            .or(function.row_security_off.then_some("row_security"));
        if let Some(setting) = changed.filter(|_| function.callable) {
            let finding = SETTING.found(sql, format!("it sets {setting}"));
            found.push(finding.mended_by(format!("alter {verb} {sql} reset {setting};")));
        }
        if function.reads_scope && function.volatility == "i" {
            let finding = IMMUTABLE_SCOPE.found(
                sql,
                "it is immutable, and its body asks for the client or a setting",
            );
            found.push(finding.mended_by(format!("alter {verb} {sql} volatile;")));
        }
        if function.reads_scope && function.parallel == "s" {
            let finding = PARALLEL_SCOPE.found(
                sql,
                "it is parallel safe, and its body asks for the client or a setting",
            );
            found.push(finding.mended_by(format!("alter {verb} {sql} parallel restricted;")));
        }
    }
}
