//! Runs whose connection is lost, and runs that are dropped.
#![expect(
    clippy::disallowed_methods,
    reason = "a host's own statements, in tasks of its own"
)]

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgPoolOptions;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ConnectionOptions, Error, ErrorKind};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Failure, Outcome};
use crate::homes::Homes;
use crate::sql::{PATIENCE, connect, until};
use crate::support::HOST;

#[tokio::test]
async fn a_commit_that_may_have_taken_effect_is_not_run_again() -> Outcome {
    let fixture = Fixture::start_proxied(&HOST).await?;
    let clients = [
        (fixture.shared_client("acme").await?, "pool-1"),
        (fixture.dedicated_client("vast").await?, "vast"),
    ];
    let manager = fixture.manager().await?;
    let proxy = fixture.proxy().ok_or("the fixture is proxied")?;
    for (client, home) in clients {
        let db = manager.tenant(client.id).await?;
        let mut admin = connect(fixture.admin_options(&fixture.database(home))).await;
        let (runs, worked) = (AtomicU32::new(0), Notify::new());
        let running = db.run(async |mut tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            tx.insert("agents")
                .set("slug", "a")
                .set("name", "x")
                .execute()
                .await?;
            // The commit is sent, and its answer does not come.
            proxy.pause();
            worked.notify_one();
            Ok::<_, Error>(())
        });
        let cutting = async {
            worked.notified().await;
            until(&mut admin, "select count(*) = 1 from agents").await;
            proxy.reset_all();
            proxy.resume();
        };
        let (done, ()) = timeout(PATIENCE, Box::pin(async { tokio::join!(running, cutting) })).await?;
        let unknown = done.unwrap_err();
        assert!(
            matches!(unknown, Error::CommitUnknown { .. }),
            "{home}: {unknown:?}"
        );
        assert_eq!(unknown.kind(), ErrorKind::Ambiguous);
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{home}");
        assert_eq!(db.query("agents").count().await?, 1, "{home}");

        // Nor is it after a connection that was lost before.
        runs.store(0, Ordering::Relaxed);
        let lost: Result<(), Failure> = db
            .run(async |mut tx| {
                runs.fetch_add(1, Ordering::Relaxed);
                tx.update("agents").set("name", "y").all().execute().await?;
                proxy.reset_all();
                sqlx::query("select 1").execute(&mut *tx).await?;
                Ok(())
            })
            .await;
        let lost = Error::from_sqlx(client.id, *lost.unwrap_err().downcast::<sqlx::Error>().unwrap());
        assert_eq!(lost.kind(), ErrorKind::Ambiguous, "{home}: {lost:?}");
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{home}");
        assert_eq!(db.query("agents").eq("name", "y").count().await?, 0, "{home}");
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_nothing_open() -> Outcome {
    // One connection for all, so that the next has to do with what is left on it.
    let homes = Homes::with(|options| {
        let one = ConnectionOptions::default()
            .max_connections(1)
            .max_client_share(1);
        options
            .pool_connections(one)
            .dedicated_pool(PgPoolOptions::new().max_connections(1))
    })
    .await?;
    for (db, home) in homes.one_of_each() {
        let worked = Notify::new();
        let running = db.run(async |mut tx| {
            tx.insert("agents")
                .set("slug", "a")
                .set("name", "x")
                .execute()
                .await?;
            worked.notify_one();
            pending().await
        });
        tokio::select! {
            done = running => {
                let done: Result<(), Error> = done;
                return Err(format!("{home}: it is done: {done:?}").into());
            }
            () = worked.notified() => {}
        }
        assert_eq!(timeout(PATIENCE, db.query("agents").count()).await??, 0, "{home}");
        let database = homes
            .fixture
            .server()
            .connect_options(&homes.fixture.database(home));
        let none_open = "select count(*) = 0 from pg_stat_activity
                         where datname = current_database() and state like 'idle in transaction%'";
        until(&mut connect(database).await, none_open).await;
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn an_attempt_is_rolled_back_before_the_next_begins() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let options = ConnectionOptions::default().max_connections(1);
    let manager =
        ClientConnectionManager::connect(fixture.manager_options().pool_connections(options)).await?;
    let db = manager.tenant(fixture.shared_client("acme").await?.id).await?;
    let runs = AtomicU32::new(0);
    db.run(async |mut tx| {
        // Held by the attempt before, the row would be waited for.
        tx.insert("agents")
            .set("slug", "a")
            .set("name", "x")
            .execute()
            .await?;
        if runs.fetch_add(1, Ordering::Relaxed) < 3 {
            sqlx::query(super::GIVE_WAY).execute(&mut *tx).await?;
        }
        Ok::<_, Failure>(())
    })
    .await
    .map_err(|error| error.to_string())?;
    let statistics = db.pool_statistics().ok_or("it is on a pool")?;
    assert_eq!((statistics.repaired, statistics.broken), (0, 0), "{statistics:?}");
    assert_eq!(statistics.connects, 1);
    assert_eq!(db.query("agents").count().await?, 1);
    manager.close().await;
    fixture.close().await;
    Ok(())
}
