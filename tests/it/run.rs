//! Closures that run in transactions, and again where those gave way.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a host's own statements, in tasks of its own, and functions that the tests share"
)]

mod interrupted;
mod overtaken;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tenantry::{Attempt, Error, Isolation, RunOptions, TenantDb, TransactionOptions};
use tokio::sync::Barrier;

use crate::homes::Homes;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Box<dyn std::error::Error>>;

const SERIALIZABLE: Isolation = Isolation::Serializable;

/// Raises what PostgreSQL raises where two transactions cannot be put in an order.
const GIVE_WAY: &str = "do $$ begin raise exception 'overtaken' using errcode = '40001'; end $$";

fn quickly() -> RunOptions {
    RunOptions::default().backoff(Duration::from_millis(1), Duration::from_millis(5))
}

async fn add_counter(db: &TenantDb) -> tenantry::Result<()> {
    let counter = db.insert("documents").set("title", "counter").set("content", "0");
    counter.execute().await.map(drop)
}

async fn counted(db: &TenantDb) -> tenantry::Result<i32> {
    let counter = db.query("documents").columns(["content"]).eq("title", "counter");
    let (count,): (String,) = counter.fetch_one().await?;
    Ok(count.parse().expect("the counter counts"))
}

/// Reads the counter, lets the others read it, and writes one more.
async fn count(tx: &mut tenantry::TenantTx, all_have_read: Option<&Barrier>) -> Result<(), Failure> {
    let count: String = sqlx::query_scalar("select content from documents where title = 'counter'")
        .fetch_one(&mut *tx)
        .await?;
    if let Some(all_have_read) = all_have_read {
        all_have_read.wait().await;
    }
    let more = (count.parse::<i32>()? + 1).to_string();
    let update = tx.update("documents").set("content", more).eq("title", "counter");
    assert_eq!(update.execute().await?, 1);
    Ok(())
}

#[tokio::test]
async fn without_run_one_of_two_who_count_at_once_fails() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        add_counter(db).await?;
        let barrier = Barrier::new(2);
        let once = async || {
            let options = TransactionOptions::default().isolation(SERIALIZABLE);
            let mut tx = db.begin_with(options).await?;
            count(&mut tx, Some(&barrier)).await?;
            tx.commit().await?;
            Ok::<_, Failure>(())
        };
        let done = tokio::join!(once(), once());
        let failed: Vec<Failure> = [done.0, done.1].into_iter().filter_map(Result::err).collect();
        assert_eq!(failed.len(), 1, "{home}: {failed:?}");
        let failed = failed[0].downcast_ref::<Error>().unwrap();
        assert_eq!(failed.sqlstate().as_deref(), Some("40001"), "{home}");
        assert!(failed.is_retryable());
        assert_eq!(counted(db).await?, 1, "{home}");
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn those_who_count_at_once_in_runs_all_count() -> Outcome {
    const TASKS: u32 = 4;
    const EACH: u32 = 4;
    let homes = Homes::open().await?;
    let options = quickly()
        .transaction(TransactionOptions::default().isolation(SERIALIZABLE))
        .attempts(1_000);
    for (db, home) in homes.one_of_each() {
        add_counter(db).await?;
        let barrier = Arc::new(Barrier::new(TASKS as usize));
        let runs = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (db, barrier, runs) = (db.clone(), Arc::clone(&barrier), Arc::clone(&runs));
                tokio::spawn(async move {
                    for number in 0..EACH {
                        let first = AtomicU32::new(number);
                        db.run_with(options, async |mut tx| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            // The first time all have read before any writes, so all but one fail.
                            let meet = first.fetch_add(1, Ordering::Relaxed) == 0;
                            count(&mut tx, meet.then_some(&*barrier)).await
                        })
                        .await?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        for task in tasks {
            task.await?.map_err(|error| format!("{home}: {error:?}"))?;
        }
        assert_eq!(counted(db).await?, i32::try_from(TASKS * EACH)?, "{home}");
        let runs = runs.load(Ordering::Relaxed);
        assert!(runs >= TASKS * EACH + TASKS - 1, "{home}: {runs}");
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn of_two_in_a_deadlock_one_runs_again_and_both_commit() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        for title in ["a", "b"] {
            db.insert("documents").set("title", title).execute().await?;
        }
        let (barrier, runs) = (Barrier::new(2), AtomicU32::new(0));
        let touch = async |tx: &mut Attempt, title: &str| {
            sqlx::query("update documents set content = content || 'x' where title = $1")
                .bind(title)
                .execute(&mut **tx)
                .await
        };
        let both = async |first: &str, second: &str| {
            let met = AtomicU32::new(0);
            db.run(async |mut tx| {
                runs.fetch_add(1, Ordering::Relaxed);
                touch(&mut tx, first).await?;
                if met.fetch_add(1, Ordering::Relaxed) == 0 {
                    barrier.wait().await;
                }
                touch(&mut tx, second).await?;
                Ok::<_, Failure>(())
            })
            .await
        };
        let done = tokio::join!(both("a", "b"), both("b", "a"));
        done.0.and(done.1).map_err(|error| format!("{home}: {error:?}"))?;
        // More than once, where who runs again is back at its first row before the other has woken up.
        let runs = runs.load(Ordering::Relaxed);
        assert!(runs >= 3, "{home}: {runs}");
        assert_eq!(
            db.query("documents").eq("content", "xx").count().await?,
            2,
            "{home}"
        );
    }
    homes.close().await;
    Ok(())
}

/// An error of a host's own.
#[derive(Debug)]
enum HostError {
    OutOfStock,
    Sql(sqlx::Error),
    #[expect(dead_code, reason = "told by its Debug alone")]
    Tenantry(Error),
}

impl From<sqlx::Error> for HostError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for HostError {
    fn from(error: Error) -> Self {
        Self::Tenantry(error)
    }
}

#[tokio::test]
async fn an_error_of_the_host_rolls_back_and_does_not_run_again() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let runs = AtomicU32::new(0);
        let refused = db
            .run(async |mut tx| {
                runs.fetch_add(1, Ordering::Relaxed);
                tx.insert("agents")
                    .set("slug", "a")
                    .set("name", "x")
                    .execute()
                    .await?;
                if runs.load(Ordering::Relaxed) > 0 {
                    return Err(HostError::OutOfStock);
                }
                Ok(())
            })
            .await;
        assert!(
            matches!(refused, Err(HostError::OutOfStock)),
            "{home}: {refused:?}"
        );
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{home}");
        assert_eq!(db.query("agents").count().await?, 0, "{home}");

        // By the host's words for it, and by another's: the transaction knows.
        for attempts in [1, 3] {
            runs.store(0, Ordering::Relaxed);
            let refused = db
                .run_with(quickly().attempts(attempts), async |mut tx| {
                    let run = runs.fetch_add(1, Ordering::Relaxed) + 1;
                    let gave_way = sqlx::query(GIVE_WAY).execute(&mut *tx).await;
                    if run == 2 {
                        return gave_way.map(drop).map_err(|_| HostError::OutOfStock);
                    }
                    gave_way?;
                    Ok(())
                })
                .await;
            let Err(HostError::Sql(refused)) = refused else {
                return Err(format!("{home}: {refused:?}").into());
            };
            assert!(refused.as_database_error().is_some(), "{home}: {refused:?}");
            assert_eq!(runs.load(Ordering::Relaxed), attempts, "{home}");
        }
        // Any error that can be made of the crate's, also one that no other task may see.
        let plain: Result<(), Box<dyn std::error::Error>> = db
            .run_with(quickly().attempts(2), async |mut tx| {
                sqlx::query(GIVE_WAY).execute(&mut *tx).await?;
                Ok(())
            })
            .await;
        assert!(plain.is_err());
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_the_closure_keeps_is_not_committed() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let kept = db
            .run(async |mut tx| {
                tx.insert("agents")
                    .set("slug", "a")
                    .set("name", "x")
                    .execute()
                    .await?;
                Ok::<_, Error>(tx)
            })
            .await;
        assert!(
            matches!(kept, Err(Error::StatementRefused { reason, .. }) if reason.contains("keeps")),
            "{home}"
        );
        assert_eq!(db.query("agents").count().await?, 0, "{home}");
    }
    homes.close().await;
    Ok(())
}
