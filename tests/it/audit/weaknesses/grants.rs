//! Rights.

use super::Plant;

pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::new(
        "TRUNCATE",
        "grant truncate on agents to {app}",
        &["grant.truncate"],
    ),
    Plant::new(
        "TRUNCATE on a shared table",
        "grant truncate on models to {app}",
        &["grant.truncate"],
    ),
    Plant::new(
        "REFERENCES",
        "grant references on agents to {app}",
        &["grant.references"],
    ),
    Plant::new(
        "REFERENCES on a column",
        "grant references (slug) on agents to {app}",
        &["grant.references"],
    ),
    Plant::new("TRIGGER", "grant trigger on agents to {app}", &["grant.trigger"]),
    Plant::new(
        "MAINTAIN",
        "grant maintain on agents to {app}",
        &["grant.maintain"],
    )
    .since(17),
    Plant::new(
        "a grant to everybody",
        "grant select on agents to public",
        &["grant.public_table"],
    ),
    Plant::new(
        "all rights to everybody",
        "grant all on agents to public",
        &["grant.public_table", "grant.truncate"],
    )
    .with_others(),
    Plant::new(
        "a grant to another role",
        "grant select on agents to {other}",
        &["grant.other_role"],
    ),
    Plant::new(
        "a grant option",
        "grant select on agents to {app} with grant option",
        &["grant.grant_option"],
    ),
    Plant::new(
        "a sequence that the app role sets",
        "create sequence numbers; grant usage, update on sequence numbers to {app}",
        &["sequence.settable"],
    ),
    Plant::new(
        "a sequence that the app role reads",
        "create sequence numbers; grant select on sequence numbers to {app}",
        &["sequence.settable"],
    ),
    Plant::new(
        "a sequence of all clients",
        "alter table agents add number bigserial; select tenantry.protect('agents')",
        &["sequence.shared"],
    ),
    Plant::new(
        "an identity column",
        "alter table agents add number bigint generated always as identity; select tenantry.protect('agents')",
        &["sequence.shared"],
    ),
    Plant::new(
        "a sequence beside the table",
        "create sequence numbers; alter table agents add number bigint default nextval('numbers')",
        &["sequence.shared"],
    ),
    Plant::new(
        "temporary tables",
        "grant temporary on database {db} to {app}",
        &["grant.temporary"],
    ),
    Plant::new(
        "temporary tables for everybody",
        "grant temporary on database {db} to public",
        &["grant.temporary"],
    ),
    Plant::new(
        "schemas",
        "grant create on database {db} to {app}",
        &["grant.create_in_database"],
    ),
    Plant::new(
        "tables in public",
        "grant create on schema public to {app}",
        &["grant.create_in_schema"],
    )
    .with_others(),
    Plant::by_superuser(
        "tables in public for everybody",
        "grant create on schema public to public",
        &["grant.create_in_schema"],
    ),
    Plant::new(
        "tables in another schema",
        "create schema extra; grant create on schema extra to {app}",
        &["grant.create_in_schema"],
    ),
    Plant::by_superuser(
        "a parameter of superusers",
        "grant set on parameter session_replication_role to {app}",
        &["grant.parameter"],
    ),
    Plant::by_superuser(
        "a function that reads files",
        "grant execute on function pg_read_file(text) to {app}",
        &["grant.server_function"],
    ),
    Plant::by_superuser(
        "a function that reads changes",
        "grant execute on function pg_ls_dir(text) to public",
        &["grant.server_function"],
    ),
    Plant::by_superuser(
        "values in statistics",
        "grant select on pg_statistic to {app}",
        &["grant.catalogue"],
    ),
    Plant::by_superuser(
        "a column of passwords",
        "grant select (rolpassword) on pg_authid to {app}",
        &["grant.catalogue"],
    ),
    Plant::new(
        "tables to come, for the app role",
        "alter default privileges in schema public grant select on tables to {app}",
        &["grant.default_privileges"],
    ),
    Plant::new(
        "tables to come, for everybody",
        "alter default privileges grant select on tables to public",
        &["grant.default_privileges"],
    ),
    Plant::new(
        "tables to come, for another role",
        "alter default privileges grant insert on tables to {other}",
        &["grant.default_privileges"],
    ),
    Plant::by_superuser(
        "a foreign server",
        "create foreign data wrapper nowhere; create server far foreign data wrapper nowhere; grant usage on foreign server far to {app}",
        &["grant.foreign_server"],
    ),
    Plant::by_superuser(
        "large objects of the app role",
        "select lo_create(424242); alter large object 424242 owner to {app}",
        &["large_object.of_app"],
    ),
    Plant::by_superuser(
        "large objects for everybody",
        "select lo_create(424242); grant select on large object 424242 to public",
        &["large_object.granted"],
    ),
    Plant::by_superuser(
        "large objects without rights",
        "set local lo_compat_privileges = on",
        &["large_object.unchecked"],
    )
    .unmended(),
];
