//! Rights on tables, sequences, schemas, the database and the server.

use std::collections::BTreeMap;

use super::look::{grantee, quoted};
use super::{Check, Look};
use crate::audit::catalogue::{Kind, Relation, Right};
use crate::audit::finding::AuditFinding;

checks! {
    TRUNCATE = "grant.truncate", Critical,
        "the app role may empty a table of all clients: TRUNCATE asks no policy",
        "`revoke truncate`";
    REFERENCES = "grant.references", High,
        "the app role may refer to a table: a foreign key of its own tells what rows there are",
        "`revoke references`";
    TRIGGER = "grant.trigger", High,
        "the app role may put triggers on a table: they run when other clients write",
        "`revoke trigger`";
    MAINTAIN = "grant.maintain", Medium,
        "the app role may lock and rewrite a table of all clients",
        "`revoke maintain`";
    PUBLIC = "grant.public_table", High,
        "everybody who can connect has a right on a table of clients",
        "`revoke all … from public`";
    OPTION = "grant.grant_option", Medium,
        "the app role may hand on a right that it has",
        "`revoke grant option for`";
    OTHER = "grant.other_role", Low,
        "another role than the app role has a right on a table of clients",
        "`revoke`, if it is none of yours";
    SEQUENCE_SET = "sequence.settable", Medium,
        "the app role may set or read a sequence of all clients: one keeps the others from their next numbers, or counts them",
        "`revoke`, and `grant usage`";
    SEQUENCE = "sequence.shared", Low,
        "rows of all clients are numbered by one sequence: the numbers that one gets tell how many others write",
        "`gen_random_uuid()`";
    TEMPORARY = "grant.temporary", Medium,
        "the app role may make temporary tables: they stay on the connection for the next client, and stand before others in a search path",
        "`revoke temporary on database … from public`";
    CREATE_DATABASE = "grant.create_in_database", High,
        "the app role may make schemas, extensions and publications",
        "`revoke create on database`";
    CREATE_SCHEMA = "grant.create_in_schema", High,
        "the app role may make tables and functions: one client leaves them for the others to find",
        "`revoke create on schema`";
    PARAMETER = "grant.parameter", High,
        "the app role may set a parameter of the server that is a superuser's, such as the one that turns triggers off",
        "`revoke set on parameter`";
    SERVER_FUNCTION = "grant.server_function", Critical,
        "the app role may call a function of the server that reads files, logs or changes",
        "`revoke execute`";
    CATALOGUE = "grant.catalogue", High,
        "the app role reads what the server shows to nobody: passwords, or values of other clients in its statistics",
        "`revoke select`";
    DEFAULTS = "grant.default_privileges", Medium,
        "tables that are made from now on are open to somebody before they are protected",
        "`alter default privileges … revoke`";
    SERVER = "grant.foreign_server", High,
        "the app role may make foreign tables and connect to where they lead",
        "`revoke usage on foreign server`";
    OBJECTS = "large_object.of_app", High,
        "large objects belong to the app role: every client reads and writes those of all",
        "keep bytes in tables of clients";
    OBJECTS_GRANTED = "large_object.granted", Medium,
        "the app role has rights on large objects: they are those of all clients",
        "`revoke`, or keep bytes in tables of clients";
    OBJECTS_COMPATIBLE = "large_object.unchecked", High,
        "rights on large objects are not checked at all",
        "`lo_compat_privileges = off`";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for relation in &look.catalogue.relations {
        match relation.kind {
            Kind::Sequence => of_sequence(look, relation, found),
            _ if relation.is_table() => of_table(look, relation, found),
            _ => {}
        }
    }
    of_places(look, found);
    of_server(look, found);
    of_large_objects(look, found);
}

fn of_table(look: &Look<'_>, table: &Relation, found: &mut Vec<AuditFinding>) {
    let sql = &table.sql;
    let clients = look.is_tenant(table);
    // Of those that the app role has nothing to do with nothing is said.
    let concerns = clients || look.is_shared(table.oid) || table.client.is_none() && table.is_reached();
    if !concerns {
        return;
    }
    let oversteps: [(&str, &Check); 4] = [
        ("TRUNCATE", &TRUNCATE),
        ("REFERENCES", &REFERENCES),
        ("TRIGGER", &TRIGGER),
        ("MAINTAIN", &MAINTAIN),
    ];
    for (right, check) in oversteps {
        for given in table.app_rights().filter(|given| given.right == right) {
            let finding = check.found(sql, format!("{} has {right}{}", given.to, of_column(given)));
            found.push(finding.mended_by(revoke(sql, given)));
        }
    }
    if !clients {
        return;
    }
    for given in table
        .grants
        .iter()
        .filter(|given| given.grantable && given.of_app())
    {
        let finding = OPTION.found(sql, format!("{} has {} with grant option", given.to, given.right));
        found.push(finding.mended_by(format!(
            "revoke grant option for {} on {sql} from {};",
            given.right.to_lowercase(),
            grantee(&given.to)
        )));
    }
    let public: Vec<&Right> = table
        .grants
        .iter()
        .filter(|given| given.who == "public")
        .collect();
    if !public.is_empty() {
        let rights: Vec<&str> = public.iter().map(|given| given.right.as_str()).collect();
        let finding = PUBLIC.found(sql, format!("everybody has {}", rights.join(", ")));
        found.push(finding.mended_by(format!("revoke all on {sql} from public;")));
    }
    let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for given in table.grants.iter().filter(|given| given.who == "other") {
        if !look.catalogue.bridges.contains(&given.to) {
            others.entry(&given.to).or_default().push(&given.right);
        }
    }
    for (role, rights) in others {
        let finding = OTHER.found(sql, format!("{role} has {}", rights.join(", ")));
        found.push(finding.mended_by(format!("revoke all on {sql} from {};", quoted(role))));
    }
}

fn of_column(given: &Right) -> String {
    given
        .column
        .as_ref()
        .map_or_else(String::new, |column| format!(" on its column {column}"))
}

fn revoke(sql: &str, given: &Right) -> String {
    let column = given
        .column
        .as_ref()
        .map_or_else(String::new, |column| format!(" ({})", quoted(column)));
    format!(
        "revoke {}{column} on {sql} from {};",
        given.right.to_lowercase(),
        grantee(&given.to)
    )
}

fn of_sequence(look: &Look<'_>, sequence: &Relation, found: &mut Vec<AuditFinding>) {
    let sql = &sequence.sql;
    let tables = sequence.sequence_of.iter().chain(&sequence.used_by);
    let table = tables
        .filter_map(|oid| look.relation(*oid))
        .find(|table| look.is_tenant(table));
    if let Some(table) = table {
        found.push(SEQUENCE.found(sql, format!("it numbers rows of {}", table.sql)));
    }
    let mut given: Vec<&Right> = sequence
        .app_rights()
        .filter(|given| matches!(given.right.as_str(), "UPDATE" | "SELECT"))
        .collect();
    given.sort_by(|a, b| (&a.to, &a.right).cmp(&(&b.to, &b.right)));
    for given in given {
        let finding = SEQUENCE_SET.found(sql, format!("{} has {}", given.to, given.right));
        found.push(finding.mended_by(format!(
            "revoke {} on sequence {sql} from {};",
            given.right.to_lowercase(),
            grantee(&given.to)
        )));
    }
}

fn of_places(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let here = &look.catalogue.installation;
    let database = &here.database;
    for given in &here.database_grants {
        let (check, right) = if given.right == "TEMPORARY" {
            (&TEMPORARY, "temporary")
        } else {
            (&CREATE_DATABASE, "create")
        };
        let finding = check.found(
            format!("database {database}"),
            format!("{} has {}", given.to, given.right),
        );
        found.push(finding.mended_by(format!(
            "revoke {right} on database {} from {};",
            quoted(database),
            grantee(&given.to)
        )));
    }
    for given in &here.schema_grants {
        let finding = CREATE_SCHEMA.found(format!("schema {}", given.on), format!("{} has CREATE", given.to));
        found.push(finding.mended_by(format!(
            "revoke create on schema {} from {};",
            given.on,
            grantee(&given.to)
        )));
    }
    for given in &here.default_grants {
        let to_app = here
            .roles
            .iter()
            .any(|role| quoted(&role.name) == given.to || role.name == given.to);
        // Others are held by row-level security once a table is protected.
        if given.kind != "r" && !to_app && given.to != "public" {
            continue;
        }
        let kind = match given.kind.as_str() {
            "S" => "sequences",
            "n" => "schemas",
            _ => "tables",
        };
        let within = given
            .schema
            .as_ref()
            .map_or_else(String::new, |schema| format!(" in schema {schema}"));
        let object = format!("{kind} of {}{within}", given.of);
        let finding = DEFAULTS.found(object, format!("{} gets {}", given.to, given.right));
        found.push(finding.mended_by(format!(
            "alter default privileges for role {}{within} revoke {} on {kind} from {};",
            given.of,
            given.right.to_lowercase(),
            given.to
        )));
    }
}

fn of_server(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let here = &look.catalogue.installation;
    for given in &here.parameter_grants {
        let finding = PARAMETER.found(
            format!("parameter {}", given.on),
            format!("{} has {}", given.to, given.right),
        );
        found.push(finding.mended_by(format!(
            "-- as a superuser\nrevoke {} on parameter {} from {};",
            given.right.to_lowercase(),
            given.on,
            grantee(&given.to)
        )));
    }
    for given in &here.server_functions {
        let finding = SERVER_FUNCTION.found(&given.on, format!("{} may call it", given.to));
        found.push(finding.mended_by(format!(
            "-- as a superuser\nrevoke execute on function pg_catalog.{} from {};",
            given.on.trim_start_matches("pg_catalog."),
            grantee(&given.to)
        )));
    }
    for given in &here.catalogue_grants {
        let finding = CATALOGUE.found(
            format!("pg_catalog.{}", given.on),
            format!("{} may read it", given.to),
        );
        found.push(finding.mended_by(format!(
            "-- as a superuser\nrevoke all on pg_catalog.{} from {};",
            given.on,
            grantee(&given.to)
        )));
    }
    for server in &here.servers {
        let finding = SERVER.found(
            format!("server {}", server.name),
            format!("{} has USAGE ({})", server.to, server.wrapper),
        );
        found.push(finding.mended_by(format!(
            "revoke usage on foreign server {} from {};",
            server.name,
            grantee(&server.to)
        )));
    }
}

fn of_large_objects(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let objects = &look.catalogue.installation.large_objects;
    if objects.of_app > 0 {
        found.push(OBJECTS.found(
            "large objects",
            format!("{} belong to the app role", objects.of_app),
        ));
    }
    if objects.granted > 0 {
        found.push(OBJECTS_GRANTED.found(
            "large objects",
            format!("the app role has rights on {}", objects.granted),
        ));
    }
    if objects.compatible {
        let mend = format!(
            "-- as a superuser\nalter database {} set lo_compat_privileges = off;",
            quoted(&look.catalogue.installation.database)
        );
        found.push(
            OBJECTS_COMPATIBLE
                .found("large objects", "lo_compat_privileges is on")
                .mended_by(mend),
        );
    }
}
