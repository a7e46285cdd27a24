//! What the app role is, and what it can become.

use super::look::quoted;
use super::{Check, Look};
use crate::audit::catalogue::Role;
use crate::audit::finding::AuditFinding;

checks! {
    SUPERUSER = "role.superuser", Critical,
        "the app role is a superuser, or can become one: nothing holds it",
        "`alter role … nosuperuser`, or `revoke` the membership";
    BYPASSRLS = "role.bypassrls", Critical,
        "the app role is not held by row-level security, or can become a role that is not",
        "`alter role … nobypassrls`, or `revoke` the membership";
    CREATEROLE = "role.createrole", High,
        "the app role can make roles, and give itself the rights of others",
        "`alter role … nocreaterole`";
    CREATEDB = "role.createdb", Medium,
        "the app role can make databases, and own them",
        "`alter role … nocreatedb`";
    REPLICATION = "role.replication", Critical,
        "the app role can stream every change of every client",
        "`alter role … noreplication`";
    OWNS_DATABASE = "role.owns_database", Critical,
        "the app role owns the database: it can make and drop schemas and extensions, and is a member of its owners",
        "`alter database … owner to`";
    OWNS_SCHEMA = "role.owns_schema", Critical,
        "the app role owns a schema: it can drop what is in it and make others",
        "`alter schema … owner to`";
    OWNS_TABLE = "role.owns_table", Critical,
        "the app role owns a table or view: it can turn row-level security off, and grant itself anything on it",
        "`alter table … owner to`";
    OWNS_FUNCTION = "role.owns_function", High,
        "the app role owns a function: injected SQL replaces it for all clients",
        "`alter function … owner to`";
    MEMBER_OF_OWNER = "role.member_of_owner", Critical,
        "the app role can become the owner of the database",
        "`revoke` the membership";
    READS_ALL = "role.reads_all_data", Critical,
        "the app role reads every table, those of the kernel and its keys included",
        "`revoke` the membership";
    WRITES_ALL = "role.writes_all_data", Critical,
        "the app role writes every table, those of the kernel included",
        "`revoke` the membership";
    SERVER_FILES = "role.server_files", Critical,
        "the app role reads or writes files of the server, or runs programs there",
        "`revoke` the membership";
    STATISTICS = "role.statistics", Medium,
        "the app role sees what other sessions and roles do, or what tables of others hold in the mean",
        "`revoke` the membership";
    SIGNALS = "role.signals", Medium,
        "the app role can end sessions of others",
        "`revoke` the membership";
    MAINTAINS = "role.maintains", Medium,
        "the app role locks and rewrites tables of all clients",
        "`revoke` the membership";
    SUBSCRIBES = "role.subscribes", High,
        "the app role can have other servers write into tables, past row-level security",
        "`revoke` the membership";
    MEMBER = "role.member_of", Low,
        "the app role can become another role, and has what that one is given",
        "`revoke` the membership";
}

fn predefined(role: &str) -> Option<&'static Check> {
    Some(match role {
        "pg_read_all_data" => &READS_ALL,
        "pg_write_all_data" => &WRITES_ALL,
        "pg_read_server_files" | "pg_write_server_files" | "pg_execute_server_program" => &SERVER_FILES,
        "pg_monitor" | "pg_read_all_stats" | "pg_read_all_settings" | "pg_stat_scan_tables" => &STATISTICS,
        "pg_signal_backend" | "pg_signal_autovacuum_worker" | "pg_checkpoint" => &SIGNALS,
        "pg_maintain" => &MAINTAINS,
        "pg_create_subscription" => &SUBSCRIBES,
        "pg_database_owner" => &MEMBER_OF_OWNER,
        _ => return None,
    })
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let app = &look.catalogue.app;
    let owner = &look.catalogue.installation.owner;
    for role in &look.catalogue.installation.roles {
        let itself = role.name == *app;
        let left = role.path.first().zip(role.path.get(1));
        let leave = left.map_or_else(String::new, |(member, of)| {
            format!("revoke {} from {};", quoted(of), quoted(member))
        });
        let power = |check: &Check, evidence: &str, without: &str| {
            let mend = if itself {
                format!("-- as a superuser\nalter role {} {without};", quoted(app))
            } else {
                format!("-- as a superuser\n{leave}")
            };
            check
                .found(app, format!("{}{evidence}", through(role)))
                .mended_by(mend)
        };
        if role.superuser {
            found.push(power(&SUPERUSER, "it is a superuser", "nosuperuser"));
        }
        if role.bypassrls {
            found.push(power(&BYPASSRLS, "it has BYPASSRLS", "nobypassrls"));
        }
        if role.createrole {
            found.push(power(&CREATEROLE, "it has CREATEROLE", "nocreaterole"));
        }
        if role.createdb {
            found.push(power(&CREATEDB, "it has CREATEDB", "nocreatedb"));
        }
        if role.replication {
            found.push(power(&REPLICATION, "it has REPLICATION", "noreplication"));
        }
        if !itself {
            let (check, evidence) = match predefined(&role.name) {
                Some(check) => (
                    check,
                    format!(
                        "it is a member of {}",
                        role.path.get(1..).unwrap_or_default().join(", and that of ")
                    ),
                ),
                None if role.name == *owner => {
                    (&MEMBER_OF_OWNER, format!("{}it owns the database", through(role)))
                }
                None => (
                    &MEMBER,
                    format!(
                        "it is a member of {}",
                        role.path.get(1..).unwrap_or_default().join(", and that of ")
                    ),
                ),
            };
            found.push(check.found(app, evidence).mended_by(&leave));
        }
        // What the role of another owns is said with the path to it; what the owner of all owns is no news.
        if itself || !role.superuser && role.name != *owner {
            of_owned(look, role, owner, found);
        }
    }
}

fn through(role: &Role) -> String {
    match role.path.get(1..) {
        Some(path) if !path.is_empty() => format!("through {}: ", path.join(", ")),
        _ => String::new(),
    }
}

fn of_owned(look: &Look<'_>, role: &Role, owner: &str, found: &mut Vec<AuditFinding>) {
    for owned in &role.owns {
        let Some((kind, name)) = owned.split_once(' ') else {
            continue;
        };
        let evidence = format!("{}it owns {name}", through(role));
        let (check, altered) = match kind {
            "database" => (&OWNS_DATABASE, "database"),
            "schema" => (&OWNS_SCHEMA, "schema"),
            "function" => (&OWNS_FUNCTION, "routine"),
            _ => (&OWNS_TABLE, "table"),
        };
        // Whoever owns the database already is somebody else.
        let to = if owner == role.name {
            None
        } else {
            Some(format!(
                "-- as a superuser\nalter {altered} {name} owner to {};",
                quoted(owner)
            ))
        };
        let finding = check.found(&look.catalogue.app, evidence);
        found.push(match to {
            Some(sql) => finding.mended_by(sql),
            None => finding,
        });
    }
}
