//! Futures dropped at every point where they wait, and tasks that end early.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::future_not_send,
    reason = "tests that drop futures of raw SQL, in tasks of their own, and watch past row-level security"
)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::chrono::Utc;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use tenantry::testing::{DelayProxy, Fixture};
use tenantry::{Error, TenantDb};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Home, Outcome, STUCK, Stage, manager, on_all_homes, released_beside};
use crate::support::{HOST, Reply, ask, embedding, ticket};

on_all_homes![
    transactions_dropped_at_every_poll_harm_nobody,
    statements_dropped_at_every_poll_harm_nobody,
    a_commit_dropped_at_every_poll_is_whole_or_nothing,
    the_first_use_dropped_at_every_poll_harms_nobody,
    aborted_timed_out_and_panicked_tasks_give_every_connection_back,
];

/// What the network does with the bytes of a future that is dropped.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// The server has the request, and its reply is under way.
    Replies,
    /// The request is under way.
    Requests,
}

/// Polls the future so often, or to its end, then drops it with what it sent or waits for held in the proxy.
///
/// During a poll no reply gets by, so that each wait for the network is a point of its own.
async fn polled<F: Future>(future: F, times: usize, proxy: &DelayProxy, held: Held) -> Option<F::Output> {
    let mut future = pin!(future);
    for left in (0..times).rev() {
        let polled = poll_fn(|context| {
            if left == 0 && matches!(held, Held::Requests) {
                proxy.pause_requests();
            }
            proxy.pause();
            let polled = future.as_mut().poll(context);
            match polled {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await;
        if polled.is_some() || left == 0 {
            return polled;
        }
        proxy.resume();
        // Woken by what the future waits for.
        let mut waited = false;
        poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
    None
}

/// Drops a future after every number of polls, with requests or replies held, and sees after each that the
/// next user is unharmed. Returns how often the whole of it waits.
async fn drop_at_every_poll<T: std::fmt::Debug>(
    stage: &Stage,
    name: &str,
    make: impl Fn(TenantDb) -> BoxFuture<'static, Result<T, Error>>,
) -> Result<usize, Box<dyn std::error::Error>> {
    let mut waits = usize::MAX;
    // The first time around, statements are prepared on the way: what comes after them moves nearer meanwhile.
    for held in [Held::Replies, Held::Replies, Held::Requests] {
        for times in 0.. {
            let after = format!(
                "{name} of {:?} dropped after {times} polls, {held:?} held",
                stage.home
            );
            let done = polled(make(stage.dropper().await?), times, stage.proxy(), held).await;
            let next = Box::pin(stage.next_user_is_unharmed(&stage.manager, &after));
            released_beside(stage.proxy(), next).await?;
            if let Some(result) = done {
                result.map_err(|error| format!("{after}: {error:?}"))?;
                waits = waits.min(times - 1);
                break;
            }
        }
    }
    Ok(waits)
}

async fn transactions_dropped_at_every_poll_harm_nobody(home: Home) -> Outcome {
    let stage = Stage::new(home).await?;
    let run = async |name, make: fn(TenantDb) -> BoxFuture<'static, Result<(), Error>>| {
        Box::pin(drop_at_every_poll(&stage, name, make)).await
    };
    let waits = [
        run("begin", |db| Box::pin(async move { db.begin().await.map(drop) })).await?,
        run("rollback", |db| {
            Box::pin(async move {
                let mut tx = db.begin().await?;
                let written = ask(&mut tx, "update agents set name = 'rolled back'").await;
                assert_eq!(written, Reply::Rows(vec![]));
                tx.rollback().await
            })
        })
        .await?,
        run("commit", |db| {
            Box::pin(async move {
                let mut tx = db.begin().await?;
                tx.update("agents").set("name", "x").all().execute().await?;
                tx.commit().await
            })
        })
        .await?,
        run("execute", |db| {
            Box::pin(async move {
                let mut tx = db.begin().await?;
                let done = (&mut tx)
                    .execute(sqlx::query("update agents set name = 'x'"))
                    .await;
                assert!(done.unwrap().rows_affected() > 0);
                tx.commit().await
            })
        })
        .await?,
        run("fetch_all", |db| {
            Box::pin(async move {
                let mut tx = db.begin().await?;
                let rows = sqlx::query("select * from conversation_transcripts")
                    .fetch_all(&mut tx)
                    .await;
                assert_eq!(rows.unwrap().len(), 1);
                tx.rollback().await
            })
        })
        .await?,
        run("fetch", |db| {
            Box::pin(async move {
                let mut tx = db.begin().await?;
                let mut rows = (&mut tx).fetch(sqlx::query(
                    "select repeat('x', 10000) from generate_series(1, 40)",
                ));
                let mut count = 0;
                while let Some(row) = rows.next().await {
                    row.unwrap();
                    count += 1;
                }
                drop(rows);
                assert_eq!(count, 40);
                tx.commit().await
            })
        })
        .await?,
    ];
    let at_least = match home {
        Home::Pool | Home::Pooler => [1, 3, 3, 3, 3, 3],
        // sqlx asks a connection whether it lives before it hands it out.
        Home::Dedicated => [2, 4, 4, 4, 4, 4],
    };
    for (waits, at_least) in waits.into_iter().zip(at_least) {
        assert!(waits >= at_least, "{waits} < {at_least}");
    }
    stage.close().await
}

async fn statements_dropped_at_every_poll_harm_nobody(home: Home) -> Outcome {
    let stage = Stage::new(home).await?;
    let run = async |name, make: fn(TenantDb) -> BoxFuture<'static, Result<(), Error>>| {
        Box::pin(drop_at_every_poll(&stage, name, make)).await
    };
    let waits = [
        run("query", |db| {
            Box::pin(async move {
                let all: Vec<(Uuid,)> = db.query("documents").columns(["id"]).fetch_all().await?;
                assert_eq!(all.len(), 1);
                Ok(())
            })
        })
        .await?,
        run("count", |db| {
            Box::pin(async move { db.query("documents").count().await.map(drop) })
        })
        .await?,
        run("insert", |db| {
            Box::pin(async move {
                let insert = db.insert("conversations").set("user_id", "ada").returning(["id"]);
                insert.fetch_one::<(Uuid,)>().await.map(drop)
            })
        })
        .await?,
        run("update", |db| {
            Box::pin(async move {
                let update = db.update("documents").set("created_at", Utc::now()).all();
                update.execute().await.map(|rows| assert_eq!(rows, 1))
            })
        })
        .await?,
        run("delete", |db| {
            Box::pin(async move { db.delete("user_overviews").all().execute().await.map(drop) })
        })
        .await?,
        run("rpc", |db| {
            Box::pin(async move {
                let call = db.rpc("match_documents").arg("p_query_embedding", embedding());
                call.fetch_all::<(Uuid,)>()
                    .await
                    .map(|rows| assert_eq!(rows.len(), 1))
            })
        })
        .await?,
    ];
    // A pool: begin, statement, and commit of what writes.
    for waits in waits {
        assert!(waits >= 2, "{waits}");
    }
    stage.close().await
}

async fn a_commit_dropped_at_every_poll_is_whole_or_nothing(home: Home) -> Outcome {
    let stage = Stage::new(home).await?;
    let mut seen = [0; 2];
    for held in [Held::Replies, Held::Replies, Held::Requests] {
        for times in 0.. {
            let db = stage.dropper().await?;
            let pair = async move {
                let mut tx = db.begin().await?;
                tx.insert("documents").set("title", "pair").execute().await?;
                let written = ask(
                    &mut tx,
                    "insert into documents (title) values ('pair') returning title",
                )
                .await;
                assert_eq!(written, Reply::one("pair"));
                tx.commit().await
            };
            let done = polled(pair, times, stage.proxy(), held).await;
            let after = format!("{times} polls");
            released_beside(stage.proxy(), stage.next_user_is_unharmed(&stage.manager, &after)).await?;
            let written = sqlx::query("delete from documents where title = 'pair'")
                .execute(&stage.admin)
                .await?
                .rows_affected();
            assert!(written == 0 || written == 2, "{after}: {written} rows");
            seen[usize::from(written == 2)] += 1;
            if done.is_some() {
                assert_eq!(written, 2, "{done:?}");
                break;
            }
        }
    }
    // Where the request had left, the transaction committed though nobody waited for it.
    assert!(seen[0] > 2 && seen[1] > 2, "{seen:?}");
    stage.close().await
}

async fn the_first_use_dropped_at_every_poll_harms_nobody(home: Home) -> Outcome {
    let stage = Stage::new(home).await?;
    for times in 0.. {
        let manager = manager(&stage.fixture, 1).await?;
        let id = stage.dropper.id;
        let first = async {
            let db = manager.tenant(id).await?;
            db.query("agents").count().await
        };
        let done = polled(first, times, stage.proxy(), Held::Replies).await;
        let after = format!("the first use dropped after {times} polls");
        released_beside(stage.proxy(), stage.next_user_is_unharmed(&manager, &after)).await?;
        timeout(STUCK, manager.close()).await?;
        if let Some(count) = done {
            assert_eq!(count?, 1);
            assert!(times > 10, "{times}");
            break;
        }
    }
    stage.close().await
}

async fn aborted_timed_out_and_panicked_tasks_give_every_connection_back(home: Home) -> Outcome {
    const CONNECTIONS: usize = 3;
    let fixture = Fixture::start_proxied(&HOST).await?;
    let stage = Stage::on(home, fixture, u32::try_from(CONNECTIONS)?).await?;
    let db = stage.dropper().await?;

    // All at once, each in the middle of a statement whose reply does not come.
    let begun = join_all((0..CONNECTIONS).map(|_| db.begin())).await;
    stage.proxy().pause();
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    let tasks: Vec<_> = begun
        .into_iter()
        .map(|tx| {
            let mut tx = tx.unwrap();
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut update = pin!(ask(&mut tx, "update agents set name = 'rolled back'"));
                assert!(futures_util::poll!(update.as_mut()).is_pending());
                asked.send(()).unwrap();
                update.await
            })
        })
        .collect();
    for _ in 0..CONNECTIONS {
        asking.recv().await.unwrap();
    }
    for task in &tasks {
        task.abort();
    }
    for aborted in join_all(tasks).await {
        assert!(aborted.unwrap_err().is_cancelled());
    }
    released_beside(
        stage.proxy(),
        stage.next_user_is_unharmed(&stage.manager, "aborted tasks"),
    )
    .await?;

    let mut begun = join_all((0..CONNECTIONS).map(|_| db.begin())).await;
    stage.proxy().pause();
    let timed_out = begun.iter_mut().map(|tx| {
        let tx = tx.as_mut().unwrap();
        timeout(
            Duration::from_millis(1),
            ask(tx, "update agents set name = 'rolled back'"),
        )
    });
    for timed_out in join_all(timed_out).await {
        timed_out.unwrap_err();
    }
    drop(begun);
    released_beside(
        stage.proxy(),
        stage.next_user_is_unharmed(&stage.manager, "timeouts"),
    )
    .await?;

    let panicking = join_all((0..CONNECTIONS).map(|_| db.begin()))
        .await
        .into_iter()
        .map(|tx| {
            let mut tx = tx.unwrap();
            tokio::spawn(async move {
                ask(&mut tx, "update agents set name = 'rolled back'").await;
                panic!("on purpose");
            })
        });
    for panicked in join_all(panicking).await {
        assert!(panicked.unwrap_err().is_panic());
    }
    stage.next_user_is_unharmed(&stage.manager, "panics").await?;

    let all = timeout(STUCK, join_all((0..CONNECTIONS).map(|_| db.begin()))).await?;
    assert!(all.iter().all(Result::is_ok));
    for tx in all {
        tx?.rollback().await?;
    }
    let (name,): (String,) = db
        .query("agents")
        .columns(["name"])
        .eq("slug", "guide")
        .fetch_one()
        .await?;
    assert_eq!(name, "agent of dropper");
    stage.close().await
}

/// What the tests above would see of a pool that hands connections on as they are.
#[tokio::test]
async fn a_pool_of_sqlx_hands_on_the_transaction_of_a_dropped_begin() -> Outcome {
    let stage = Stage::new(Home::Pool).await?;
    let ticket = ticket(&mut *stage.admin.acquire().await?, stage.dropper.id, 0, 0).await?;
    let begin = format!("BEGIN; SELECT tenantry.enter('{ticket}')");
    let (mut bound, mut lost) = (0, 0);
    for times in 0.. {
        let pool: PgPool = PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|conn, _| {
                Box::pin(async move { conn.execute("select tenantry.hello()").await.map(drop) })
            })
            .connect(&stage.fixture.app_url(&stage.fixture.database("pool-1")))
            .await?;
        let done = polled(
            pool.begin_with(AssertSqlSafe(begin.clone())),
            times,
            stage.proxy(),
            Held::Replies,
        )
        .await
        .map(drop);
        let next = sqlx::query_scalar("select name from agents").fetch_all(&pool);
        let seen: Result<Vec<String>, _> = released_beside(stage.proxy(), next).await;
        match seen {
            Ok(names) => {
                assert_eq!(names, ["agent of dropper"], "the rows of who dropped it");
                sqlx::query("insert into agents (slug, name) values ('lost', 'x')")
                    .execute(&pool)
                    .await?;
                let kept: i64 = sqlx::query_scalar("select count(*) from agents where slug = 'lost'")
                    .fetch_one(&stage.admin)
                    .await?;
                if done.is_some() {
                    assert_eq!(kept, 1, "its scope outlives the transaction that was rolled back");
                } else {
                    bound += 1;
                    lost += 1 - kept;
                }
            }
            Err(error) => {
                let code = error.as_database_error().and_then(DatabaseError::code);
                assert_eq!(code.as_deref(), Some("TN005"), "{error:?}");
            }
        }
        pool.close().await;
        if done.is_some() {
            break;
        }
    }
    assert!(bound > 0, "no connection was handed on inside the transaction");
    assert_eq!(bound, lost, "what its next user wrote was lost");
    stage.close().await
}
