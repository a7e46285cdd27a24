//! How many dedicated pools are open at once, and which of them makes room.

use std::time::{Duration, Instant};

use futures_util::poll;
use tenantry::Error;
use tenantry::testing::Fixture;

use super::{Outcome, connected, deserted, sessions, watcher};
use crate::sql::PATIENCE;
use crate::support::HOST;

#[tokio::test]
async fn the_least_recently_used_pool_makes_room_and_opens_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = connected(fixture.manager_options().max_dedicated_pools(2)).await;
    let mut watcher = watcher(&fixture).await;
    let mut dbs = Vec::new();
    for slug in ["a", "b", "c"] {
        let client = fixture.dedicated_client(slug).await?;
        dbs.push(manager.tenant(client.id).await?);
    }
    // Used in this order; then who has a pool open, of a, b and c.
    for (used, open) in [
        (0, "a"),
        (1, "ab"),
        (0, "ab"),
        (2, "ac"),
        (1, "bc"),
        (0, "ab"),
        (1, "ab"),
        (2, "bc"),
    ] {
        assert_eq!(dbs[used].query("agents").count().await?, 0);
        assert_eq!(manager.open_dedicated_pools(), open.len());
        for slug in ["a", "b", "c"] {
            if open.contains(slug) {
                assert!(
                    sessions(&mut watcher, &fixture, slug).await > 0,
                    "{slug} of {open}"
                );
            } else {
                deserted(&mut watcher, &fixture, slug).await;
            }
        }
    }
    manager.close().await;
    assert_eq!(manager.open_dedicated_pools(), 0);
    Ok(())
}

#[tokio::test]
async fn a_pool_in_use_is_never_closed_and_others_wait_for_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (a, b) = (
        fixture.dedicated_client("a").await?,
        fixture.dedicated_client("b").await?,
    );
    let wait = Duration::from_millis(150);
    let impatient = connected(
        fixture
            .manager_options()
            .max_dedicated_pools(1)
            .dedicated_wait(wait),
    )
    .await;
    let (a_db, b_db) = (impatient.tenant(a.id).await?, impatient.tenant(b.id).await?);
    let busy = async |what: &str| {
        let begin = Instant::now();
        let error = b_db.query("agents").count().await.unwrap_err();
        assert!(begin.elapsed() >= wait, "{what}");
        assert!(
            matches!(&error, Error::Busy { client, waited, .. } if (*client, *waited) == (b.id, wait)),
            "{what}: {error:?}"
        );
        assert!(error.is_retryable() && error.to_string().contains(&b.id.to_string()));
    };
    let mut tx = a_db.begin().await?;
    busy("a transaction").await;
    // It was not disturbed.
    tx.insert("agents")
        .set("slug", "x")
        .set("name", "X")
        .execute()
        .await?;
    tx.commit().await?;
    let pool = a_db.pool().await?.unwrap();
    busy("a pool that is held").await;
    assert!(!pool.is_closed());
    drop(pool);
    assert_eq!(b_db.query("agents").count().await?, 0);
    assert_eq!(a_db.query("agents").count().await?, 1);
    impatient.close().await;

    // Who waits goes on as soon as it is free: after a commit, a drop, and by a held pool.
    let patient = connected(
        fixture
            .manager_options()
            .max_dedicated_pools(1)
            .dedicated_wait(PATIENCE),
    )
    .await;
    let (a_db, b_db) = (patient.tenant(a.id).await?, patient.tenant(b.id).await?);
    for release in ["commit", "rollback", "drop", "pool"] {
        let tx = a_db.begin().await?;
        let pool = a_db.pool().await?;
        let waiting = b_db.query("agents").count();
        tokio::pin!(waiting);
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(patient.open_dedicated_pools(), 1);
        if release == "pool" {
            drop(tx);
            drop(pool);
        } else {
            drop(pool);
            assert!(poll!(&mut waiting).is_pending(), "{release}");
            match release {
                "commit" => tx.commit().await?,
                "rollback" => tx.rollback().await?,
                _ => drop(tx),
            }
        }
        assert_eq!(waiting.await?, 0, "{release}");
    }
    patient.close().await;
    Ok(())
}
