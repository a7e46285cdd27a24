//! Views, rules, triggers and foreign tables: what runs with somebody else's rights.

use super::Look;
use super::look::{grantee, quoted};
use crate::audit::catalogue::{Kind, Relation};
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    NOT_INVOKER = "view.not_invoker", High,
        "a view that the app role reaches runs with the rights of its owner: row-level security does not hold, or holds by the owner's",
        "`alter view … set (security_invoker = on)`";
    MATERIALIZED = "view.materialized", Critical,
        "a materialized view has no row-level security: the app role reads what it keeps of all clients",
        "`revoke all`";
    FOREIGN = "foreign_table.reached", High,
        "a foreign table has no row-level security: the app role reads all of it",
        "`revoke all`";
    RULE = "rule.on_table", High,
        "a rule changes what statements do, and its actions run with the rights of the owner of the table",
        "`drop rule`";
    TRIGGER_DEFINER = "trigger.definer", High,
        "a trigger of a table of clients runs with the rights of its owner, past row-level security",
        "`alter function … security invoker`";
    TRIGGER_UNPINNED = "trigger.unpinned", Low,
        "the function of a trigger finds its names by the search path of whoever writes",
        "`alter function … set search_path = …, pg_temp`";
    TRIGGER_CLIENT = "trigger.sets_client_id", High,
        "a trigger changes whose a row is, after the client said so and before it is checked",
        "drop the trigger: the default of client_id stamps rows";
    TRIGGER_OFF = "trigger.foreign_keys_off", High,
        "triggers of the server's own are turned off: foreign keys of the table are not checked",
        "`alter table … enable trigger all`";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for relation in &look.catalogue.relations {
        match relation.kind {
            Kind::View if relation.is_reached() && !relation.invoker => of_view(look, relation, found),
            Kind::MaterializedView if relation.is_reached() => {
                let severity = if look.reads_tenants(relation) {
                    AuditSeverity::Critical
                } else {
                    AuditSeverity::Medium
                };
                let evidence = "the app role may read it";
                found.push(
                    MATERIALIZED
                        .found_at(severity, &relation.sql, evidence)
                        .mended_by(revoked(relation)),
                );
            }
            Kind::Foreign if relation.is_reached() => {
                let evidence = "the app role may read or write it";
                found.push(
                    FOREIGN
                        .found(&relation.sql, evidence)
                        .mended_by(revoked(relation)),
                );
            }
            _ => {}
        }
        let of_clients =
            look.is_tenant(relation) || relation.kind == Kind::View && look.reads_tenants(relation);
        if of_clients {
            for rule in &relation.rules {
                let finding = RULE.found(&relation.sql, format!("rule {rule}"));
                found.push(finding.mended_by(format!("drop rule {rule} on {};", relation.sql)));
            }
        }
        if look.is_tenant(relation) {
            of_triggers(relation, found);
        }
    }
}

fn of_view(look: &Look<'_>, view: &Relation, found: &mut Vec<AuditFinding>) {
    let reads = look.reads_tenants(view);
    let severity = if reads {
        AuditSeverity::Critical
    } else {
        AuditSeverity::Medium
    };
    let evidence = if reads {
        format!("it reads tables of clients as {}", view.owner)
    } else {
        format!("it runs as {}", view.owner)
    };
    let finding = NOT_INVOKER.found_at(severity, &view.sql, evidence);
    found.push(finding.mended_by(format!("alter view {} set (security_invoker = on);", view.sql)));
}

fn revoked(relation: &Relation) -> String {
    let mut from: Vec<String> = relation.app_rights().map(|right| grantee(&right.to)).collect();
    from.sort();
    from.dedup();
    format!("revoke all on {} from {};", relation.sql, from.join(", "))
}

fn of_triggers(table: &Relation, found: &mut Vec<AuditFinding>) {
    let sql = &table.sql;
    let mut off = false;
    for trigger in &table.triggers {
        if trigger.internal {
            off |= trigger.enabled == "D";
            continue;
        }
        // Those of a relocation or retrofit that is under way.
        if trigger.of_kernel || trigger.enabled == "D" {
            continue;
        }
        let evidence = format!("trigger {} calls {}", trigger.name, trigger.function);
        if trigger.definer {
            let mend = format!("alter function {} security invoker;", trigger.function);
            found.push(TRIGGER_DEFINER.found(sql, &evidence).mended_by(mend));
        }
        if !trigger.pinned {
            let mend = format!(
                "alter function {} set search_path = pg_catalog, {}, pg_temp;",
                trigger.function,
                schema_of(sql)
            );
            found.push(TRIGGER_UNPINNED.found(sql, &evidence).mended_by(mend));
        }
        if trigger.sets_client {
            let mend = format!("drop trigger {} on {sql};", trigger.name);
            found.push(TRIGGER_CLIENT.found(sql, evidence).mended_by(mend));
        }
    }
    if off {
        let finding = TRIGGER_OFF.found(sql, "triggers of its foreign keys are disabled");
        found.push(finding.mended_by(format!(
            "-- as a superuser\nalter table {sql} enable trigger all;"
        )));
    }
}

/// Of a name that was quoted where it has to be.
fn schema_of(sql: &str) -> String {
    if sql.starts_with('"') {
        return sql
            .find("\".")
            .map_or_else(|| quoted("public"), |at| sql[..=at].to_owned());
    }
    sql.split('.').next().unwrap_or("public").to_owned()
}
