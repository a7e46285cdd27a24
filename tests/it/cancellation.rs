//! Futures dropped at every point where they wait, tasks that end early, and connections that are lost: the
//! next user of the connection is unharmed.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::future_not_send,
    clippy::large_futures,
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
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use tenantry::testing::{DelayProxy, Fixture, PgServer};
use tenantry::{ClientConnectionManager, ClientRecord, ConnectionOptions, Error, ErrorKind, TenantDb};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{HOST, Reply, ask, embedding, fill, ticket};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Nothing here waits this long unless it is stuck.
const STUCK: Duration = Duration::from_mins(1);

/// What the agents are called in transactions that nobody commits.
const ROLLED_BACK: &str = "rolled back";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Pool,
    Dedicated,
}

/// A database behind a proxy, with one connection for all; who drops futures, and who comes next.
struct Stage {
    fixture: Fixture,
    manager: ClientConnectionManager,
    home: Home,
    dropper: ClientRecord,
    next: ClientRecord,
    /// To the database of both, past the proxy and row-level security.
    admin: PgPool,
}

impl Stage {
    async fn new(home: Home) -> Result<Self, Box<dyn std::error::Error>> {
        Self::on(home, Fixture::start_proxied(&HOST).await?, 1).await
    }

    async fn on(home: Home, fixture: Fixture, connections: u32) -> Result<Self, Box<dyn std::error::Error>> {
        // Nobody but the client uses a dedicated database, so it comes next itself.
        let (dropper, next, database) = match home {
            Home::Pool => {
                let next = fixture.shared_client("next").await?;
                (fixture.shared_client("dropper").await?, next, "pool-1")
            }
            Home::Dedicated => {
                let client = fixture.dedicated_client("dropper").await?;
                (client.clone(), client, "dropper")
            }
        };
        let manager = manager(&fixture, connections).await?;
        let admin = PgPoolOptions::new()
            .connect_with(fixture.admin_options(&fixture.database(database)))
            .await?;
        fill(&manager.tenant(dropper.id).await?, &dropper.slug.to_string()).await?;
        if home == Home::Pool {
            fill(&manager.tenant(next.id).await?, &next.slug.to_string()).await?;
        }
        Ok(Self {
            fixture,
            manager,
            home,
            dropper,
            next,
            admin,
        })
    }

    fn proxy(&self) -> &DelayProxy {
        self.fixture.proxy().expect("the fixture is proxied")
    }

    async fn dropper(&self) -> tenantry::Result<TenantDb> {
        self.manager.tenant(self.dropper.id).await
    }

    /// The next user of the one connection writes, which must last, and reads, which must be its own.
    async fn next_user_is_unharmed(&self, manager: &ClientConnectionManager, after: &str) -> Outcome {
        let next = self.next.id;
        let slug = format!("n{}", Uuid::new_v4().simple());
        let work = async {
            let db = manager.tenant(next).await?;
            let insert = db.insert("agents").set("slug", slug.as_str()).set("name", "x");
            assert_eq!(insert.execute().await?, 1, "{after}");
            // Seen by its own connection alone, were it written inside somebody's open transaction.
            let owner: Option<Uuid> =
                sqlx::query_scalar("delete from agents where slug = $1 returning client_id")
                    .bind(&slug)
                    .fetch_optional(&self.admin)
                    .await?;
            assert_eq!(
                owner,
                Some(next.as_uuid()),
                "{after}: the next user's write lasts"
            );

            let mut tx = db.begin().await?;
            let foreign: i64 = sqlx::query_scalar("select count(*) from agents where client_id <> $1")
                .bind(next)
                .fetch_one(&mut tx)
                .await?;
            tx.commit().await?;
            assert_eq!(foreign, 0, "{after}: rows of another client are seen");
            let committed: i64 = sqlx::query_scalar("select count(*) from agents where name = $1")
                .bind(ROLLED_BACK)
                .fetch_one(&self.admin)
                .await?;
            assert_eq!(committed, 0, "{after}: the next user committed what was dropped");
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        timeout(STUCK, work)
            .await
            .map_err(|_| format!("{after}: the next user is stuck"))?
            .map_err(|error| format!("{after}: {error:?}"))?;
        self.no_transaction_stays_open(after).await
    }

    /// Connections that were closed end on the server a little later.
    async fn no_transaction_stays_open(&self, after: &str) -> Outcome {
        let open = "select count(*) from pg_stat_activity
                    where datname = current_database() and usename = $1 and state like 'idle in transaction%'";
        let ended = async {
            loop {
                let open: i64 = sqlx::query_scalar(open)
                    .bind(self.fixture.app_role())
                    .fetch_one(&self.admin)
                    .await?;
                if open == 0 {
                    return Ok::<_, sqlx::Error>(());
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(STUCK, ended)
            .await
            .map_err(|_| format!("{after}: a transaction stays open"))??;
        Ok(())
    }

    async fn close(self) -> Outcome {
        self.admin.close().await;
        timeout(STUCK, self.manager.close()).await?;
        self.fixture.close().await;
        Ok(())
    }
}

async fn manager(
    fixture: &Fixture,
    connections: u32,
) -> Result<ClientConnectionManager, Box<dyn std::error::Error>> {
    let options = fixture
        .manager_options()
        .pool_connections(
            ConnectionOptions::default()
                .max_connections(connections)
                .max_client_share(connections),
        )
        .dedicated_pool(PgPoolOptions::new().max_connections(connections));
    Ok(ClientConnectionManager::connect(options).await?)
}

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

/// What is held is let go only when the next has begun, so that it queues up behind.
async fn released_beside<T>(proxy: &DelayProxy, next: impl Future<Output = T>) -> T {
    let release = async {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        proxy.resume_requests();
        proxy.resume();
    };
    tokio::join!(next, release).0
}

macro_rules! on_both_homes {
    ($($test:ident),+ $(,)?) => {
        mod on_a_pool_database {
            $(#[tokio::test]
            async fn $test() -> super::Outcome {
                super::$test(super::Home::Pool).await
            })+
        }
        mod on_a_dedicated_database {
            $(#[tokio::test]
            async fn $test() -> super::Outcome {
                super::$test(super::Home::Dedicated).await
            })+
        }
    };
}

on_both_homes![
    transactions_dropped_at_every_poll_harm_nobody,
    statements_dropped_at_every_poll_harm_nobody,
    a_commit_dropped_at_every_poll_is_whole_or_nothing,
    the_first_use_dropped_at_every_poll_harms_nobody,
    aborted_timed_out_and_panicked_tasks_give_every_connection_back,
    a_connection_that_is_killed_or_reset_is_replaced,
    a_server_that_is_killed_and_restarted_is_served_from_again,
];

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
        Home::Pool => [1, 3, 3, 3, 3, 3],
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

async fn a_connection_that_is_killed_or_reset_is_replaced(home: Home) -> Outcome {
    let stage = Stage::new(home).await?;
    let db = stage.dropper().await?;
    let server = stage.fixture.server().connect_options("postgres");
    let mut superuser = PgConnection::connect_with(&server).await?;
    let mut kill = async |pid: &str| {
        sqlx::query("select pg_terminate_backend($1::int, 30000)")
            .bind(pid.parse::<i32>().unwrap())
            .execute(&mut superuser)
            .await
    };
    let pid = async || match ask(&mut db.begin().await?, "select pg_backend_pid()::text").await {
        Reply::Rows(rows) => Ok::<_, Error>(rows[0].clone()),
        refused @ Reply::Refused(_) => panic!("{refused:?}"),
    };

    // Idle: nobody sees it.
    kill(&pid().await?).await?;
    assert_eq!(db.query("agents").count().await?, 1);
    kill(&pid().await?).await?;
    stage
        .next_user_is_unharmed(&stage.manager, "an idle connection was killed")
        .await?;
    stage.proxy().reset_all();
    if home == Home::Pool {
        // Sent at once, the connection being bound to its client: nobody knows whether the write was done.
        let next = stage.manager.tenant(stage.next.id).await?;
        let insert = next.insert("agents").set("slug", "reset").set("name", "x");
        let answered = insert.execute().await;
        let written = next.query("agents").eq("slug", "reset").count().await?;
        match answered {
            Ok(rows) => assert_eq!((rows, written), (1, 1)),
            Err(error) => assert_eq!((error.kind(), written), (ErrorKind::Ambiguous, 0), "{error:?}"),
        }
        // A read is sent again, on a new connection.
        stage.proxy().reset_all();
        assert_eq!(next.query("agents").eq("slug", "reset").count().await?, written);
        stage.proxy().reset_all();
        let mut tx = next.begin().await?;
        assert_eq!(tx.query("agents").eq("slug", "reset").count().await?, written);
        tx.rollback().await?;
        stage.proxy().reset_all();
        assert_eq!(db.query("agents").count().await?, 1);
        stage.proxy().reset_all();
    }
    stage
        .next_user_is_unharmed(&stage.manager, "an idle connection was reset")
        .await?;

    // In use: the transaction fails, and its end says so.
    for ending in ["kill", "reset"] {
        let mut tx = db.begin().await?;
        let Reply::Rows(rows) = ask(&mut tx, "select pg_backend_pid()::text").await else {
            panic!("no pid");
        };
        assert_eq!(
            tx.update("agents")
                .set("name", ROLLED_BACK)
                .all()
                .execute()
                .await?,
            1
        );
        if ending == "kill" {
            kill(&rows[0]).await?;
        } else {
            stage.proxy().reset_all();
        }
        let lost = tx.commit().await.unwrap_err();
        assert!(matches!(lost, Error::CommitUnknown { .. }), "{ending}: {lost:?}");
        assert_eq!(lost.kind(), ErrorKind::Ambiguous);
        stage.next_user_is_unharmed(&stage.manager, ending).await?;
        assert_eq!(
            db.query("agents").eq("name", ROLLED_BACK).count().await?,
            0,
            "{ending}"
        );
    }
    superuser.close().await?;
    stage.close().await
}

async fn a_server_that_is_killed_and_restarted_is_served_from_again(home: Home) -> Outcome {
    let server = PgServer::private().await?;
    let stage = Stage::on(home, Fixture::on(server.clone(), &HOST, 10, None).await?, 2).await?;
    // What a server for tests commits is on no disk yet.
    let mut superuser = PgConnection::connect_with(&server.connect_options("postgres")).await?;
    superuser.execute("checkpoint").await?;
    superuser.close().await?;
    let db = stage.dropper().await?;
    let mut tx = db.begin().await?;
    assert_eq!(
        tx.update("agents")
            .set("name", ROLLED_BACK)
            .all()
            .execute()
            .await?,
        1
    );
    server.kill().await?;
    let error = tx.query("agents").count().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error:?}");
    drop(tx);
    if home == Home::Pool {
        let error = db.begin().await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.is_retryable());
    }
    server.restart().await?;
    assert_eq!(
        timeout(STUCK, db.query("agents").eq("name", ROLLED_BACK).count()).await??,
        0
    );
    stage.next_user_is_unharmed(&stage.manager, "a restart").await?;
    stage.close().await?;
    server.stop().await?;
    Ok(())
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
