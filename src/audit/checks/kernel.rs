//! Whether the kernel is what this crate installs, and nobody else's.

use std::collections::BTreeMap;

use super::Look;
use super::look::{grantee, quoted};
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    MISSING = "kernel.missing", Critical,
        "there is no kernel: nothing binds a session to a client",
        "`schema::apply_to_pool`";
    ALTERED = "kernel.altered", Critical,
        "a function, table or trigger of the kernel is not what this version of the crate installs: it may bind to anybody",
        "find out who changed it; then install the kernel anew in an empty database and compare";
    ABSENT = "kernel.incomplete", High,
        "a function, table or trigger that this version of the crate installs is not there",
        "`schema::apply_to_pool`, or restore it";
    EXTRA = "kernel.stranger", High,
        "a function in the schema of the kernel is none of the kernel's",
        "`drop function`";
    TABLE_GRANT = "kernel.table_grant", Critical,
        "the app role has rights on a table of the kernel: it reads keys that seal scopes, or places clients",
        "`revoke all`";
    SEQUENCE_GRANT = "kernel.sequence_grant", Critical,
        "the app role has rights on a sequence of the kernel: it binds itself to whom it likes",
        "`revoke all`";
    FUNCTION_GRANT = "kernel.function_grant", Critical,
        "the app role may call a function of the kernel that is the admin role's: it makes tickets, or places clients",
        "`revoke execute`";
    OWNER_SUPERUSER = "kernel.owner_superuser", Medium,
        "a function of the kernel that runs with its owner's rights is a superuser's: a mistake in it is one of the whole server",
        "`alter function … owner to` the owner of the database";
    OWNER = "kernel.foreign_owner", High,
        "a part of the kernel belongs to another role than the owner of the database, which may change it",
        "`alter … owner to` the owner of the database";
    APP_ROLE = "kernel.other_app_role", Medium,
        "the kernel was configured for another role than the one that clients are served by",
        "`tenantry.configure`";
    BRIDGE = "kernel.bridge", Info,
        "a role of an old application is bound to one client until its retrofit is finished",
        "`Retrofit::finish`";
}

/// What the app role calls.
const APP_FUNCTIONS: [&str; 8] = [
    "tenantry.approximate(regclass,name,text,real)",
    "tenantry.current_client()",
    "tenantry.enter(text)",
    "tenantry.hello()",
    "tenantry.host_version()",
    "tenantry.kernel()",
    "tenantry.leave(text)",
    "tenantry.take_step(text)",
];

/// What everybody may call who may use the schema: it says nothing of clients.
const PUBLIC_FUNCTIONS: [&str; 1] = ["tenantry.host_version()"];

/// A hash for each thing that the crate installs.
const INSTALLED: &str = include_str!("../kernel.txt");

fn installed() -> BTreeMap<&'static str, &'static str> {
    let lines = INSTALLED.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' ').map(|(hash, thing)| (thing, hash)))
        .collect()
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let database = &look.catalogue.installation;
    if !database.has_kernel {
        found.push(MISSING.found(
            format!("database {}", database.database),
            "there is no table tenantry.installation",
        ));
        return;
    }
    of_definitions(look, found);
    of_owners(look, found);
    of_grants(look, found);
    let app = &look.catalogue.app;
    if let Some(other) = look
        .catalogue
        .configured_app
        .as_ref()
        .filter(|other| *other != app)
    {
        let finding = APP_ROLE.found(app, format!("its kernel is configured for {other}"));
        found.push(finding.mended_by(format!(
            "select tenantry.configure({});",
            super::look::literal(app)
        )));
    }
    for role in &look.catalogue.bridges {
        found.push(BRIDGE.found(role, "tenantry.bridges names it"));
    }
}

fn of_definitions(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let here = &look.catalogue.kernel.lines;
    let installed = installed();
    for (thing, hash) in &installed {
        match here.get(*thing) {
            None => found.push(ABSENT.found(*thing, "it is not there")),
            Some(other) if other != hash => {
                found.push(ALTERED.found(*thing, format!("its hash is {other}, and {hash} is installed")));
            }
            Some(_) => {}
        }
    }
    for thing in here
        .keys()
        .filter(|thing| !installed.contains_key(thing.as_str()))
    {
        match thing.strip_prefix("function ") {
            Some(function) => {
                let finding = EXTRA.found(thing, "this version of the crate does not install it");
                found.push(finding.mended_by(format!("drop function {function};")));
            }
            None => found.push(ALTERED.found(thing, "this version of the crate does not install it")),
        }
    }
}

fn of_owners(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let owner = quoted(&look.catalogue.installation.owner);
    for part in &look.catalogue.kernel.owners {
        let mend = || {
            let (kind, name) = part.thing.split_once(' ').unwrap_or(("relation", &part.thing));
            let kind = if kind == "relation" { "table" } else { kind };
            format!("-- as a superuser\nalter {kind} {name} owner to {owner};")
        };
        if part.superuser && !part.of_database {
            let severity = if part.definer {
                AuditSeverity::Medium
            } else {
                AuditSeverity::Low
            };
            let finding =
                OWNER_SUPERUSER.found_at(severity, &part.thing, format!("it belongs to {}", part.owner));
            found.push(finding.mended_by(mend()));
        } else if !part.of_database {
            let finding = OWNER.found(&part.thing, format!("it belongs to {}", part.owner));
            found.push(finding.mended_by(mend()));
        } else if part.superuser && part.definer {
            found.push(OWNER_SUPERUSER.found(
                &part.thing,
                format!("it belongs to {}, who owns the database", part.owner),
            ));
        }
    }
}

fn of_grants(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for grant in &look.catalogue.kernel.function_grants {
        let name = grant.function.as_str();
        let allowed = if grant.to == "public" {
            PUBLIC_FUNCTIONS.contains(&name)
        } else {
            APP_FUNCTIONS.contains(&name)
        };
        if !allowed {
            let finding = FUNCTION_GRANT.found(name, format!("{} may call it", grant.to));
            found.push(finding.mended_by(format!(
                "revoke execute on function {name} from {};",
                grantee(&grant.to)
            )));
        }
    }
    for grant in &look.catalogue.kernel.relation_grants {
        let (check, kind) = if grant.kind == "S" {
            (&SEQUENCE_GRANT, "sequence")
        } else {
            (&TABLE_GRANT, "table")
        };
        let finding = check.found(&grant.relation, format!("{} has {}", grant.to, grant.right));
        found.push(finding.mended_by(format!(
            "revoke all on {kind} {} from {};",
            grant.relation,
            grantee(&grant.to)
        )));
    }
}
