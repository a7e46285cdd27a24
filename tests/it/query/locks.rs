use tenantry::{Error, Join, LockWait, Order, RowLock, TenantTx};

use super::{Library, Outcome};
use crate::sql::PATIENCE;

async fn job(tx: &mut TenantTx) -> tenantry::Result<Option<i64>> {
    tx.query("jobs")
        .columns(["id"])
        .eq("state", "waiting")
        .order_by("id", Order::Asc)
        .limit(1)
        .lock(RowLock::Update, LockWait::Skip)
        .fetch_optional_scalar()
        .await
}

#[tokio::test]
async fn workers_take_different_jobs_from_a_queue() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        db.insert("jobs")
            .rows([1_i64, 2], |row, id| {
                row.set("id", id);
            })
            .execute()
            .await?;
        let (mut one, mut two) = (db.begin().await?, db.begin().await?);
        assert_eq!(job(&mut one).await?, Some(1));
        assert_eq!(job(&mut two).await?, Some(2));
        assert_eq!(job(&mut one).await?, Some(1), "a lock of its own is no hindrance");
        one.update("jobs")
            .set("state", "done")
            .eq("id", 1_i64)
            .execute()
            .await?;
        one.commit().await?;
        assert_eq!(job(&mut two).await?, Some(2));
        two.rollback().await?;
        // In one statement, without a transaction of the caller's.
        let next = db.query("jobs").columns(["id"]).eq("state", "waiting").limit(1);
        let taken: Vec<i64> = db
            .update("jobs")
            .set("state", "taken")
            .is_in_query("id", next.lock(RowLock::Update, LockWait::Skip))
            .returning(["id"])
            .fetch_scalars()
            .await?;
        assert_eq!(taken, [2]);
    }
    library.close().await
}

#[tokio::test]
async fn a_locked_row_fails_at_once_or_is_waited_for() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        let mut first = db.begin().await?;
        let lock = first
            .query("authors")
            .join(Join::left("books").by("author_id"))
            .eq("slug", "cyd");
        let locked: Vec<(i64,)> = lock
            .columns(["id"])
            .lock(RowLock::NoKeyUpdate, LockWait::Wait)
            .fetch_all()
            .await?;
        assert_eq!(locked, [(3,)]);

        let mut second = db.begin().await?;
        let ask = second
            .query("authors")
            .eq("id", 3_i64)
            .lock(RowLock::Share, LockWait::Fail);
        let error = ask.fetch_all::<(i64,)>().await.unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("55P03"));
        assert!(error.is_retryable());
        second.rollback().await?;
        // Who locks but the key, or another row, is not in the way.
        let mut third = db.begin().await?;
        for (id, lock) in [(3_i64, RowLock::KeyShare), (2, RowLock::Update)] {
            let ask = third
                .query("authors")
                .columns(["id"])
                .eq("id", id)
                .lock(lock, LockWait::Fail);
            assert_eq!(ask.fetch_scalar::<i64>().await?, id);
        }
        let waits = async {
            let ask = third.query("authors").columns(["born"]).eq("id", 3_i64);
            ask.lock(RowLock::Update, LockWait::Wait)
                .fetch_scalar::<i32>()
                .await
        };
        let writes = async {
            first
                .update("authors")
                .set("born", 1)
                .eq("id", 3_i64)
                .execute()
                .await?;
            first.commit().await
        };
        let both = Box::pin(async { tokio::join!(waits, writes) });
        let (waited, written) = tokio::time::timeout(PATIENCE, both).await?;
        written?;
        assert_eq!(waited?, 1, "what was written by who had the lock");
        third.rollback().await?;

        for lock in [RowLock::Update, RowLock::Share] {
            let ask = || db.query("authors").lock(lock, LockWait::Wait);
            let error = ask().fetch_all::<(i64,)>().await.unwrap_err();
            assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
            let error = ask().count().await.unwrap_err();
            assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
        }
    }
    library.close().await
}
