//! More rows than one statement takes: all of them or none.

use std::task::Poll;

use tenantry::{Error, TenantDb, TransactionOptions};

use super::{Library, Outcome};
use crate::sql::{connect, one, run, until};

const MANY: i64 = 25_000;

/// Jobs of these ids: on a dedicated database by COPY, where they are many.
async fn add(db: &TenantDb, ids: impl IntoIterator<Item = i64>) -> tenantry::Result<u64> {
    let insert = db.insert("jobs").rows(ids, |row, id| {
        row.set("id", id).set("state", "new");
    });
    insert.execute().await
}

/// The last is the first once more.
fn with_a_duplicate() -> impl Iterator<Item = i64> {
    (1..MANY).chain([1])
}

#[tokio::test]
async fn many_rows_are_all_inserted_or_none() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        let error = add(db, with_a_duplicate()).await.unwrap_err();
        assert_eq!(error.constraint(), Some("jobs_pkey"), "{error:?}");
        assert_eq!(db.query("jobs").count().await?, 0);
        // By statements alone.
        let returning = db.insert("jobs").rows(with_a_duplicate(), |row, id| {
            row.set("id", id);
        });
        let error = returning
            .returning(["id"])
            .fetch_scalars::<i64>()
            .await
            .unwrap_err();
        assert_eq!(error.constraint(), Some("jobs_pkey"), "{error:?}");
        assert_eq!(db.query("jobs").count().await?, 0);

        let mut tx = db.begin().await?;
        tx.insert("shelves")
            .set("id", 1_i64)
            .set("name", "x")
            .execute()
            .await?;
        let failing = tx.insert("jobs").rows(with_a_duplicate(), |row, id| {
            row.set("id", id);
        });
        assert_eq!(
            failing.execute().await.unwrap_err().constraint(),
            Some("jobs_pkey")
        );
        assert!(tx.commit().await.is_err());
        assert_eq!(db.query("jobs").count().await?, 0);
        assert_eq!(db.query("shelves").count().await?, 0);

        let ids: Vec<i64> = db
            .insert("jobs")
            .rows(1..=MANY, |row, id| {
                row.set("id", id);
            })
            .returning(["id"])
            .fetch_scalars()
            .await?;
        assert!(ids == (1..=MANY).collect::<Vec<_>>());
        assert_eq!(db.delete("jobs").all().execute().await?, MANY.unsigned_abs());
        let mut tx = db.begin().await?;
        let insert = tx.insert("jobs").rows(1..=MANY, |row, id| {
            row.set("id", id);
        });
        assert_eq!(insert.execute().await?, MANY.unsigned_abs());
        assert_eq!(tx.query("jobs").count().await?, MANY.unsigned_abs());
        tx.commit().await?;
        let again = db.insert("jobs").rows(MANY - 1..=MANY + 12_000, |row, id| {
            row.set("id", id);
        });
        assert_eq!(again.on_conflict_do_nothing(["id"]).execute().await?, 12_000);
    }
    library.close().await
}

#[tokio::test]
async fn records_of_more_than_a_statement_are_all_inserted_or_none() -> Outcome {
    let library = Library::empty().await?;
    let record = |id: i64| serde_json::json!({ "id": id, "state": "new" });
    for db in library.homes() {
        let error = db
            .insert("jobs")
            .records(with_a_duplicate().map(record))
            .execute()
            .await
            .unwrap_err();
        assert_eq!(error.constraint(), Some("jobs_pkey"), "{error:?}");
        assert_eq!(db.query("jobs").count().await?, 0);
        assert_eq!(
            db.insert("jobs")
                .records((1..=12_000).map(record))
                .execute()
                .await?,
            12_000
        );
    }
    library.close().await
}

#[tokio::test]
async fn a_failed_load_leaves_nothing_and_a_connection_that_is_in_step() -> Outcome {
    let library = Library::empty().await?;
    let db = &library.dedicated;
    for round in 0..3 {
        let error = add(db, with_a_duplicate()).await.unwrap_err();
        assert_eq!(error.constraint(), Some("jobs_pkey"), "{error:?}");
        assert_eq!(db.query("jobs").count().await?, 0, "{round}");
        let mut tx = db.begin().await?;
        let failing = tx.insert("jobs").rows(with_a_duplicate(), |row, id| {
            row.set("id", id);
        });
        assert!(failing.execute().await.is_err());
        let error = tx.query("jobs").count().await.unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("25P02"), "{error:?}");
        tx.rollback().await?;
        assert_eq!(db.query("jobs").count().await?, 0, "{round}");
        assert!(!db.query("jobs").exists().await?, "{round}");
    }
    let mut read = db.begin_with(TransactionOptions::default().read_only()).await?;
    let load = read.insert("jobs").rows(1..=2_000_i64, |row, id| {
        row.set("id", id);
    });
    assert_eq!(
        load.execute().await.unwrap_err().sqlstate().as_deref(),
        Some("25006")
    );
    read.rollback().await?;
    assert_eq!(add(db, 1..=2_000).await?, 2_000);
    assert_eq!(db.query("jobs").count().await?, 2_000);
    library.close().await
}

#[tokio::test]
async fn a_load_that_is_dropped_leaves_nothing_and_a_pool_that_works() -> Outcome {
    let library = Library::empty().await?;
    let db = &library.dedicated;
    let options = library
        .fixture
        .server()
        .connect_options(&library.fixture.database("dedicated"));
    let mut superuser = connect(options).await;

    // Wherever it is dropped between two turns of its own.
    for turns in 0..12 {
        let mut load = Box::pin(add(db, 1..=5_000));
        let mut left = turns;
        let done = std::future::poll_fn(|context| match load.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
        drop(load);
        let count = db.query("jobs").count().await?;
        assert!(count == 0 || count == 5_000, "{turns}: {count}");
        assert!(done.is_none() || count == 5_000, "{turns}: {done:?}");
        // Once the server is through with what it had been sent.
        let idle =
            "select not exists (select from pg_stat_activity where query like 'copy%' and state = 'active'
                                       and datname = current_database())";
        until(&mut superuser, idle).await;
        db.delete("jobs").all().execute().await?;
    }

    // While the server waits for whoever has the same key.
    let options = library
        .fixture
        .server()
        .connect_options(&library.fixture.database("dedicated"));
    let mut watcher = connect(options).await;
    let loading = "(select from pg_stat_activity where wait_event_type = 'Lock' and query like 'copy%'
                                                   and datname = current_database())";
    let waits = format!("select exists {loading}");
    for next_is_the_commit in [false, true] {
        run(&mut superuser, "begin").await;
        let holds = format!(
            "insert into jobs (client_id, id) values ('{}', 1999)",
            db.client().id
        );
        run(&mut superuser, &holds).await;
        let mut tx = db.begin().await?;
        let load = tx.insert("jobs").rows(1..=2_000_i64, |row, id| {
            row.set("id", id);
        });
        tokio::select! {
            done = load.execute() => panic!("it did not wait: {done:?}"),
            () = until(&mut watcher, &waits) => {}
        }
        run(&mut superuser, "rollback").await;
        if !next_is_the_commit {
            let next = tx.query("jobs").count().await;
            assert!(next.is_err(), "{next:?}");
        }
        // What became of it nobody knows, and so it is over.
        let committed = tx.commit().await;
        assert!(
            matches!(committed, Err(Error::StatementRefused { .. })),
            "{committed:?}"
        );
        until(&mut watcher, &format!("select not exists {loading}")).await;
        assert_eq!(db.query("jobs").count().await?, 0);
    }
    for id in [3_000, 3_001] {
        assert_eq!(add(db, [id]).await?, 1);
        assert!(db.query("jobs").eq("id", id).exists().await?);
    }
    library.close().await
}

#[tokio::test]
async fn a_load_that_was_overtaken_is_run_again() -> Outcome {
    let library = Library::empty().await?;
    for (db, database) in [(&library.shared, "pool-1"), (&library.dedicated, "dedicated")] {
        let database = library.fixture.database(database);
        let mut admin = connect(library.fixture.admin_options(&database)).await;
        run(
            &mut admin,
            "create sequence tries;
             grant usage on sequence tries to public;
             create function overtaken() returns trigger language plpgsql as $$
             begin
                 if nextval('tries') = 1 then
                     raise exception 'overtaken' using errcode = '40001';
                 end if;
                 return null;
             end
             $$;
             create trigger overtaken after insert on jobs execute function overtaken()",
        )
        .await;
        let added = db
            .run(async |mut tx| {
                let load = tx.insert("jobs").rows(1..=2_000_i64, |row, id| {
                    row.set("id", id);
                });
                load.execute().await
            })
            .await;
        assert_eq!(added?, 2_000, "{database}");
        assert_eq!(db.query("jobs").count().await?, 2_000, "{database}");
    }
    library.close().await
}

#[tokio::test]
async fn a_load_that_is_dropped_at_its_end_answers_no_later_statement() -> Outcome {
    let library = Library::over(1).await?;
    let db = &library.dedicated;
    let options = || {
        let database = library.fixture.database("dedicated");
        library.fixture.server().connect_options(&database)
    };
    let (mut holder, mut watcher) = (connect(options()).await, connect(options()).await);
    for round in 0..3_i64 {
        // All is sent, and the server waits for whoever has the same key.
        let first = 10_000 * (round + 1);
        run(&mut holder, "begin").await;
        let holds = format!(
            "insert into jobs (client_id, id) values ('{}', {})",
            db.client().id,
            first + 7
        );
        run(&mut holder, &holds).await;
        tokio::select! {
            done = add(db, first..first + 2_000) => panic!("it did not wait: {done:?}"),
            () = until(&mut watcher, WAITS) => {}
        }
        run(&mut holder, "rollback").await;
        // Whether the server kept the rows is settled once its backend has done with the load.
        until(&mut watcher, SETTLED).await;
        // The one connection of the pool, or another in its place.
        for _ in 0..3 {
            let there: i64 = one(&mut watcher, "select count(*) from jobs").await;
            assert_eq!(db.query("jobs").count().await?, there.unsigned_abs(), "{round}");
            let ids: Vec<i64> = db.query("jobs").columns(["id"]).limit(1).fetch_scalars().await?;
            assert_eq!(ids.len(), 1.min(usize::try_from(there)?), "{round}");
        }
    }
    library.close().await
}

const WAITS: &str =
    "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like 'copy%'
                                                                 and datname = current_database())";
const SETTLED: &str =
    "select not exists (select from pg_stat_activity where state <> 'idle' and query like 'copy%'
                                                       and datname = current_database())";
