//! What the kernel gives away: the rights of its functions, and of the app role on them.

use hex::encode as hex;

use super::Pool;
use crate::sql::{refused, rows};

#[tokio::test]
async fn functions_of_the_kernel_are_made_as_the_scope_needs_them() {
    let mut pool = Pool::start().await;
    let (volatility, parallel, definer, config): (String, String, bool, Vec<String>) = rows(
        &mut pool.admin,
        "select provolatile::text, proparallel::text, prosecdef, proconfig from pg_proc
         where oid = 'tenantry.current_client()'::regprocedure",
    )
    .await
    .remove(0);
    // As STABLE it would read the placement with a snapshot from before the flip.
    assert_eq!((&*volatility, &*parallel, definer), ("v", "r", true));
    assert_eq!(config, ["search_path=pg_catalog, pg_temp"]);

    let definers: Vec<(String, bool, Option<Vec<String>>)> = rows(
        &mut pool.admin,
        "select p.proname::text, r.rolsuper, p.proconfig
         from pg_proc p join pg_roles r on r.oid = p.proowner
         where p.pronamespace = 'tenantry'::regnamespace and p.prosecdef order by 1",
    )
    .await;
    let names: Vec<_> = definers.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "approximate",
            "assign_client",
            "current_client",
            "enter",
            "hello",
            "host_version",
            "kernel",
            "leave",
            "take_step"
        ]
    );
    for (name, owned_by_superuser, config) in &definers {
        assert!(!owned_by_superuser, "{name}");
        assert_eq!(
            config.as_deref(),
            Some(&["search_path=pg_catalog, pg_temp".to_owned()][..]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_app_role_has_eight_functions_of_the_kernel_and_no_table() {
    let mut pool = Pool::start().await;
    let id = pool.id();
    let executable: Vec<(String,)> = rows(
        &mut pool.app,
        "select p.proname::text from pg_proc p
         where p.pronamespace = 'tenantry'::regnamespace and has_function_privilege(p.oid, 'execute') order by 1",
    )
    .await;
    let executable: Vec<_> = executable.iter().map(|(name,)| name.as_str()).collect();
    assert_eq!(
        executable,
        [
            "approximate",
            "current_client",
            "enter",
            "hello",
            "host_version",
            "kernel",
            "leave",
            "take_step"
        ]
    );

    let tables: Vec<(String,)> = rows(
        &mut pool.app,
        "select relname::text from pg_class
         where relnamespace = 'tenantry'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by 1",
    )
    .await;
    assert!(tables.len() >= 5, "{tables:?}");
    for (table,) in &tables {
        for sql in [
            format!("select * from tenantry.{table}"),
            format!("insert into tenantry.{table} default values"),
            format!("delete from tenantry.{table}"),
            format!("truncate tenantry.{table}"),
            format!("copy tenantry.{table} to stdout"),
        ] {
            assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
        }
    }
    pool.bind().await;
    for sequence in ["turn", "scope", "handles"] {
        for sql in [
            format!("select currval('tenantry.{sequence}')"),
            format!("select nextval('tenantry.{sequence}')"),
            format!("select setval('tenantry.{sequence}', 1)"),
            format!("select setval('tenantry.{sequence}', 1, false)"),
            format!("select last_value from tenantry.{sequence}"),
            format!("alter sequence tenantry.{sequence} restart"),
            format!("drop sequence tenantry.{sequence}"),
        ] {
            assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
        }
    }
    // Of the one that it took last, in whatever schema; this one has no right to.
    assert_eq!(refused(&mut pool.app, "select lastval()").await.code, "42501");
    assert_eq!(pool.bound().await, id);
    for sql in [
        "update tenantry.placement set state = 'active'".to_owned(),
        format!("select tenantry.place('{id}', 'active', 9)"),
        "select tenantry.lock_key(1)".to_owned(),
        "select tenantry.this_moment()".to_owned(),
        "select tenantry.retire_keys(9)".to_owned(),
        format!("select tenantry.renew('{id}', 9, false)"),
        format!("select tenantry.install_key(9, '\\x{}')", hex([9; 32])),
        format!("select tenantry.pad_key('\\x{}')", hex([9; 32])),
        "select tenantry.mac('\\x00', '\\x00', '\\x00')".to_owned(),
        "select tenantry.app_role()".to_owned(),
        "select tenantry.configure('postgres')".to_owned(),
        "select tenantry.protect('agents')".to_owned(),
        "select tenantry.share('models')".to_owned(),
        "create table tenantry.own ()".to_owned(),
        "create table public.own ()".to_owned(),
        "create temporary table own ()".to_owned(),
        "create schema own".to_owned(),
        "alter table agents disable row level security".to_owned(),
        "drop policy tenantry_scope on agents".to_owned(),
    ] {
        assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
    }
}
