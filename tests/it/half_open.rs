//! A network that swallows packets: nobody hears that the connection is gone.
#![expect(clippy::disallowed_methods, reason = "a host's own statements")]

use std::time::Duration;

use sqlx::{Executor as _, SqlSafeStr as _};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ConnectionOptions, Error, ErrorKind, TenantDb};
use tokio::time::timeout;

use crate::sql::PATIENCE;
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SHORT: Duration = Duration::from_secs(1);

/// One connection, which may be silent for some two seconds.
async fn stage() -> Result<(Fixture, ClientConnectionManager, TenantDb), Box<dyn std::error::Error>> {
    let fixture = Fixture::start_proxied(&HOST).await?;
    let options = ConnectionOptions::default()
        .max_connections(1)
        .connect_timeout(SHORT * 3)
        .statement_timeout(SHORT)
        .answer_grace(SHORT);
    let manager =
        ClientConnectionManager::connect(fixture.manager_options().pool_connections(options)).await?;
    let acme = fixture.shared_client("acme").await?;
    let db = manager.tenant(acme.id).await?;
    assert_eq!(db.query("agents").count().await?, 0);
    Ok((fixture, manager, db))
}

#[tokio::test]
async fn a_transaction_that_sets_its_own_timeout_is_waited_for() -> Outcome {
    let (fixture, manager, db) = stage().await?;
    let mut tx = db.begin().await?;
    sqlx::query("SET LOCAL Statement_Timeout = '20s'")
        .execute(&mut tx)
        .await?;
    // Longer than the pool's own timeout and the grace together.
    sqlx::query("select pg_sleep(3)").execute(&mut tx).await?;
    tx.commit().await?;
    let mut tx = db.begin().await?;
    let slow = sqlx::query("select pg_sleep(20)").execute(&mut tx).await;
    assert!(slow.is_err());
    tx.rollback().await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn whatever_waits_for_an_answer_that_never_comes_is_told_in_time() -> Outcome {
    let (fixture, manager, db) = stage().await?;
    let proxy = fixture.proxy().unwrap();
    for what in [
        "a read",
        "a write",
        "begin",
        "a statement",
        "a stream",
        "a description",
        "commit",
        "rollback",
    ] {
        let mut tx = match what {
            "a read" | "a write" | "begin" => None,
            _ => Some(db.begin().await?),
        };
        proxy.pause();
        let waited = timeout(PATIENCE, async {
            let failed = |error| Error::from_sqlx(db.client().id, error);
            match (what, tx.take()) {
                ("a read", _) => db.query("agents").count().await.map(drop),
                ("a write", _) => {
                    let agent = db.insert("agents").set("slug", "lost").set("name", "x");
                    agent.execute().await.map(drop)
                }
                ("a statement", Some(mut tx)) => {
                    let one = sqlx::query("select 1").fetch_optional(&mut tx).await;
                    one.map(drop).map_err(failed)
                }
                ("a description", Some(mut tx)) => {
                    let described = (&mut tx).describe("select 2".into_sql_str()).await;
                    described.map(drop).map_err(failed)
                }
                ("a stream", Some(mut tx)) => {
                    let all = sqlx::query("select 1").fetch_all(&mut tx).await;
                    all.map(drop).map_err(failed)
                }
                ("commit", Some(tx)) => tx.commit().await,
                ("rollback", Some(tx)) => tx.rollback().await,
                _ => db.begin().await.map(drop),
            }
        });
        let error = waited.await?.unwrap_err();
        match what {
            "a read" | "begin" => assert_eq!(error.kind(), ErrorKind::Temporary, "{what}: {error:?}"),
            "commit" => assert!(matches!(error, Error::CommitUnknown { .. }), "{error:?}"),
            _ => assert_eq!(error.kind(), ErrorKind::Ambiguous, "{what}: {error:?}"),
        }
        proxy.resume();
        // The pool has its size again, and what was in doubt was not done twice.
        timeout(PATIENCE, db.begin()).await??.rollback().await?;
        let statistics = db.pool_statistics().unwrap();
        assert_eq!(
            (statistics.size, statistics.idle),
            (1, 1),
            "{what}: {statistics:?}"
        );
        let lost = db.query("agents").eq("slug", "lost").count().await?;
        assert!(lost <= 1, "{what}");
        db.delete("agents").all().execute().await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}
