#![expect(clippy::disallowed_methods, reason = "attacks by raw SQL")]

use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, Error, Limit, Limits};

use super::Outcome;
use crate::sql::{PATIENCE, connect, one, until};
use crate::support::{HOST, Reply, ask};

const DOCUMENTS: Limit = Limit::MAX_DOCUMENTS;

/// The locks of limits in this database, and not in those of the tests beside.
const LOCKS: &str = "from pg_locks where locktype = 'advisory' and objsubid = 2
    and database = (select oid from pg_database where datname = current_database())";

#[tokio::test]
async fn a_hostile_client_can_hold_another_up_for_a_while_and_nothing_more() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?,
        fixture.shared_client("bolt").await?,
    );
    let options = fixture.manager_options().counts("documents", DOCUMENTS);
    let manager = ClientConnectionManager::connect(options).await?;
    let limits = Limits::default()
        .with(DOCUMENTS, Some(2))
        .with(Limit::LOCK_TIMEOUT_MS, Some(100));
    fixture.platform().set_limits(acme.id, &limits).await?;
    fixture
        .platform()
        .set_limits(bolt.id, &Limits::default().with(DOCUMENTS, Some(2)))
        .await?;
    let (acme, bolt) = (manager.tenant(acme.id).await?, manager.tenant(bolt.id).await?);

    // Who holds it is seen by all, and nobody else can let go of it.
    let mut held = acme.begin().await?;
    held.insert("documents").set("title", "one").execute().await?;
    let mut attack = bolt.begin().await?;
    let keys = format!("select classid::int8::int4 || ',' || objid::int8::bit(32)::int4 {LOCKS}");
    let Reply::Rows(keys) = ask(&mut attack, keys).await else {
        panic!("the locks are not seen");
    };
    assert_eq!(keys.len(), 1, "{keys:?}");
    let key = &keys[0];
    for (attempt, answer) in [
        (format!("select pg_advisory_unlock({key})::text"), "false"),
        (format!("select pg_try_advisory_xact_lock({key})::text"), "false"),
    ] {
        assert_eq!(ask(&mut attack, attempt).await, Reply::one(answer));
    }
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    assert_eq!(
        one::<i64>(&mut superuser, &format!("select count(*) {LOCKS}")).await,
        1
    );
    // Nobody else waits for it.
    let insert = bolt.insert("documents").set("title", "bolt's").execute();
    tokio::time::timeout(PATIENCE, insert).await??;
    held.commit().await?;

    // Holding it holds acme up until its own lock timeout, and its limit holds all the same.
    let attempt = format!("select pg_try_advisory_xact_lock({key})::text");
    assert_eq!(ask(&mut attack, attempt).await, Reply::one("true"));
    let waited = acme
        .insert("documents")
        .set("title", "two")
        .execute()
        .await
        .unwrap_err();
    assert!(waited.is_retryable(), "{waited:?}");
    // Bolt's own limit has a lock of its own, and its rows are its own.
    attack
        .insert("documents")
        .set("title", "bolt's")
        .execute()
        .await?;
    attack.rollback().await?;
    until(&mut superuser, &format!("select not exists (select {LOCKS})")).await;
    acme.insert("documents").set("title", "two").execute().await?;
    let third = acme.insert("documents").set("title", "three").execute().await;
    assert!(
        matches!(third, Err(Error::LimitReached { used: 2, .. })),
        "{third:?}"
    );

    // What a client writes by raw SQL without reserving is its own use, and nobody else's.
    let mut attack = bolt.begin().await?;
    for _ in 0..3 {
        sqlx::query("insert into documents (title) values ('raw')")
            .execute(&mut attack)
            .await?;
    }
    let platform = "select used::text from platform.usage";
    assert_eq!(ask(&mut attack, "savepoint here").await, Reply::Rows(Vec::new()));
    assert_eq!(ask(&mut attack, platform).await, Reply::refused("42P01"));
    assert_eq!(
        ask(&mut attack, "rollback to here").await,
        Reply::Rows(Vec::new())
    );
    attack.commit().await?;
    assert_eq!(acme.query("documents").count().await?, 2);
    let more = bolt.insert("documents").set("title", "more").execute().await;
    assert!(
        matches!(
            more,
            Err(Error::LimitReached {
                allowed: 2,
                used: 4,
                ..
            })
        ),
        "{more:?}"
    );
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn counting_costs_round_trips_where_a_client_is_limited_alone() -> Outcome {
    let fixture = Fixture::start_proxied(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?,
        fixture.shared_client("bolt").await?,
    );
    let options = fixture.manager_options().counts("documents", DOCUMENTS);
    let manager = ClientConnectionManager::connect(options).await?;
    let limits = Limits::default().with(DOCUMENTS, Some(100));
    fixture.platform().set_limits(acme.id, &limits).await?;
    let proxy = fixture.proxy().unwrap();
    for (client, table, round_trips) in [
        (bolt.id, "documents", 1),
        (acme.id, "conversations", 1),
        (acme.id, "documents", 5),
    ] {
        let db = manager.tenant(client).await?;
        let insert = || {
            let insert = db.insert(table).set("title", "x");
            if table == "conversations" {
                insert.set("user_id", "ada")
            } else {
                insert
            }
        };
        for _ in 0..2 {
            insert().execute().await?;
        }
        let before = proxy.round_trips();
        insert().execute().await?;
        assert_eq!(proxy.round_trips() - before, round_trips, "{table} of {client}");
    }
    let mut tx = manager.tenant(acme.id).await?.begin().await?;
    let before = proxy.round_trips();
    tx.insert("documents").set("title", "x").execute().await?;
    assert_eq!(proxy.round_trips() - before, 3);
    tx.commit().await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}
