//! What changes while a client is copied, whatever it is.

#![expect(clippy::disallowed_methods, reason = "changes rows by raw SQL")]

use sqlx::migrate::Migrator;
use tenantry::testing::{Fixture, PgServer};
use tenantry::{Finding, Phase, RelocateTo};

use super::{Outcome, relocation, stopped};
use crate::sql::{connect, one, refused, run, until};

/// Tables that refer to themselves and to each other, with values that are unique, computed and counted.
static TANGLED: Migrator = sqlx::migrate!("tests/it/relocate/migrations");

const TABLES: [&str; 5] = ["agents", "nodes", "crews", "sailors", "profile"];

/// The changes, as one transaction of the client each.
const CHANGES: [&str; 12] = [
    // Values that are unique, exchanged and passed on.
    "with a as (update agents set slug = 'x' || slug) select",
    "update agents set slug = 'free' where slug = 'xone'; update agents set slug = 'xone' where slug = 'xtwo'; \
     update agents set slug = 'xtwo' where slug = 'free'",
    "delete from agents where slug = 'xthree'",
    "insert into agents (id, slug) values (33, 'xthree')",
    // Keys themselves.
    "update agents set id = id + 1000 where slug = 'xone'",
    // A parent that goes, its child to another; a child that goes with its parent, and one that stays without.
    "update nodes set parent = 5 where parent = 1",
    "delete from nodes where id = 1",
    "update nodes set parent = 90 where id = 2",
    // A circle.
    "with c as (insert into crews (id, leader) values (3, 3)) insert into sailors (id, crew) values (3, 3)",
    "with s as (update sailors set crew = 3) update crews set leader = 3 where id = 1",
    "insert into nodes (id, parent, size) select n, n - 1, n from generate_series(91, 120) n",
    "update profile set theme = 'dark'",
];

/// What others do meanwhile.
const OTHERS: &str = "
    insert into agents (client_id, slug) select gen_random_uuid(), 'other' from generate_series(1, 9);
    update agents set id = id + 1000000 where slug = 'other'; delete from agents where slug = 'other'";

const ROWS: &str = "
    insert into agents (client_id, id, slug) values ('{client}', 1, 'one'), ('{client}', 2, 'two'), ('{client}', 3, 'three');
    insert into nodes (client_id, id, parent, size) select '{client}', n, nullif(n - 1, 0), n from generate_series(1, 90) n;
    with c as (insert into crews (client_id, id, leader) values ('{client}', 1, 2), ('{client}', 2, 1))
        insert into sailors (client_id, id, crew) values ('{client}', 1, 1), ('{client}', 2, 2);
    insert into profile (client_id, theme) values ('{client}', 'light')";

#[tokio::test]
async fn what_changes_meanwhile_arrives_whatever_it_is_and_nobody_elses() -> Outcome {
    changes_arrive(Fixture::start(&TANGLED).await?).await
}

#[tokio::test]
async fn so_it_does_where_the_admin_role_may_write_as_a_replica_does() -> Outcome {
    // What a role may set is the whole server's.
    let fixture = Fixture::on(PgServer::private().await?, &TANGLED, 10, None).await?;
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    let may = format!(
        "grant set on parameter session_replication_role to {}",
        fixture.admin_role()
    );
    run(&mut superuser, &may).await;
    what_refers_to_nothing_is_refused(&fixture).await?;
    changes_arrive(fixture).await
}

/// Rows of tables that all clients share do not move along; where nothing checks that they are there, this does.
async fn what_refers_to_nothing_is_refused(fixture: &Fixture) -> Outcome {
    let second = fixture.add_pool("pool-0", 10).await?;
    let client = fixture.shared_client("lone").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(client).await?;
    let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut target = connect(fixture.admin_options(&fixture.database("pool-0"))).await;
    let sizes = "create table sizes (size numeric primary key); select tenantry.share('sizes');
                 insert into sizes values (1), (2);
                 alter table nodes add constraint sized foreign key (size) references sizes (size)";
    for admin in [&mut source, &mut target] {
        run(admin, sizes).await;
    }
    let refused = |outcome: tenantry::Result<_>| {
        assert!(
            matches!(&outcome, Err(tenantry::Error::Constraint { constraint: Some(name), .. }) if name == "sized"),
            "{outcome:?}"
        );
    };
    let relocation = relocation(fixture);
    let to = RelocateTo::Pool(second);
    run(
        &mut source,
        &format!("insert into nodes (client_id, id, size) values ('{client}', 1, 1)"),
    )
    .await;
    run(&mut target, "delete from sizes where size = 1").await;
    let found = relocation.plan(client, &to).await?.findings;
    let missing = Finding::MissingReferences {
        table: "public.nodes".into(),
        constraint: "sized".into(),
        rows: 1,
    };
    assert!(found.contains(&missing), "{found:?}");
    run(&mut target, "insert into sizes values (1)").await;
    // A row that goes after the plan was made.
    let mut other = connect(fixture.admin_options(&fixture.database("pool-0"))).await;
    run(&mut other, "begin; delete from sizes where size = 1").await;
    let going = async {
        let waits = "select exists (select from pg_stat_activity where datname = current_database()
                         and wait_event_type = 'Lock' and query like '%for key share%')";
        until(&mut target, waits).await;
        run(&mut other, "commit").await;
    };
    let hasty = relocation.clone().options(super::hasty());
    let (outcome, ()) = tokio::join!(hasty.start(client, &to), going);
    refused(outcome);
    run(&mut target, "insert into sizes values (1)").await;
    // And of what changes meanwhile.
    let mut tx = db.begin().await?;
    tx.query("nodes").count().await?;
    let outcome = relocation.clone().options(super::hasty()).resume(client).await;
    assert!(outcome.is_err(), "{outcome:?}");
    tx.rollback().await?;
    run(
        &mut source,
        &format!("insert into nodes (client_id, id, size) values ('{client}', 2, 2)"),
    )
    .await;
    run(&mut target, "delete from sizes where size = 2").await;
    refused(relocation.resume(client).await);
    run(&mut target, "insert into sizes values (2)").await;
    assert_eq!(relocation.resume(client).await?.phase, Phase::Moved);
    relocation.complete(client).await?;
    for admin in [&mut source, &mut target] {
        run(
            admin,
            "alter table nodes drop constraint sized; drop table sizes; delete from tenantry.shared_tables",
        )
        .await;
    }
    manager.close().await;
    Ok(())
}

async fn changes_arrive(fixture: Fixture) -> Outcome {
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let relocation = relocation(&fixture);
    let (acme, bolt) = (
        fixture.shared_client("acme").await?,
        fixture.shared_client("bolt").await?,
    );
    let vast = fixture.dedicated_client("vast").await?;
    let own = super::own_database(&fixture, "own", bolt.id).await;
    let deep = fixture.shared_client("deep").await?;
    let bare = bare_database(&fixture, deep.id).await?;
    for (client, from, to, there) in [
        (acme.id, "pool-1", RelocateTo::Pool(second), "pool-2"),
        (bolt.id, "pool-1", own, "own"),
        (vast.id, "vast", RelocateTo::Pool(second), "pool-2"),
        (deep.id, "pool-1", bare, "bare"),
        // And out of there again, where no row says whose it is.
        (deep.id, "bare", RelocateTo::Pool(second), "pool-2"),
    ] {
        let mut admin = connect(fixture.admin_options(&fixture.database(from))).await;
        if from == "bare" {
            run(
                &mut admin,
                &format!(
                    "truncate agents, nodes, crews, sailors, profile; {}",
                    bare_of(ROWS)
                ),
            )
            .await;
        } else {
            run(&mut admin, &ROWS.replace("{client}", &client.to_string())).await;
        }
        let db = manager.tenant(client).await?;
        if from == "vast" || from == "bare" {
            // In its own database only writers are in the way.
            let mut writer = connect(fixture.admin_options(&fixture.database(from))).await;
            run(&mut writer, "begin; select id from agents for update").await;
            let outcome = relocation
                .clone()
                .options(super::hasty())
                .start(client, &to)
                .await;
            assert!(outcome.is_err(), "{outcome:?}");
            run(&mut writer, "rollback").await;
        } else {
            stopped(&relocation, &db, &to).await;
        }
        for (number, change) in CHANGES.iter().enumerate() {
            let mut tx = db.begin().await?;
            for statement in change.split("; ") {
                sqlx::query(sqlx::AssertSqlSafe(statement))
                    .execute(&mut tx)
                    .await?;
            }
            tx.commit().await?;
            // Some passes over few changes, and some over many.
            if number % 3 == 0 {
                let found = relocation.differences(client, None, 100).await?;
                assert_eq!((found.rows, found.next_after), (vec![], None), "{change}");
            }
        }
        let before = noted(&mut admin).await;
        if from == "pool-1" {
            run(&mut admin, OTHERS).await;
        }
        assert_eq!(noted(&mut admin).await, before);
        let truncated = refused(&mut admin, "truncate agents").await;
        assert!(
            truncated.code == "TN003" || truncated.code == "0A000",
            "{truncated:?}"
        );

        let moved = relocation.resume(client).await?;
        assert_eq!(moved.phase, Phase::Moved);
        let mut other = connect(fixture.admin_options(&fixture.database(there))).await;
        for table in TABLES {
            let rows = |database: &str| {
                let mine = if database == "bare" {
                    "true".to_owned()
                } else {
                    format!("client_id = '{client}'")
                };
                format!(
                    "select coalesce(string_agg(r, e'\\n' order by r), '')
                     from (select (to_jsonb(t) - 'client_id')::text as r from {table} t where {mine}) rows"
                )
            };
            let arrived: String = one(&mut other, &rows(there)).await;
            assert!(!arrived.is_empty());
            assert_eq!(arrived, one::<String>(&mut admin, &rows(from)).await, "{table}");
        }
        // Numbers go on behind those that were taken.
        let mut tx = db.begin().await?;
        sqlx::query("insert into agents (slug) values ('after')")
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        relocation.complete(client).await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn numbers_that_were_taken_last_are_not_given_again() -> Outcome {
    let fixture = Fixture::start(&TANGLED).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let own = super::own_database(&fixture, "own", acme).await;
    let mut source = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    let relocation = relocation(&fixture);
    // More than are left out for those who take from it meanwhile.
    let take = "insert into agents (slug) select gen_random_uuid()::text from generate_series(1, 1100)";
    let bolt = fixture.shared_client("bolt").await?.id;
    for (client, to) in [(acme, own), (bolt, second)] {
        let db = manager.tenant(client).await?;
        stopped(&relocation, &db, &to).await;
        let mut tx = db.begin().await?;
        sqlx::query("select id from agents").execute(&mut tx).await?;
        let resuming = relocation.clone();
        let resuming = tokio::spawn(async move { resuming.resume(client).await });
        let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                     and database = (select oid from pg_database where datname = current_database()))";
        until(&mut source, waits).await;
        sqlx::query(take).execute(&mut tx).await?;
        tx.commit().await?;
        assert_eq!(resuming.await??.phase, Phase::Moved);
        let mut tx = db.begin().await?;
        sqlx::query("insert into agents (slug) values (gen_random_uuid()::text)")
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

/// The same tables as an older system made them, which had one client.
const BARE: &str = "
    create table agents (id bigint generated by default as identity primary key, slug text not null unique,
        upper text generated always as (upper(slug)) stored);
    create table nodes (id integer primary key, parent integer references nodes (id), size numeric not null);
    create table crews (id integer primary key, leader integer not null);
    create table sailors (id integer primary key, crew integer not null references crews (id));
    alter table crews add foreign key (leader) references sailors (id);
    create table profile (theme text not null);
    grant select, insert, update, delete on all tables in schema public to tenantry_fixture_app;
    grant usage on all sequences in schema public to tenantry_fixture_app";

/// The rows without their client.
fn bare_of(rows: &str) -> String {
    rows.replace("(client_id, ", "(").replace("'{client}', ", "")
}

/// A database of that kind for the client, with the kernel.
async fn bare_database(
    fixture: &Fixture,
    client: tenantry::ClientId,
) -> Result<RelocateTo, Box<dyn std::error::Error>> {
    static NONE: Migrator = Migrator::DEFAULT;
    fixture.legacy_client("bare", BARE).await?;
    let database = fixture.database("bare");
    let mut admin = connect(fixture.admin_options(&database)).await;
    tenantry::schema::apply_to_dedicated(&mut admin, fixture.app_role(), client, &NONE).await?;
    Ok(RelocateTo::dedicated(
        fixture.app_url(&database),
        fixture.admin_url(&database),
    ))
}

/// How many keys are noted, by log.
async fn noted(admin: &mut sqlx::PgConnection) -> Vec<(String, i64)> {
    let logs =
        "select oid::regclass::text from pg_class where relname ~ '^change_' and relkind = 'r' order by 1";
    let mut counts = Vec::new();
    for (log,) in crate::sql::rows::<(String,)>(admin, logs).await {
        let count = one(admin, &format!("select count(*) from {log}")).await;
        counts.push((log, count));
    }
    assert!(!counts.is_empty());
    counts
}
