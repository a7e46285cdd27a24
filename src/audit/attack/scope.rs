#![expect(
    clippy::disallowed_methods,
    reason = "reads what there is of the kernel, and which roles there are"
)]

use super::arena::Arena;
use super::attempt::{Attempt, Reached};
use super::failure::statement_failed;
use super::values::quoted;
use crate::audit::AuditSeverity;
use crate::error::Result;

const KERNEL: &str = "a client reads or changes who is served here, or the key that tickets are made with";
const ROLE: &str = "a client takes a role that no policy holds";
const CREATES: &str = "a client makes what others take for the host's";

/// What the app role may call of the kernel.
const CALLABLE: [&str; 8] = [
    "hello",
    "enter",
    "leave",
    "current_client",
    "kernel",
    "approximate",
    "take_step",
    "host_version",
];

/// Attacks the kernel, the roles and the schemas by plain SQL, without a row.
pub(super) async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    let mut attempts = kernel(arena).await?;
    attempts.extend(roles(arena).await?);
    attempts.extend(schemas(arena).await?);
    arena.alone(&attempts).await?;
    tolerated(arena).await
}

async fn kernel(arena: &mut Arena<'_>) -> Result<Vec<Attempt>> {
    let failed = statement_failed(&arena.database, "reading the catalogue of the kernel");
    let relations: Vec<(String, String)> = sqlx::query_as(
        "select c.relkind::text, format('tenantry.%I', c.relname) from pg_catalog.pg_class c
         where c.relnamespace = 'tenantry'::regnamespace and c.relkind in ('r', 'p', 'S', 'v', 'm') order by 2",
    )
    .fetch_all(&mut arena.admin)
    .await
    .map_err(&failed)?;
    let functions: Vec<(String, String)> = sqlx::query_as(
        "select p.oid::regprocedure::text, p.proname::text from pg_catalog.pg_proc p
         where p.pronamespace = 'tenantry'::regnamespace order by 1",
    )
    .fetch_all(&mut arena.admin)
    .await
    .map_err(&failed)?;
    let handle: Option<i64> =
        sqlx::query_scalar("select handle from tenantry.placement where client_id = $1")
            .bind(arena.victim.client)
            .fetch_optional(&mut arena.admin)
            .await
            .map_err(&failed)?;
    let app = arena.app_role.clone();
    let mut attempts = Vec::new();
    let mut add = |object: &str, reached, statement: String, kind: &str| {
        let mend = format!("revoke all on {kind} {object} from public, {app}");
        attempts.push(Attempt::new("attack.kernel", object, KERNEL, reached, statement).mend(mend));
    };
    for (kind, relation) in &relations {
        add(
            relation,
            Reached::Accepted,
            format!("select 1 from {relation} limit 1"),
            if kind == "S" { "sequence" } else { "table" },
        );
        if kind != "S" {
            for statement in [
                format!("delete from {relation} where false"),
                format!("insert into {relation} select * from {relation} where false"),
                format!(
                    "lock table {relation} in access exclusive mode nowait; rollback to savepoint attack"
                ),
            ] {
                add(relation, Reached::Accepted, statement, "table");
            }
        }
    }
    for (function, name) in &functions {
        if CALLABLE.contains(&name.as_str()) {
            continue;
        }
        let oid = quoted(function);
        // Not called: among them are those that change the rights of the database.
        add(
            function,
            Reached::Rows,
            format!("select 1 where pg_catalog.has_function_privilege({oid}, 'execute')"),
            "function",
        );
    }
    let victim = arena.victim.client;
    add(
        "tenantry.place(uuid,text,bigint,boolean)",
        Reached::Accepted,
        format!("select tenantry.place('{victim}', 'moved', 1000)"),
        "function",
    );
    // Last, as it is not rolled back: the session would be the victim's from here on.
    add(
        "tenantry.scope",
        Reached::Accepted,
        format!(
            "select pg_catalog.setval('tenantry.scope', {})",
            handle.unwrap_or(1)
        ),
        "sequence",
    );
    Ok(attempts)
}

async fn roles(arena: &mut Arena<'_>) -> Result<Vec<Attempt>> {
    let roles: Vec<String> = sqlx::query_scalar(
        "select r.rolname::text from pg_catalog.pg_roles r
         where r.rolname <> $1
           and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolreplication
                or r.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
                                 'pg_write_server_files', 'pg_execute_server_program')
                or r.oid = (select d.datdba from pg_catalog.pg_database d where d.datname = current_database())
                or exists (select from pg_catalog.pg_class c where c.relowner = r.oid and c.relkind in ('r', 'p')
                           and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)))
         order by 1 limit 50",
    )
    .bind(&arena.app_role)
    .fetch_all(&mut arena.admin)
    .await
    .map_err(statement_failed(&arena.database, "reading its roles"))?;
    let app = arena.app_role.replace('"', "\"\"");
    let mut attempts = Vec::new();
    for role in &roles {
        let name = format!("\"{}\"", role.replace('"', "\"\""));
        for statement in [
            format!("set local role {name}"),
            format!("set local session authorization {name}"),
        ] {
            // Roles are of all the server's databases: one that is gone since it was read of is nobody's.
            attempts.push(
                Attempt::new("attack.role", role, ROLE, Reached::Accepted, statement)
                    .held_by(&["22023"])
                    .mend(format!("revoke {name} from \"{app}\"")),
            );
        }
    }
    let own = format!("\"{app}\"");
    for (object, statement) in [
        (
            "bypassrls",
            format!("alter role {own} bypassrls; rollback to savepoint attack"),
        ),
        (
            "superuser",
            format!("alter role {own} superuser; rollback to savepoint attack"),
        ),
        (
            "session_replication_role",
            "set local session_replication_role = replica".to_owned(),
        ),
        (
            "pg_catalog.pg_authid",
            "select 1 from pg_catalog.pg_authid limit 1".to_owned(),
        ),
        (
            "pg_catalog.pg_largeobject",
            "select 1 from pg_catalog.pg_largeobject limit 1".to_owned(),
        ),
        (
            "pg_catalog.pg_read_file(text)",
            "select pg_catalog.pg_read_file('PG_VERSION')".to_owned(),
        ),
    ] {
        attempts.push(Attempt::new(
            "attack.role",
            object,
            ROLE,
            Reached::Accepted,
            statement,
        ));
    }
    attempts.push(Attempt::new(
        "attack.role",
        &arena.app_role,
        "the app role is one that no policy holds",
        Reached::Rows,
        "select 1 from pg_catalog.pg_roles r where r.rolname = current_user and (r.rolsuper or r.rolbypassrls)",
    ));
    attempts.push(
        Attempt::new(
            "attack.activity",
            "pg_catalog.pg_stat_activity",
            "a client reads the statements of other roles, with the values in them",
            Reached::Rows,
            "select 1 from pg_catalog.pg_stat_activity a
             where a.usename <> current_user and a.query not in ('', '<insufficient privilege>') limit 1",
        )
        .severity(AuditSeverity::Medium),
    );
    Ok(attempts)
}

async fn schemas(arena: &mut Arena<'_>) -> Result<Vec<Attempt>> {
    let schemas: Vec<String> = sqlx::query_scalar(
        "select quote_ident(n.nspname) from pg_catalog.pg_namespace n
         where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)' order by 1 limit 100",
    )
    .fetch_all(&mut arena.admin)
    .await
    .map_err(statement_failed(&arena.database, "reading its schemas"))?;
    let app = &arena.app_role;
    let back = "; rollback to savepoint attack";
    let mut attempts = Vec::new();
    for schema in &schemas {
        for statement in [
            format!("create table {schema}.tenantry_attack (number integer){back}"),
            format!("create function {schema}.tenantry_attack() returns integer language sql return 1{back}"),
        ] {
            attempts.push(
                Attempt::new("attack.create", schema, CREATES, Reached::Accepted, statement)
                    .severity(AuditSeverity::High)
                    .mend(format!("revoke create on schema {schema} from public, {app}")),
            );
        }
    }
    let database = "the database";
    attempts.push(
        Attempt::new(
            "attack.create",
            database,
            CREATES,
            Reached::Accepted,
            format!("create schema tenantry_attack{back}"),
        )
        .severity(AuditSeverity::High),
    );
    attempts.push(
        Attempt::new(
            "attack.shadow",
            database,
            "a client puts a temporary table before one of the host's",
            Reached::Accepted,
            format!("create temporary table tenantry_attack (number integer){back}"),
        )
        .severity(AuditSeverity::High),
    );
    Ok(attempts)
}

/// What PostgreSQL lets every client of a pool do.
async fn tolerated(arena: &mut Arena<'_>) -> Result<()> {
    let seen = [
        (
            "select pg_catalog.lo_from_bytea(0, 'x')",
            "large objects belong to nobody: each client reads and writes those of all",
        ),
        (
            "select 1 from pg_catalog.pg_class c where c.relkind in ('r', 'p') and c.relrowsecurity
               and pg_catalog.has_table_privilege(c.oid, 'update, delete') limit 1",
            "each client may lock a table, and waits of others end by their lock_timeout alone",
        ),
        (
            "select 1",
            "each client may end the sessions of others, which are replaced, and reads in pg_stat_activity what \
             statements they send: not the values that are bound to them",
        ),
        (
            "select 1 from pg_catalog.pg_class c
             where case when c.relkind = 'S' then pg_catalog.has_sequence_privilege(c.oid, 'usage') end limit 1",
            "each client takes values of the sequences of all, and sees by the gaps how many others take",
        ),
        (
            "explain select 1",
            "explain tells how many rows the planner expects of a client that is named by its id",
        ),
    ];
    let mut stage = arena.begin().await?;
    arena
        .enter(&mut stage, super::rows::Who::Attacker, "savepoint attack")
        .await?;
    for (sql, told) in seen {
        let answer = arena
            .send(&mut stage, &format!("rollback to savepoint attack; {sql}"))
            .await?;
        if answer.refused.is_none() && !answer.rows.is_empty() {
            arena.report.tolerate(told);
        }
    }
    arena.end(stage).await;
    Ok(())
}
