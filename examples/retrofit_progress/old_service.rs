//! The progress service as it always was: it knows of no client.
#![expect(
    clippy::disallowed_methods,
    reason = "the SQL of an old application, in tasks that it ends"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;

use super::Outcome;

/// A writer and a reader, who go on whatever is done to their tables.
pub(crate) struct OldService {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<sqlx::Result<Told>>,
    reader: JoinHandle<sqlx::Result<Told>>,
    written: Arc<AtomicU64>,
}

/// What was acknowledged, and how long the longest call took.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) calls: u64,
    pub(crate) longest: Duration,
}

const REPORT: &str = "insert into documents (filename, email, done) values ($1, 'writer@example.org', 1)
    on conflict on constraint documents_filename_email_key do update set done = documents.done + 1";

impl OldService {
    pub(crate) async fn begin(url: &str) -> Outcome<Self> {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = tokio::spawn(write(
            PgConnection::connect(url).await?,
            Arc::clone(&stop),
            Arc::clone(&written),
        ));
        let reader = tokio::spawn(read(PgConnection::connect(url).await?, Arc::clone(&stop)));
        let service = Self {
            stop,
            writer,
            reader,
            written,
        };
        service.goes_on().await?;
        Ok(service)
    }

    /// Waits until it has written some more.
    pub(crate) async fn goes_on(&self) -> Outcome<()> {
        let aim = self.written.load(Ordering::Acquire) + 50;
        while self.written.load(Ordering::Acquire) < aim {
            if self.writer.is_finished() || self.reader.is_finished() {
                return Err("the old service failed".into());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// What the writer and the reader have to tell.
    pub(crate) async fn end(self) -> Outcome<(Told, Told)> {
        self.stop.store(true, Ordering::Release);
        Ok((self.writer.await??, self.reader.await??))
    }
}

impl Told {
    fn called(&mut self, began: Instant) {
        self.calls += 1;
        self.longest = self.longest.max(began.elapsed());
    }
}

/// Each file is reported twice.
async fn write(mut conn: PgConnection, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) -> sqlx::Result<Told> {
    let mut told = Told::default();
    while !stop.load(Ordering::Acquire) {
        let file = format!("report-{}.pdf", told.calls / 2);
        let began = Instant::now();
        sqlx::query(REPORT).bind(file).execute(&mut conn).await?;
        told.called(began);
        written.fetch_add(1, Ordering::AcqRel);
    }
    Ok(told)
}

async fn read(mut conn: PgConnection, stop: Arc<AtomicBool>) -> sqlx::Result<Told> {
    let mut told = Told::default();
    let sql = "select done, warn, failed from documents where filename = $1 and email = $2";
    while !stop.load(Ordering::Acquire) {
        let began = Instant::now();
        let row: Option<(i32, i32, i32)> = sqlx::query_as(sql)
            .bind(format!("{}.pdf", told.calls % 1_000))
            .bind("ada@example.org")
            .fetch_optional(&mut conn)
            .await?;
        told.called(began);
        if row.is_none() {
            return Err(sqlx::Error::RowNotFound);
        }
    }
    Ok(told)
}
