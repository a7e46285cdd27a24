//! What the app role is, and can become.

use super::Plant;

/// Roles belong to the server: these are of the test's own, and none is left.
pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::by_superuser(
        "the app role is a superuser",
        "alter role {app} superuser",
        &["role.superuser"],
    ),
    Plant::by_superuser(
        "the app role has BYPASSRLS",
        "alter role {app} bypassrls",
        &["role.bypassrls"],
    ),
    Plant::by_superuser(
        "the app role has CREATEROLE",
        "alter role {app} createrole",
        &["role.createrole"],
    ),
    Plant::by_superuser(
        "the app role has CREATEDB",
        "alter role {app} createdb",
        &["role.createdb"],
    ),
    Plant::by_superuser(
        "the app role has REPLICATION",
        "alter role {app} replication",
        &["role.replication"],
    ),
    Plant::by_superuser(
        "the app role can become the admin role",
        "grant {admin} to {app}",
        &["role.member_of_owner", "role.bypassrls"],
    ),
    Plant::by_superuser(
        "the app role can become the admin role by another",
        "grant {admin} to {other}; grant {other} to {app}",
        &["role.member_of_owner", "role.bypassrls", "role.member_of"],
    ),
    Plant::by_superuser(
        "the app role can become a superuser",
        "alter role {other} superuser; grant {other} to {app}",
        &["role.superuser", "role.member_of"],
    ),
    Plant::by_superuser(
        "the app role can become a role with BYPASSRLS",
        "alter role {other} bypassrls; grant {other} to {app}",
        &["role.bypassrls", "role.member_of"],
    ),
    Plant::by_superuser(
        "what a role that it can become owns",
        "alter table models owner to {other}; grant {other} to {app}",
        &["role.owns_table", "role.member_of"],
    ),
    Plant::by_superuser(
        "the app role owns the database",
        "alter database {db} owner to {app}",
        &["role.owns_database"],
    )
    .with_others(),
    Plant::by_superuser(
        "the app role owns a schema",
        "create schema own authorization {app}",
        &["role.owns_schema"],
    ),
    Plant::by_superuser(
        "the app role owns a table",
        "create table own (a int); alter table own owner to {app}",
        &["role.owns_table"],
    ),
    Plant::by_superuser(
        "the app role owns a view",
        "create view own with (security_invoker) as select 1 as a; alter view own owner to {app}",
        &["role.owns_table"],
    ),
    Plant::by_superuser(
        "the app role owns a function",
        "create function f() returns int language plpgsql as $$ begin return 1; end $$; alter function f owner to {app}",
        &["role.owns_function"],
    ),
    Plant::by_superuser(
        "the app role reads all data",
        "grant pg_read_all_data to {app}",
        &["role.reads_all_data"],
    ),
    Plant::by_superuser(
        "the app role writes all data",
        "grant pg_write_all_data to {app}",
        &["role.writes_all_data"],
    ),
    Plant::by_superuser(
        "the app role reads files",
        "grant pg_read_server_files to {app}",
        &["role.server_files"],
    ),
    Plant::by_superuser(
        "the app role runs programs",
        "grant pg_execute_server_program to {app}",
        &["role.server_files"],
    )
    .with_others(),
    Plant::by_superuser(
        "the app role reads statistics",
        "grant pg_read_all_stats to {app}",
        &["role.statistics"],
    ),
    Plant::by_superuser(
        "the app role monitors",
        "grant pg_monitor to {app}",
        &["role.statistics"],
    )
    .with_others(),
    Plant::by_superuser(
        "the app role ends sessions",
        "grant pg_signal_backend to {app}",
        &["role.signals"],
    ),
    Plant::by_superuser(
        "the app role maintains",
        "grant pg_maintain to {app}",
        &["role.maintains"],
    )
    .since(17),
    Plant::by_superuser(
        "the app role subscribes",
        "grant pg_create_subscription to {app}",
        &["role.subscribes"],
    )
    .since(16),
    Plant::by_superuser(
        "a setting turns row-level security off",
        "alter role {app} set row_security = off",
        &["setting.row_security"],
    ),
    Plant::by_superuser(
        "a setting of the role in this database",
        "alter role {app} in database {db} set search_path = extra, public",
        &["setting.search_path"],
    ),
    Plant::by_superuser(
        "a setting of the database that looks among temporary tables",
        "alter database {db} set search_path = pg_temp, public",
        &["setting.search_path"],
    ),
    Plant::by_superuser(
        "a setting turns triggers off",
        "alter role {app} set session_replication_role = replica",
        &["setting.session_replication_role"],
    ),
    Plant::by_superuser(
        "a setting makes it another role",
        "alter role {app} set role = {other}",
        &["setting.role"],
    ),
    Plant::by_superuser(
        "a setting loads code",
        "alter role {app} set session_preload_libraries = 'auto_explain'",
        &["setting.preload"],
    ),
    Plant::by_superuser(
        "a setting takes a guard away",
        "alter role {app} set lo_compat_privileges = on",
        &["setting.guard"],
    ),
];
