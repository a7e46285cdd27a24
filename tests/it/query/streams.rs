use futures_util::{StreamExt as _, TryStreamExt as _};
use tenantry::{Error, Expr, Order, Select, TenantDb, TenantQuery};

use super::{Library, Outcome};
use crate::sql::{connect, run};

/// Far more than the server keeps back for itself.
fn wide<'t>() -> Expr<'t> {
    Expr::raw(|sql| sql.push("repeat('x', 20000)"))
}

async fn many_jobs(db: &TenantDb, count: i64) -> tenantry::Result<u64> {
    db.insert("jobs")
        .rows(1..=count, |row, id| {
            row.set("id", id);
        })
        .execute()
        .await
}

fn jobs(db: &TenantDb) -> TenantQuery<'static, Select<'static>> {
    db.query("jobs")
        .columns(["id"])
        .column_as(wide(), "wide")
        .order_by("id", Order::Asc)
}

#[tokio::test]
async fn the_first_rows_are_there_before_the_last_are_made() -> Outcome {
    let library = Library::empty().await?;
    for (db, database) in library.homes().zip(["pool-1", "dedicated", "pool-2"]) {
        many_jobs(db, 40).await?;
        let options = library
            .fixture
            .server()
            .connect_options(&library.fixture.database(database));
        let mut superuser = connect(options).await;
        run(&mut superuser, "select pg_advisory_lock(7)").await;
        let waits =
            Expr::raw(|sql| sql.push("case when id = 30 then pg_advisory_xact_lock_shared(7)::text end"));
        let mut rows = jobs(db)
            .column_as(waits, "waits")
            .fetch::<(i64, String, Option<String>)>();
        for id in 1..=20 {
            assert_eq!(rows.try_next().await?.map(|row| row.0), Some(id));
        }
        run(&mut superuser, "select pg_advisory_unlock(7)").await;
        let rest: Vec<i64> = rows.map_ok(|row| row.0).try_collect().await?;
        assert_eq!(rest, (21..=40).collect::<Vec<_>>());
    }
    library.close().await
}

#[tokio::test]
async fn who_comes_after_a_dropped_stream_is_in_its_own_scope() -> Outcome {
    let library = Library::over(1).await?;
    for db in library.homes() {
        many_jobs(db, 1_000).await?;
    }
    many_jobs(&library.neighbour, 3).await?;
    for db in library.homes() {
        for read in [0, 1, 7, 999, 1_000, 2_000] {
            let mut rows = jobs(db).fetch::<(i64, String)>();
            for _ in 0..read {
                rows.try_next().await?;
            }
            drop(rows);
            assert_eq!(library.neighbour.query("jobs").count().await?, 3, "after {read}");
            let mut tx = library.neighbour.begin().await?;
            assert_eq!(tx.query("jobs").count().await?, 3);
            tx.commit().await?;
            assert_eq!(db.query("jobs").count().await?, 1_000, "after {read}");
        }
        // Two at once, where there is more than one connection, and one after the other where there is not.
        let mut rows = jobs(db).fetch::<(i64, String)>();
        assert_eq!(rows.try_next().await?.map(|row| row.0), Some(1));
        drop(rows);
        let all: Vec<_> = jobs(db).limit(500).fetch::<(i64, String)>().try_collect().await?;
        assert_eq!(all.len(), 500);
        let theirs: Vec<_> = jobs(&library.neighbour)
            .fetch::<(i64, String)>()
            .try_collect()
            .await?;
        assert_eq!(theirs.len(), 3);
    }
    library.close().await
}

#[tokio::test]
async fn a_stream_in_a_transaction_sees_it_and_leaves_it_open() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        many_jobs(db, 100).await?;
        let mut tx = db.begin().await?;
        tx.update("jobs")
            .set("state", "seen")
            .le("id", 50_i64)
            .execute()
            .await?;
        let seen: Vec<_> = tx
            .query("jobs")
            .columns(["id"])
            .eq("state", "seen")
            .lock(tenantry::RowLock::Update, tenantry::LockWait::Wait)
            .fetch::<(i64,)>()
            .try_collect()
            .await?;
        assert_eq!(seen.len(), 50);
        let mut half = tx
            .query("jobs")
            .columns(["id"])
            .column_as(wide(), "wide")
            .fetch::<(i64, String)>();
        assert!(half.try_next().await?.is_some());
        drop(half);
        tx.delete("jobs").gt("id", 90_i64).execute().await?;
        tx.commit().await?;
        assert_eq!(db.query("jobs").count().await?, 90);
        assert_eq!(db.query("jobs").eq("state", "seen").count().await?, 50);

        let locked = db
            .query("jobs")
            .lock(tenantry::RowLock::Update, tenantry::LockWait::Wait);
        let refused = locked.fetch::<(i64, String)>().next().await;
        assert!(
            matches!(refused, Some(Err(Error::StatementRefused { .. }))),
            "{refused:?}"
        );
    }
    library.close().await
}

#[tokio::test]
async fn an_error_is_the_last_item_of_a_stream() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        many_jobs(db, 100).await?;
        // Of the statement, in the middle, the column being worked out after the rows were sorted; of a row that is no such value; of a name; of a type.
        let divided = Expr::raw(|sql| sql.push("1 / (id - 60 + (random() * 0)::bigint)"));
        let rows: Vec<_> = jobs(db)
            .column_as(divided, "divided")
            .fetch::<(i64, String, i64)>()
            .collect()
            .await;
        assert!(rows.len() > 1 && rows.len() <= 60, "{}", rows.len());
        let error = rows.into_iter().next_back();
        assert!(
            matches!(&error, Some(Err(error)) if error.sqlstate().as_deref() == Some("22012")),
            "{error:?}"
        );
        let number = Expr::raw(|sql| sql.push("case when id <> 3 then id end"));
        let rows: Vec<_> = jobs(db)
            .column_as(number, "number")
            .fetch::<(i64, String, i64)>()
            .collect()
            .await;
        assert_eq!(rows.len(), 3);
        assert!(matches!(rows[2], Err(Error::Statement { .. })), "{:?}", rows[2]);
        let rows: Vec<_> = db.query("jops").fetch::<(i64,)>().collect().await;
        assert!(matches!(rows[..], [Err(Error::UnknownTable { .. })]), "{rows:?}");
        let rows: Vec<_> = jobs(db).eq("id", "one").fetch::<(i64, String)>().collect().await;
        assert!(
            matches!(&rows[..], [Err(Error::TypeMismatch { column, .. })] if column == "id"),
            "{rows:?}"
        );
        let mut tx = db.begin().await?;
        let rows: Vec<_> = tx
            .query("jobs")
            .eq("id", "one")
            .fetch::<(i64, String)>()
            .collect()
            .await;
        assert!(
            matches!(&rows[..], [Err(Error::TypeMismatch { column, .. })] if column == "id"),
            "{rows:?}"
        );
        drop(tx);
        assert_eq!(db.query("jobs").count().await?, 100);
    }
    library.close().await
}
