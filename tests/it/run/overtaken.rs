//! What makes a closure run again, and what does not.
#![expect(
    clippy::disallowed_methods,
    reason = "a host's own statements, in tasks of its own"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tenantry::testing::Fixture;
use tenantry::{Error, RunOptions};
use tokio::sync::{Mutex, Notify};

use super::{Failure, GIVE_WAY, Outcome, quickly};
use crate::homes::Homes;
use crate::sql::{PATIENCE, connect, run};
use crate::support::HOST;

#[tokio::test]
async fn attempts_are_bounded_and_the_last_error_is_returned() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        for (options, most) in [
            (RunOptions::default(), 5),
            (quickly().attempts(3), 3),
            (quickly().attempts(0), 1),
            (quickly().attempts(1_000).give_up_after(Duration::ZERO), 1),
        ] {
            let runs = AtomicU32::new(0);
            let failed: Result<(), Failure> = db
                .run_with(options, async |mut tx| {
                    let run = runs.fetch_add(1, Ordering::Relaxed) + 1;
                    let failed = sqlx::query(GIVE_WAY).execute(&mut *tx).await;
                    failed.map_err(|error| format!("run {run}: {error}"))?;
                    Ok(())
                })
                .await;
            let failed = failed.unwrap_err().to_string();
            assert!(failed.starts_with(&format!("run {most}: ")), "{home}: {failed}");
            assert_eq!(runs.load(Ordering::Relaxed), most, "{home}");
        }
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn a_failure_that_the_closure_passes_over_runs_it_again() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let runs = AtomicU32::new(0);
        db.run(async |mut tx| {
            tx.insert("agents")
                .set("slug", "a")
                .set("name", "x")
                .execute()
                .await?;
            if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                let failed = sqlx::query(GIVE_WAY).execute(&mut *tx).await;
                assert!(failed.is_err());
                // This one fails because that one did.
                assert!(tx.query("agents").count().await.is_err());
            }
            Ok::<_, Error>(())
        })
        .await?;
        assert_eq!(runs.load(Ordering::Relaxed), 2, "{home}");
        assert_eq!(db.query("agents").count().await?, 1, "{home}");
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn who_goes_back_to_a_savepoint_goes_on_from_there() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        for fails_later in [false, true] {
            let runs = AtomicU32::new(0);
            let done = db
                .run(async |mut tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    tx.insert("agents")
                        .set("slug", "a")
                        .set("name", "x")
                        .execute()
                        .await?;
                    sqlx::query("savepoint a").execute(&mut *tx).await?;
                    let failed = sqlx::query(GIVE_WAY).execute(&mut *tx).await;
                    assert!(failed.is_err());
                    sqlx::query("rollback to a").execute(&mut *tx).await?;
                    if fails_later {
                        return Err("of another matter".into());
                    }
                    Ok::<_, Failure>(())
                })
                .await;
            assert_eq!(done.is_err(), fails_later, "{home}: {done:?}");
            assert_eq!(runs.load(Ordering::Relaxed), 1, "{home}");
        }
        assert_eq!(db.query("agents").count().await?, 1, "{home}");
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn what_would_fail_again_is_not_run_again() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        db.insert("agents")
            .set("slug", "a")
            .set("name", "x")
            .execute()
            .await?;
        let mut beside = db.begin().await?;
        beside.update("agents").set("name", "y").all().execute().await?;
        for (sql, state) in [
            ("select from agents for update nowait", "55P03"),
            ("insert into agents (slug, name) values ('b', null)", "23502"),
            ("select 1 / 0", "22012"),
        ] {
            let runs = AtomicU32::new(0);
            let failed: Result<(), Failure> = db
                .run(async |mut tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    sqlx::query(sql).execute(&mut *tx).await?;
                    Ok(())
                })
                .await;
            let failed = *failed.unwrap_err().downcast::<sqlx::Error>().unwrap();
            let failed = Error::from_sqlx(db.client().id, failed);
            assert_eq!(failed.sqlstate().as_deref(), Some(state), "{home}");
            // Whoever calls may think otherwise of a lock that was not to be had.
            assert_eq!(failed.is_retryable(), state == "55P03", "{home}");
            assert_eq!(runs.load(Ordering::Relaxed), 1, "{home}: {sql}");
        }
        beside.rollback().await?;
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_moves_in_the_middle_is_followed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    let mut platform = connect(fixture.admin_options(&fixture.database("platform"))).await;
    for by in ["sql", "builder"] {
        let client = fixture.shared_client(by).await?.id;
        let db = manager.tenant(client).await?;
        let (go, gone) = (Notify::new(), Notify::new());
        let reached = Mutex::new(Vec::new());
        let running = db.run(async |mut tx| {
            let name: String = sqlx::query_scalar("select current_database()::text")
                .fetch_one(&mut *tx)
                .await?;
            let mut reached = reached.lock().await;
            reached.push(name);
            if reached.len() == 1 {
                go.notify_one();
                gone.notified().await;
            }
            if by == "sql" {
                sqlx::query("insert into agents (slug, name) values ('a', 'x')")
                    .execute(&mut *tx)
                    .await?;
            } else {
                tx.insert("agents")
                    .set("slug", "a")
                    .set("name", "x")
                    .execute()
                    .await?;
            }
            Ok::<_, Failure>(())
        });
        let moving = async {
            go.notified().await;
            // Past the lock, as a placement that was restored from a backup would be.
            run(
                &mut here,
                &format!("update tenantry.placement set state = 'moved' where client_id = '{client}'"),
            )
            .await;
            run(
                &mut there,
                &format!("select tenantry.place('{client}', 'active', 2)"),
            )
            .await;
            run(
                &mut platform,
                &format!("update platform.clients set pool_id = '{second}', epoch = 2 where id = '{client}'"),
            )
            .await;
            gone.notify_one();
        };
        let (done, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(running, moving) }).await?;
        done.map_err(|error| format!("{by}: {error:?}"))?;
        assert_eq!(
            reached.into_inner(),
            [fixture.database("pool-1"), fixture.database("pool-2")],
            "{by}"
        );
        assert_eq!(db.query("agents").count().await?, 1, "{by}");
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_being_relocated_is_waited_for() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let client = fixture.shared_client("acme").await?;
    let db = manager.tenant(client.id).await?;
    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let place = |state: &str| {
        format!(
            "select tenantry.place('{}', '{state}', {})",
            client.id, client.epoch
        )
    };
    run(&mut admin, &place("fenced")).await;

    // It is not the closure that failed, so what is left of its attempts does not matter.
    let running = db.run_with(quickly().attempts(1), async |mut tx| {
        tx.insert("agents")
            .set("slug", "a")
            .set("name", "x")
            .execute()
            .await
    });
    let relocating = async {
        while db
            .pool_statistics()
            .is_none_or(|statistics| statistics.refused < 2)
        {
            tokio::task::yield_now().await;
        }
        run(&mut admin, &place("active")).await;
    };
    let both = async { tokio::join!(running, relocating) };
    let (done, ()) = tokio::time::timeout(PATIENCE, both).await?;
    let done: tenantry::Result<u64> = done;
    assert_eq!(done?, 1);

    run(&mut admin, &place("fenced")).await;
    let given_up = db
        .run_with(quickly().give_up_after(Duration::ZERO), async |_| {
            Ok::<_, Error>(())
        })
        .await;
    assert!(matches!(given_up, Err(Error::Relocating { .. })), "{given_up:?}");
    manager.close().await;
    fixture.close().await;
    Ok(())
}
