//! An app role with powers, of its own or through another role.

use super::{Case, Outcome, Own, all, each_is_refused};
use crate::sql::{connect, one, refused, run};

const ATTRIBUTES: &[Case] = &[
    (
        "alter role {app} superuser",
        "alter role {app} nosuperuser",
        "the app role {app} is a superuser",
    ),
    (
        "alter role {app} bypassrls",
        "alter role {app} nobypassrls",
        "the app role {app} has BYPASSRLS",
    ),
    (
        "alter role {app} createrole",
        "alter role {app} nocreaterole",
        "the app role {app} has CREATEROLE, and can grant itself others",
    ),
    (
        "alter role {app} replication",
        "alter role {app} noreplication",
        "the app role {app} has REPLICATION, and can stream every row",
    ),
];

const OWNERSHIP: &[Case] = &[
    (
        "alter database {db} owner to {app}",
        "alter database {db} owner to {admin};
         revoke temporary, create on database {db} from {app}; grant connect on database {db} to {app}",
        "the app role {app} owns the database",
    ),
    (
        "create schema own authorization {app}",
        "drop schema own",
        "the app role {app} owns the schema own",
    ),
    (
        "create table own (id int); alter table own owner to {app}",
        "drop table own",
        "the app role {app} owns the table public.own",
    ),
    (
        "create view own with (security_invoker) as select 1 as one; alter view own owner to {app}",
        "drop view own",
        "the app role {app} owns the table public.own",
    ),
    (
        "create table tenantry.own (id int); alter table tenantry.own owner to {app}",
        "drop table tenantry.own",
        "the app role {app} owns a table of the kernel",
    ),
];

/// The same through a role that it is a member of.
const MEMBERSHIP: &[Case] = &[
    (
        "alter role {other} superuser",
        "",
        "the app role {app}, through {other}, is a superuser",
    ),
    (
        "alter role {other} bypassrls",
        "",
        "the app role {app}, through {other}, has BYPASSRLS",
    ),
    (
        "alter role {other} createrole",
        "",
        "the app role {app}, through {other}, has CREATEROLE, and can grant itself others",
    ),
    (
        "alter role {other} replication",
        "",
        "the app role {app}, through {other}, has REPLICATION, and can stream every row",
    ),
    (
        "alter database {db} owner to {other}",
        "alter database {db} owner to {admin}",
        "the app role {app}, through {other}, owns the database",
    ),
    (
        "create schema own authorization {other}",
        "drop schema own",
        "the app role {app}, through {other}, owns the schema own",
    ),
    (
        "create table own (id int); alter table own owner to {other}",
        "drop table own",
        "the app role {app}, through {other}, owns the table public.own",
    ),
    (
        "create table tenantry.own (id int); alter table tenantry.own owner to {other}",
        "drop table tenantry.own",
        "the app role {app}, through {other}, owns a table of the kernel",
    ),
    (
        "grant pg_read_all_data to {other}",
        "",
        "the app role {app}, through pg_read_all_data, reads or writes past the grants",
    ),
    (
        "grant select on tenantry.scope_keys to {other}",
        "revoke select on tenantry.scope_keys from {other}",
        "the app role may read the kernel table scope_keys",
    ),
    (
        "grant insert on models to {other}",
        "revoke insert on models from {other}",
        "the shared table public.models can be written by the app role",
    ),
    (
        "grant select on document_chunks_0 to {other}",
        "revoke select on document_chunks_0 from {other}",
        "table public.document_chunks_0 has no tenant policy as tenantry.protect makes it",
    ),
    (
        "create table own (id int); grant select on own to {other}",
        "drop table own",
        "table public.own has no row-level security",
    ),
    (
        "grant truncate on agents to {other}",
        "revoke truncate on agents from {other}",
        "the app role has TRUNCATE, REFERENCES or TRIGGER on public.agents",
    ),
    (
        "grant temporary on database {db} to {other}",
        "revoke temporary on database {db} from {other}",
        "the app role may create temporary tables",
    ),
    (
        "grant create on schema public to {other}",
        "revoke create on schema public from {other}",
        "the app role may create objects in the schema public",
    ),
    (
        "grant create on database {db} to {other}",
        "revoke create on database {db} from {other}",
        "the app role may create schemas and extensions",
    ),
    (
        "create materialized view own as select * from agents; grant select on own to {other}",
        "drop materialized view own",
        "materialized view public.own is past row-level security",
    ),
];

const PREDEFINED: &[Case] = &[
    (
        "grant pg_read_all_data to {app}",
        "revoke pg_read_all_data from {app}",
        "the app role {app}, through pg_read_all_data, reads or writes past the grants",
    ),
    (
        "grant pg_write_all_data to {app}",
        "revoke pg_write_all_data from {app}",
        "the app role {app}, through pg_write_all_data, reads or writes past the grants",
    ),
    (
        "grant pg_read_server_files to {app}",
        "revoke pg_read_server_files from {app}",
        "the app role {app}, through pg_read_server_files, reads or writes past the grants",
    ),
    (
        "grant pg_write_server_files to {app}",
        "revoke pg_write_server_files from {app}",
        "the app role {app}, through pg_write_server_files, reads or writes past the grants",
    ),
    (
        "grant pg_execute_server_program to {app}",
        "revoke pg_execute_server_program from {app}",
        "the app role {app}, through pg_execute_server_program, reads or writes past the grants",
    ),
];

const RIGHTS: &[Case] = &[
    (
        "grant temporary on database {db} to {app}",
        "revoke temporary on database {db} from {app}",
        "the app role may create temporary tables",
    ),
    (
        "grant temporary on database {db} to public",
        "revoke temporary on database {db} from public",
        "the app role may create temporary tables",
    ),
    (
        "grant create on database {db} to {app}",
        "revoke create on database {db} from {app}",
        "the app role may create schemas and extensions",
    ),
    (
        "grant create on schema public to {app}",
        "revoke create on schema public from {app}",
        "the app role may create objects in the schema public",
    ),
    (
        "grant create on schema tenantry to public",
        "revoke create on schema tenantry from public",
        "the app role may create objects in the schema tenantry",
    ),
];

#[tokio::test]
async fn an_app_role_with_power_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    each_is_refused(
        &mut own,
        [ATTRIBUTES, OWNERSHIP, PREDEFINED, RIGHTS]
            .into_iter()
            .flat_map(all),
    )
    .await?;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn an_app_role_that_inherits_power_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    let cases = all(MEMBERSHIP).into_iter().map(|(mutation, undo, finding)| {
        (
            format!("create role {{other}}; grant {{other}} to {{app}}; {mutation}"),
            format!("{undo}; drop role {{other}}"),
            finding,
        )
    });
    each_is_refused(&mut own, cases).await?;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn an_app_role_that_can_take_power_by_set_role_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    own.apply("alter role {app} noinherit").await;
    let cases = all(MEMBERSHIP).into_iter().map(|(mutation, undo, finding)| {
        (
            format!("create role {{other}}; grant {{other}} to {{app}}; {mutation}"),
            format!("{undo}; drop role {{other}}"),
            finding,
        )
    });
    each_is_refused(&mut own, cases).await?;

    // A member that may only pass the role on gives it to itself.
    if one::<i32>(&mut own.db, "select current_setting('server_version_num')::int").await >= 160_000 {
        let case = (
            "create role {other} bypassrls; grant {other} to {app} with admin true, inherit false, set false",
            "drop role {other}",
            "the app role {app}, through {other}, has BYPASSRLS",
        );
        each_is_refused(&mut own, all(&[case])).await?;
    }

    // It is no theory: what it does not inherit it takes.
    own.apply("create role {other}; grant {other} to {app}; grant insert on models to {other}")
        .await;
    let mut app = connect(
        own.fixture
            .server()
            .connect_options(&own.database)
            .username(&own.app)
            .password("x"),
    )
    .await;
    let insert = "insert into models values ('own', 'own', 1)";
    assert_eq!(refused(&mut app, insert).await.code, "42501");
    run(&mut app, &own.named("set role {other}")).await;
    run(&mut app, insert).await;
    drop(app);
    own.apply("drop owned by {other}; drop role {other}").await;
    own.close().await;
    Ok(())
}
