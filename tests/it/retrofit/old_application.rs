//! The old application: it knows of no client, and goes on whatever is done to its tables.
#![expect(clippy::disallowed_methods, reason = "has tasks that write and read")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::Stage;

/// Writers and a reader.
pub(super) struct OldApplication {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    writers: Vec<JoinHandle<BTreeMap<String, i32>>>,
    reader: JoinHandle<()>,
}

/// What it has said for years. An upsert names its constraint.
const UPSERT: &str = "insert into documents (filename, email, run_id, tenant)
    values ($1, $2, (select id from runs where name = 'first'), 'house')
    on conflict on constraint documents_of_whom do update set done = documents.done + 1";

impl OldApplication {
    /// Begins, and waits until each has written.
    pub(super) async fn begin(stage: &Stage, writers: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let first = "insert into runs (name, tenant) values ('first', 'house') on conflict do nothing";
        sqlx::query(first).execute(&mut stage.old().await).await.unwrap();
        let mut tasks = Vec::new();
        for number in 0..writers {
            let (mut conn, stop, done) = (stage.old().await, Arc::clone(&stop), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                let mut written = BTreeMap::new();
                let mut n = 0;
                while !stop.load(Ordering::Acquire) {
                    write(&mut conn, number, n, &mut written).await;
                    n += 1;
                    done.fetch_add(1, Ordering::AcqRel);
                }
                written
            }));
        }
        let (mut conn, stops) = (stage.old().await, Arc::clone(&stop));
        let reader = tokio::spawn(async move {
            let mut most = 0;
            while !stops.load(Ordering::Acquire) {
                let sql = "select count(*) from documents d join runs r on r.id = d.run_id where d.warn = 0";
                let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
                assert!(count >= most, "{count} of {most} documents are to be seen");
                most = count;
            }
        });
        let application = Self {
            stop,
            done,
            writers: tasks,
            reader,
        };
        application.has_written(20).await;
        application
    }

    /// Waits until so much more was written.
    pub(super) async fn has_written(&self, more: u64) {
        let aim = self.done.load(Ordering::Acquire) + more;
        while self.done.load(Ordering::Acquire) < aim {
            assert!(
                !self.writers.iter().any(JoinHandle::is_finished) && !self.reader.is_finished(),
                "the old application failed"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Ends it, and compares what was acknowledged to it with what there is.
    pub(super) async fn end(self, stage: &Stage) {
        self.stop.store(true, Ordering::Release);
        self.reader.await.unwrap();
        let mut acknowledged = BTreeMap::new();
        for writer in self.writers {
            acknowledged.extend(writer.await.unwrap());
        }
        let there: Vec<(String, i32)> =
            sqlx::query_as("select filename, done from documents where email like 'writer-%'")
                .persistent(false)
                .fetch_all(&mut stage.admin().await)
                .await
                .unwrap();
        let count = there.len();
        let there: BTreeMap<_, _> = there.into_iter().collect();
        assert_eq!(there.len(), count, "a row is there twice");
        assert_eq!(there, acknowledged);
    }
}

/// One that is new, one that is changed, one that is gone, each with its lines.
async fn write(conn: &mut PgConnection, number: usize, n: u32, written: &mut BTreeMap<String, i32>) {
    let email = format!("writer-{number}");
    for name in [format!("{number}/{n}"), format!("{number}/{}", n / 2)] {
        sqlx::query(UPSERT)
            .bind(&name)
            .bind(&email)
            .execute(&mut *conn)
            .await
            .unwrap();
        *written.entry(name).or_insert(-1) += 1;
    }
    let name = format!("{number}/{n}");
    sqlx::query("insert into lines (document_id, number) select id, $2 from documents where filename = $1")
        .bind(&name)
        .bind(i32::try_from(n).unwrap())
        .execute(&mut *conn)
        .await
        .unwrap();
    if n % 5 == 4 {
        let gone = format!("{number}/{}", n / 2);
        let deleted = sqlx::query("delete from documents where filename = $1 and email = $2 and warn = 1")
            .bind(&gone)
            .bind(&email)
            .execute(&mut *conn)
            .await
            .unwrap();
        assert_eq!(deleted.rows_affected(), 0);
    }
}
