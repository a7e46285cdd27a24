//! Migrations of the kernel and the host: once, whole, and the same ones as before.
#![expect(clippy::panic, reason = "the functions that the tests share panic like tests")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr as _};
use tenantry::schema::{apply_to_dedicated, apply_to_pool};
use tenantry::testing::Fixture;
use tenantry::{ClientId, Error, ErrorKind, TenantDb};

use crate::sql::{PATIENCE, connect, one, refused, rows, run};
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// An empty database of the admin role, dropped with its fixture or by `drop`.
struct Empty<'f> {
    fixture: &'f Fixture,
    name: String,
}

impl<'f> Empty<'f> {
    async fn create(fixture: &'f Fixture, name: &str) -> Self {
        let name = fixture.database(name);
        let mut superuser = connect(fixture.server().connect_options("postgres")).await;
        let owner = fixture.admin_role();
        run(
            &mut superuser,
            &format!("create database \"{name}\" owner {owner}"),
        )
        .await;
        let mut superuser = connect(fixture.server().connect_options(&name)).await;
        run(&mut superuser, "create extension vector").await;
        Self { fixture, name }
    }

    async fn admin(&self) -> PgConnection {
        connect(self.fixture.admin_options(&self.name)).await
    }

    async fn drop(self) {
        let mut superuser = connect(self.fixture.server().connect_options("postgres")).await;
        run(
            &mut superuser,
            &format!("drop database \"{}\" with (force)", self.name),
        )
        .await;
    }
}

fn host(migrations: &[(i64, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, sql)| {
        Migration::new(
            *version,
            "test".into(),
            MigrationType::Simple,
            (*sql).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

const NOTES: &str =
    "create table notes (client_id uuid not null, text text); select tenantry.protect('notes');";
const KINDS: &str = "create table kinds (name text); select tenantry.share('kinds');";

/// All that migrations leave behind: relations and functions by identity, rights, and the ledgers.
const STATE: &str = "
    select md5(string_agg(fact, E'\\n' order by fact)) from (
        select concat_ws(' ', c.oid, c.relname, c.relfilenode, c.relacl, c.relrowsecurity) as fact
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'tenantry')
        union all
        select concat_ws(' ', p.oid, p.proname, p.proacl, p.prosrc)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('public', 'tenantry')
        union all
        select concat_ws(' ', oid, polname, polrelid) from pg_policy
        union all
        select concat_ws(' ', oid, nspname, nspacl) from pg_namespace where nspname !~ '^pg_'
        union all
        select concat_ws(' ', version, checksum, installed_on) from tenantry.migrations
        union all
        select concat_ws(' ', version, checksum, installed_on) from _sqlx_migrations
        union all
        select i::text from tenantry.installation i
    ) facts";

#[tokio::test]
async fn applying_again_to_a_pool_changes_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let empty = Empty::create(&fixture, "empty").await;
    let mut admin = empty.admin().await;
    let installed = apply_to_pool(&mut admin, fixture.app_role(), &HOST).await?;
    let before: String = one(&mut admin, STATE).await;
    assert_eq!(
        apply_to_pool(&mut admin, fixture.app_role(), &HOST).await?,
        installed
    );
    let mut another = empty.admin().await;
    assert_eq!(
        apply_to_pool(&mut another, fixture.app_role(), &HOST).await?,
        installed
    );
    assert_eq!(one::<String>(&mut admin, STATE).await, before);
    // It is what the fixture has, and the database says so itself.
    assert_eq!(installed.host_version, Some(5));
    let recorded: Vec<(String, i64, Vec<u8>, String)> = rows(
        &mut admin,
        "select kind, host_version, host_checksum, app_role::text from tenantry.installation",
    )
    .await;
    assert_eq!(
        recorded,
        [(
            "pool".to_owned(),
            5,
            installed.host_checksum,
            fixture.app_role().to_owned()
        )]
    );
    empty.drop().await;
    Ok(())
}

#[tokio::test]
async fn applying_again_to_a_dedicated_database_changes_nothing_and_its_client_stays() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let empty = Empty::create(&fixture, "empty").await;
    let mut admin = empty.admin().await;
    let client = ClientId::new();
    let installed = apply_to_dedicated(&mut admin, fixture.app_role(), client, &HOST).await?;
    let before: String = one(&mut admin, STATE).await;
    assert_eq!(
        apply_to_dedicated(&mut admin, fixture.app_role(), client, &HOST).await?,
        installed
    );
    assert_eq!(one::<String>(&mut admin, STATE).await, before);
    let checksum: Vec<u8> = one(&mut admin, "select host_checksum from tenantry.installation").await;
    assert_eq!(checksum, installed.host_checksum);

    let error = apply_to_dedicated(&mut admin, fixture.app_role(), ClientId::new(), &HOST)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Migration { set: "kernel", .. }),
        "{error:?}"
    );
    // Nor does it become a pool.
    let error = apply_to_pool(&mut admin, fixture.app_role(), &HOST)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Migration { set: "kernel", database, .. } if database.contains(&empty.name)),
        "{error:?}"
    );
    assert_eq!(one::<String>(&mut admin, STATE).await, before);
    empty.drop().await;
    Ok(())
}

#[tokio::test]
async fn several_processes_apply_at_once_and_each_migration_runs_once() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let pool = Empty::create(&fixture, "empty").await;
    let dedicated = Empty::create(&fixture, "own").await;
    let (mut pool_admins, mut dedicated_admins) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        pool_admins.push(pool.admin().await);
        dedicated_admins.push(dedicated.admin().await);
    }
    let client = ClientId::new();
    let (pools, dedicateds) = tokio::join!(
        join_all(
            pool_admins
                .iter_mut()
                .map(|admin| apply_to_pool(admin, fixture.app_role(), &HOST))
        ),
        join_all(dedicated_admins.iter_mut().map(|admin| apply_to_dedicated(
            admin,
            fixture.app_role(),
            client,
            &HOST
        )))
    );
    let installed: Vec<_> = pools.into_iter().chain(dedicateds).collect::<Result<_, _>>()?;
    assert!(
        installed.windows(2).all(|pair| pair[0] == pair[1]),
        "{installed:?}"
    );
    for (admin, kernel) in [(&mut pool_admins[0], 8), (&mut dedicated_admins[0], 5)] {
        let applied: Vec<(i64, i64)> = rows(
            admin,
            "select (select count(*) from tenantry.migrations), (select count(*) from _sqlx_migrations)",
        )
        .await;
        assert_eq!(applied, [(kernel, 5)]);
    }
    drop((pool_admins, dedicated_admins));
    pool.drop().await;
    dedicated.drop().await;
    Ok(())
}

#[tokio::test]
async fn drift_is_refused_and_keeps_nobody_waiting() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let empty = Empty::create(&fixture, "empty").await;
    let (mut admin, mut another) = (empty.admin().await, empty.admin().await);
    let role = fixture.app_role();
    let installed = apply_to_pool(&mut admin, role, &host(&[(1, NOTES), (2, KINDS)])).await?;
    let before: String = one(&mut admin, STATE).await;

    let changed = host(&[(1, NOTES), (2, "create table kinds (name text, more text)")]);
    let error = apply_to_pool(&mut admin, role, &changed).await.unwrap_err();
    assert!(
        matches!(&error, Error::Migration { set: "host", source, .. }
                 if matches!(**source, MigrateError::VersionMismatch(2))),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Installation);
    // With the first connection still open.
    let missing = host(&[(1, NOTES), (3, "create table never (id int)")]);
    let apply = apply_to_pool(&mut another, role, &missing);
    let error = tokio::time::timeout(PATIENCE, apply).await?.unwrap_err();
    assert!(
        matches!(&error, Error::Migration { set: "host", source, .. }
                 if matches!(**source, MigrateError::VersionMissing(2))),
        "{error:?}"
    );
    assert_eq!(one::<String>(&mut admin, STATE).await, before);

    // A newer one goes on from there; the sum over all says which they are.
    let more = host(&[(1, NOTES), (2, KINDS), (3, "create table more (id int)")]);
    let apply = apply_to_pool(&mut admin, role, &more);
    let newer = tokio::time::timeout(PATIENCE, apply).await??;
    assert_eq!((installed.host_version, newer.host_version), (Some(2), Some(3)));
    assert_ne!(installed.host_checksum, newer.host_checksum);
    assert_eq!(installed.host_checksum.len(), 32);

    // The kernel's own migrations are held to the same.
    run(
        &mut admin,
        "update tenantry.migrations set checksum = '\\x00' where version = 2",
    )
    .await;
    for admin in [&mut admin, &mut another] {
        let apply = apply_to_pool(admin, role, &more);
        let error = tokio::time::timeout(PATIENCE, apply).await?.unwrap_err();
        assert!(
            matches!(&error, Error::Migration { set: "kernel", source, .. }
                     if matches!(**source, MigrateError::VersionMismatch(2))),
            "{error:?}"
        );
    }
    drop((admin, another));
    empty.drop().await;
    Ok(())
}

#[tokio::test]
async fn a_migration_that_fails_leaves_those_before_it_and_nothing_of_itself() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let empty = Empty::create(&fixture, "empty").await;
    let (mut admin, mut another) = (empty.admin().await, empty.admin().await);
    let role = fixture.app_role();
    let applied = "select array(select version from _sqlx_migrations order by 1)";
    for (broken, code) in [
        ("create table half (id int); select 1 / 0;", "22012"),
        (
            "create table half (client_id uuid not null, id int unique); select tenantry.protect('half');",
            "TN006",
        ),
    ] {
        let migrations = host(&[(1, NOTES), (2, broken), (3, KINDS)]);
        let error = apply_to_pool(&mut admin, role, &migrations).await.unwrap_err();
        let Error::Migration {
            set: "host", source, ..
        } = &error
        else {
            panic!("{error:?}")
        };
        let MigrateError::ExecuteMigration(source, 2) = &**source else {
            panic!("{source:?}")
        };
        assert_eq!(source.as_database_error().unwrap().code().as_deref(), Some(code));
        assert_eq!(one::<Vec<i64>>(&mut admin, applied).await, [1]);
        assert_eq!(
            refused(&mut admin, "select * from half").await.code,
            "42P01",
            "{broken}"
        );
        let version: Option<i64> = one(&mut admin, "select host_version from tenantry.installation").await;
        assert_eq!(version, None);
    }
    // Mended, it goes on: also from another process, while the first still has its connection.
    let mended = host(&[(1, NOTES), (2, "create table half (id int)"), (3, KINDS)]);
    let apply = apply_to_pool(&mut another, role, &mended);
    let installed = tokio::time::timeout(PATIENCE, apply).await??;
    assert_eq!(installed.host_version, Some(3));
    assert_eq!(one::<Vec<i64>>(&mut admin, applied).await, [1, 2, 3]);
    drop((admin, another));
    empty.drop().await;
    Ok(())
}

#[tokio::test]
async fn a_host_without_migrations_is_installed_as_such() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let empty = Empty::create(&fixture, "empty").await;
    let mut admin = empty.admin().await;
    let installed = apply_to_pool(&mut admin, fixture.app_role(), &host(&[])).await?;
    assert_eq!(installed.host_version, None);
    drop(admin);
    empty.drop().await;
    Ok(())
}

/// Asks for the table until it is known.
async fn found(db: &TenantDb, table: &str) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match db.query(table).count().await {
            Ok(count) => return count,
            Err(Error::UnknownTable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(Instant::now() < deadline, "{table} is not found");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_table_that_came_later_is_found_and_asking_for_none_costs_little() -> Outcome {
    let fixture = Fixture::start_proxied(&HOST).await?;
    let proxy = fixture.proxy().unwrap();
    let manager = fixture.manager().await?;
    for (client, database) in [
        (fixture.shared_client("acme").await?, "pool-1"),
        (fixture.dedicated_client("vast").await?, "vast"),
    ] {
        let db = manager.tenant(client.id).await?;
        assert_eq!(db.query("agents").count().await?, 0);
        let mut admin = connect(fixture.admin_options(&fixture.database(database))).await;
        run(
            &mut admin,
            &format!(
                "{NOTES} insert into notes (client_id, text) values ('{}', 'x')",
                client.id
            ),
        )
        .await;
        assert_eq!(found(&db, "notes").await, 1);

        // Within a second of that, a name that is none is answered without asking the server; later, at the
        // price of one reading a second.
        let mut readings = 0;
        let begin = Instant::now();
        let mut asked = 0;
        while readings < 2 {
            let before = proxy.round_trips();
            let error = db.query("nots").count().await.unwrap_err();
            assert!(
                matches!(&error, Error::UnknownTable { nearest_name: Some(near), .. } if near == "notes"),
                "{error:?}"
            );
            // More than the farewell of a connection that read before.
            readings += u32::from(proxy.round_trips() > before + 2);
            asked += 1;
            assert!(begin.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
        assert!(asked > 2, "every question was a reading");

        // A table that went is an error of the database, not of the catalogue.
        run(&mut admin, "drop table notes").await;
        let error = db.query("notes").count().await.unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("42P01"), "{error:?}");
    }
    manager.close().await;
    Ok(())
}
