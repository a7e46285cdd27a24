//! What is left of a manager that is closed or dropped: nothing.

use std::time::Instant;

use futures_util::poll;
use tenantry::testing::Fixture;
use tenantry::{Error, ErrorKind, TenantDb};

use super::{Outcome, deserted, watcher};
use crate::sql::{PATIENCE, one, until};
use crate::support::HOST;

#[tokio::test]
async fn closing_waits_for_transactions_and_then_everything_is_closed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let clients = [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
        fixture.dedicated_client("huge").await?,
    ];
    let idle = fixture.dedicated_client("idle").await?;
    let mut open = Vec::new();
    for client in &clients {
        let db = manager.tenant(client.id).await?;
        let mut tx = db.begin().await?;
        tx.insert("agents")
            .set("slug", "x")
            .set("name", "X")
            .execute()
            .await?;
        open.push((db, tx));
    }
    let idle_db = manager.tenant(idle.id).await?;
    assert_eq!(idle_db.query("agents").count().await?, 0);

    let closing = manager.clone();
    let close = closing.close();
    tokio::pin!(close);
    assert!(poll!(&mut close).is_pending());
    // New work is refused at once, whoever asks and wherever.
    let refused = async |db: &TenantDb| {
        let refusals = async {
            assert!(matches!(manager.tenant(db.client().id).await, Err(Error::Closed)));
            assert!(matches!(db.query("agents").count().await, Err(Error::Closed)));
            assert!(matches!(db.begin().await, Err(Error::Closed)));
        };
        tokio::time::timeout(PATIENCE, refusals).await
    };
    for (db, _) in &open {
        assert!(refused(db).await.is_ok(), "{:?} waits", db.client().slug);
    }
    assert!(refused(&idle_db).await.is_ok(), "an idle one waits");
    // Transactions in flight go on, and each of them is waited for.
    let mut dbs = Vec::new();
    for (db, mut tx) in open {
        assert!(poll!(&mut close).is_pending());
        assert_eq!(tx.query("agents").count().await?, 1);
        tx.commit().await?;
        dbs.push(db);
    }
    tokio::time::timeout(PATIENCE, close).await?;

    let mut watcher = watcher(&fixture).await;
    for database in ["pool-1", "vast", "huge", "idle"] {
        deserted(&mut watcher, &fixture, database).await;
    }
    for db in &dbs {
        assert!(matches!(db.query("agents").count().await, Err(Error::Closed)));
        assert!(matches!(db.begin().await, Err(Error::Closed)));
        assert!(!matches!(db.pool().await, Ok(Some(_))));
    }
    let error = manager.tenant(clients[0].id).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Usage, false));
    assert_eq!(manager.open_dedicated_pools(), 0);
    // Again is nothing, and what was committed is there.
    manager.close().await;
    let again = fixture.manager().await?;
    for client in &clients {
        assert_eq!(again.tenant(client.id).await?.query("agents").count().await?, 1);
    }
    again.close().await;
    Ok(())
}

#[tokio::test]
async fn a_manager_that_is_dropped_leaves_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let clients = [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    ];
    let mut watcher = watcher(&fixture).await;
    let platform = fixture.database("platform");
    let of_platform = format!("select count(*) from pg_stat_activity where datname = '{platform}'");
    let before: i64 = one(&mut watcher, &of_platform).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let tasks_before = tasks();

    let manager = fixture.manager().await?;
    let mut dbs = Vec::new();
    for client in &clients {
        let db = manager.tenant(client.id).await?;
        assert_eq!(db.query("agents").count().await?, 0);
        dbs.push(db);
    }
    assert!(one::<i64>(&mut watcher, &of_platform).await > before);
    drop(manager);
    // A handle works for as long as it is held.
    for db in &dbs {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    drop(dbs);
    for database in ["pool-1", "vast"] {
        deserted(&mut watcher, &fixture, database).await;
    }
    until(&mut watcher, &format!("select ({of_platform}) <= {before}")).await;
    let deadline = Instant::now() + PATIENCE;
    while tasks() > tasks_before {
        assert!(
            Instant::now() < deadline,
            "{} tasks, {tasks_before} before",
            tasks()
        );
        tokio::task::yield_now().await;
    }
    Ok(())
}
