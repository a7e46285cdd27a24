//! Whether policies hold each client to its own rows.

use super::look::protect;
use super::policy_text::{Flaw, calls_per_row, flaws, is_scope};
use super::{Check, Look};
use crate::audit::catalogue::{Policy, Relation};
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    MISSING = "policy.missing", Critical,
        "no policy holds a client to its own rows, though row-level security is on",
        "`tenantry.protect`";
    NONE = "policy.none", Medium,
        "there is no policy: every statement of every client finds nothing and may write nothing",
        "`tenantry.protect`";
    NO_PERMISSIVE = "policy.no_permissive", Medium,
        "restrictive policies alone let nothing through: every statement of every client finds nothing",
        "`tenantry.protect`";
    PERMISSIVE_ONLY = "policy.permissive_only", High,
        "the policy that holds a client to its rows is permissive: any other permissive one widens it",
        "`tenantry.protect` makes it restrictive";
    WIDENED = "policy.widened", Critical,
        "a permissive policy lets rows of other clients through, and no restrictive one stands behind it",
        "drop the policy, and `tenantry.protect`";
    COMMAND_GAP = "policy.command_gap", Critical,
        "the policy that holds a client to its rows is not one of all commands: the others are not held",
        "`tenantry.protect`";
    ROLE_GAP = "policy.role_gap", High,
        "the policy that holds a client to its rows is one of some roles: others, and what the app role can become, are not held",
        "`tenantry.protect`";
    CHECK_OPEN = "policy.with_check_open", Critical,
        "what is read is held to the client, and what is written is not: a client gives its rows to another, or writes there",
        "`tenantry.protect`";
    NO_CHECK = "policy.no_with_check", Low,
        "what is written is held by the condition of what is read, for want of one of its own: a change of the one changes the other",
        "`tenantry.protect`";
    ESCAPE_TRUE = "policy.escape_true", Critical,
        "the condition holds for every row",
        "drop the policy, and `tenantry.protect`";
    ESCAPE_NULL = "policy.escape_null", Critical,
        "the condition holds where something is null: rows of nobody are everybody's, or a session bound to nobody sees all",
        "drop the policy, and `tenantry.protect`";
    ESCAPE_COALESCE = "policy.escape_coalesce", Critical,
        "what is missing is replaced by something: a session that is bound to nobody is let through as somebody",
        "drop the policy, and `tenantry.protect`";
    ESCAPE_OR = "policy.escape_or", High,
        "there is another way through than to be the client",
        "drop the policy; a second condition belongs behind `and`";
    LITERAL = "policy.literal", High,
        "a client, or what stands for one, is written into the policy",
        "drop the policy, and `tenantry.protect`";
    SETTING = "policy.setting", Critical,
        "the client is taken from a setting, which any statement can set: injected SQL hops to another client",
        "drop the policy, and `tenantry.protect`, whose scope is sealed";
    BY_ROLE = "policy.by_role", High,
        "who is logged in decides, and all clients are served by the same role",
        "drop the policy, and `tenantry.protect`";
    PER_ROW = "policy.per_row", Medium,
        "who is bound is asked for each row and not once for a statement: ten times as slow, and no index serves it",
        "`(select tenantry.current_client())`, as `tenantry.protect` writes it";
    CASTS_COLUMN = "policy.casts_column", Medium,
        "client_id is cast for each row: no index that leads with it serves the policy",
        "compare uuids, as `tenantry.protect` does";
    NOT_SCOPE = "policy.not_scope", High,
        "a restrictive policy holds to something else than the client that is bound",
        "drop the policy, and `tenantry.protect`";
    FUNCTION_IMMUTABLE = "policy.function_immutable", Critical,
        "a function of a policy is said to be immutable: its answer for one client is kept in a plan and given to the next",
        "`alter function … volatile`, or stable";
    FUNCTION_UNPINNED = "policy.function_unpinned", Medium,
        "a function of a policy finds its names by the search path of whoever asks",
        "`alter function … set search_path = pg_catalog, pg_temp`";
    FUNCTION_DEFINER = "policy.function_definer", Medium,
        "a function of a policy runs with the rights of its owner: what it reads is past row-level security",
        "`alter function … security invoker`, or ask the kernel's";
    FUNCTION_PARALLEL = "policy.function_parallel", Low,
        "a function of a policy is said to be parallel safe: a worker does not know what the session was bound to",
        "`alter function … parallel restricted`";
    READS_TABLES = "policy.reads_tables", Medium,
        "a policy reads other tables, for each row, and by what they hold at that time",
        "hold by client_id alone";
}

const COMMANDS: [(&str, &str); 4] = [("r", "select"), ("a", "insert"), ("w", "update"), ("d", "delete")];

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for table in look.tenants() {
        of_functions(table, found);
        if table.rls {
            of_table(table, found);
        }
    }
}

/// Whether restrictive policies hold everybody to the rows of one client, whatever the command.
pub(super) fn is_guarded(table: &Relation) -> bool {
    COMMANDS.iter().all(|(command, _)| is_guarded_for(table, command))
}

fn is_guarded_for(table: &Relation, command: &str) -> bool {
    let restrictive = table.policies.iter().filter(|policy| !policy.permissive);
    restrictive
        .into_iter()
        .any(|policy| is_public(policy) && holds(policy, command))
}

fn is_public(policy: &Policy) -> bool {
    policy.roles.iter().any(|role| role == "public")
}

/// Whether the policy lets nothing but rows of the client through for that command.
fn holds(policy: &Policy, command: &str) -> bool {
    if policy.command != "*" && policy.command != command {
        return false;
    }
    let read = policy.using.as_deref().is_some_and(is_scope);
    let written = policy.check.as_deref().map_or(read, is_scope);
    match command {
        "a" => written,
        "w" => read && written,
        _ => read,
    }
}

fn of_table(table: &Relation, found: &mut Vec<AuditFinding>) {
    let sql = &table.sql;
    let anew = |policy: &Policy| match policy.name.as_str() {
        // They are replaced.
        "tenantry_scope" | "tenantry_open" => protect(table),
        name => format!("drop policy {name} on {sql};\n{}", protect(table)),
    };
    if table.policies.is_empty() {
        found.push(NONE.found(sql, "it has no policy").mended_by(protect(table)));
        return;
    }
    if !table
        .policies
        .iter()
        .any(|policy| policy.permissive && policy.reaches_app)
    {
        let evidence = "none of its policies is permissive for the app role";
        found.push(NO_PERMISSIVE.found(sql, evidence).mended_by(protect(table)));
    }
    let before = found.len();
    for policy in &table.policies {
        of_condition(table, policy, &anew(policy), found);
    }
    let guarded = is_guarded(table);
    for policy in table
        .policies
        .iter()
        .filter(|policy| !policy.permissive && policy.command == "*")
    {
        if policy.check.is_none() && policy.using.as_deref().is_some_and(is_scope) {
            let evidence = format!("policy {} has no WITH CHECK", policy.name);
            found.push(NO_CHECK.found(sql, evidence).mended_by(anew(policy)));
        }
    }
    if guarded {
        return;
    }
    let mut said = found[before..]
        .iter()
        .any(|finding| finding.severity >= AuditSeverity::High);
    let scopes: Vec<&Policy> = table
        .policies
        .iter()
        .filter(|policy| {
            policy.using.as_deref().is_some_and(is_scope) || policy.check.as_deref().is_some_and(is_scope)
        })
        .collect();
    for policy in scopes.iter().filter(|policy| !policy.permissive) {
        said |= of_gaps(table, policy, &anew(policy), found);
    }
    if let Some(policy) = scopes.iter().find(|policy| policy.permissive) {
        let evidence = format!(
            "policy {} is permissive, and none that is restrictive holds a client to its rows",
            policy.name
        );
        found.push(PERMISSIVE_ONLY.found(sql, evidence).mended_by(anew(policy)));
        said = true;
    }
    // What lets more through than the scope, where nothing stands behind it.
    let restricted = table
        .policies
        .iter()
        .any(|policy| !policy.permissive && is_public(policy));
    for policy in table
        .policies
        .iter()
        .filter(|policy| policy.permissive && policy.reaches_app && !restricted)
    {
        let open = |expression: &Option<String>| expression.as_deref().is_some_and(|text| !is_scope(text));
        if open(&policy.using) || open(&policy.check) {
            let evidence = format!(
                "policy {} lets through what meets {}",
                policy.name,
                policy
                    .using
                    .as_deref()
                    .or(policy.check.as_deref())
                    .unwrap_or("nothing")
            );
            found.push(WIDENED.found(sql, evidence).mended_by(anew(policy)));
            said = said || !scopes.is_empty();
        }
    }
    if !said {
        let evidence = format!(
            "none of {} holds to the client that is bound",
            names(&table.policies)
        );
        found.push(MISSING.found(sql, evidence).mended_by(protect(table)));
    }
}

fn names(policies: &[Policy]) -> String {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    names.join(", ")
}

/// Commands, roles and writes that a restrictive policy leaves out.
fn of_gaps(table: &Relation, policy: &Policy, anew: &str, found: &mut Vec<AuditFinding>) -> bool {
    let sql = &table.sql;
    let before = found.len();
    if !is_public(policy) {
        let evidence = format!("policy {} is of {} alone", policy.name, policy.roles.join(", "));
        found.push(ROLE_GAP.found(sql, evidence).mended_by(anew));
    }
    let left: Vec<&str> = COMMANDS
        .iter()
        .filter(|(command, _)| {
            policy.command != "*" && policy.command != *command && !is_guarded_for(table, command)
        })
        .map(|(_, verb)| *verb)
        .collect();
    if !left.is_empty() {
        let evidence = format!(
            "nothing holds {}: policy {} is not of it",
            left.join(", "),
            policy.name
        );
        found.push(COMMAND_GAP.found(sql, evidence).mended_by(anew));
    }
    let reads = policy.using.as_deref().is_some_and(is_scope);
    if let Some(check) = policy.check.as_deref().filter(|check| reads && !is_scope(check)) {
        let evidence = format!("policy {} is WITH CHECK {check}", policy.name);
        found.push(CHECK_OPEN.found(sql, evidence).mended_by(anew));
    }
    found.len() > before
}

/// What its expressions say, of a policy that is to hold; of others, what they cost.
fn of_condition(table: &Relation, policy: &Policy, anew: &str, found: &mut Vec<AuditFinding>) {
    let sql = &table.sql;
    let reads = policy.using.as_deref();
    let mut expressions: Vec<(&str, bool)> = reads.map(|text| (text, false)).into_iter().collect();
    // Where what is read is held and what is written is not, that is said as such.
    let told_apart = !policy.permissive && reads.is_some_and(is_scope);
    let written = policy.check.as_deref().filter(|text| Some(*text) != reads);
    expressions.extend(written.map(|text| (text, told_apart)));
    for (expression, told_apart) in expressions {
        let guards =
            !policy.permissive || expression.contains("current_client") || expression.contains("client_id");
        let evidence = |of: &str| format!("policy {}: {of}", policy.name);
        if !guards || told_apart || is_scope(expression) {
            if calls_per_row(expression) {
                found.push(PER_ROW.found(sql, evidence(expression)).mended_by(anew));
            }
            continue;
        }
        let behind = is_guarded(table);
        for flaw in flaws(expression) {
            let check: &Check = match flaw {
                Flaw::True => &ESCAPE_TRUE,
                Flaw::Null => &ESCAPE_NULL,
                Flaw::Coalesce => &ESCAPE_COALESCE,
                Flaw::Or => &ESCAPE_OR,
                Flaw::Literal => &LITERAL,
                Flaw::Setting => &SETTING,
                Flaw::Role => &BY_ROLE,
                Flaw::PerRow => &PER_ROW,
                Flaw::Cast => &CASTS_COLUMN,
                Flaw::Other => &NOT_SCOPE,
            };
            // A second policy behind one that holds can only take away; it still costs.
            if behind && !matches!(flaw, Flaw::PerRow | Flaw::Cast) {
                continue;
            }
            found.push(check.found(sql, evidence(expression)).mended_by(anew));
        }
    }
    if !policy.reads.is_empty() {
        let evidence = format!("policy {} reads {}", policy.name, policy.reads.join(", "));
        found.push(READS_TABLES.found(sql, evidence).mended_by(anew));
    }
}

fn of_functions(table: &Relation, found: &mut Vec<AuditFinding>) {
    for policy in &table.policies {
        // The kernel's are looked at with the kernel; those of extensions change with them.
        for function in policy
            .functions
            .iter()
            .filter(|function| !function.kernel && !function.extension)
        {
            let sql = &function.sql;
            let evidence = |what: &str| {
                format!(
                    "policy {} of {} calls it, and it is {what}",
                    policy.name, table.sql
                )
            };
            if function.volatility == "i" {
                let mend = format!("alter function {sql} volatile;");
                found.push(
                    FUNCTION_IMMUTABLE
                        .found(sql, evidence("immutable"))
                        .mended_by(mend),
                );
            }
            if !function.pinned {
                let mend = format!("alter function {sql} set search_path = pg_catalog, pg_temp;");
                found.push(
                    FUNCTION_UNPINNED
                        .found(sql, evidence("without a search path of its own"))
                        .mended_by(mend),
                );
            }
            if function.definer {
                let mend = format!("alter function {sql} security invoker;");
                found.push(
                    FUNCTION_DEFINER
                        .found(sql, evidence("security definer"))
                        .mended_by(mend),
                );
            }
            if function.parallel == "s" {
                let mend = format!("alter function {sql} parallel restricted;");
                found.push(
                    FUNCTION_PARALLEL
                        .found(sql, evidence("parallel safe"))
                        .mended_by(mend),
                );
            }
        }
    }
}
