//! A table that becomes that of many clients, under one that writes to it.

#![expect(clippy::disallowed_methods, reason = "has a writer, and goes by hand")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{Assign, ClientId, Retrofit};
use tokio::task::JoinHandle;

use super::board::{fact, line};
use super::movers::{admin, run};

static NONE: Migrator = Migrator::DEFAULT;

const TABLE: &str = "create table documents (
    id bigserial primary key, filename text not null, email text not null, tenant text not null,
    done integer not null default 0, warn integer not null default 0, failed integer not null default 0,
    constraint documents_of_whom unique (filename, email))";

/// How long a writer may be kept.
const LONGEST: f64 = 50.0;

pub(crate) async fn measure(quick: bool) {
    let rows = if quick { 2_000 } else { 1_000_000 };
    fact("a table under a writer", &format!("{rows} rows"));
    // What the machine does to a writer by itself, for about as long as the rest takes.
    let (stage, _) = Stage::start(rows).await;
    let told = Writer::alone(&stage, if quick { 500 } else { 5_000 }).await;
    fact("a writer with nobody beside it: longest, p99.9", &told.text());
    stage.close().await;

    for (name, by_column) in [
        ("all rows to one client", false),
        ("rows by a column, in batches", true),
    ] {
        let (stage, house) = Stage::start(rows).await;
        stage
            .retrofitted(name, house, by_column, rows)
            .await
            .close()
            .await;
    }
    let (stage, house) = Stage::start(rows).await;
    stage.in_one_go(house, rows).await.close().await;
}

struct Stage {
    fixture: Fixture,
    admin: PgConnection,
    /// The role of the old application.
    old: String,
}

impl Stage {
    async fn start(rows: u32) -> (Self, ClientId) {
        let fixture = Fixture::start(&NONE).await.unwrap();
        let house = fixture.shared_client("house").await.unwrap().id;
        let mut admin = admin(&fixture, "pool-1").await;
        run(&mut admin, TABLE).await;
        let sql = format!(
            "insert into documents (filename, email, tenant)
             select n || '.pdf', 'user-' || n % 1000 || '@example.org', 'house' from generate_series(1, {rows}) n"
        );
        run(&mut admin, &sql).await;
        run(&mut admin, "vacuum analyze documents").await;
        let old = fixture.database("old");
        let superuser = fixture.server().connect_options(&fixture.database("pool-1"));
        let mut superuser: PgConnection = superuser.connect().await.unwrap();
        // A server that has run for a while has segments of its log to use again. A new one fills each of 16 MB with
        // zeros while all who write wait, whoever has it be written: some 80 ms here.
        run(&mut superuser, "alter system set wal_init_zero = off").await;
        run(&mut superuser, "select pg_reload_conf()").await;
        let role =
            format!("create role {old} login; grant select, insert, update, delete on documents to {old}");
        run(&mut superuser, &role).await;
        (Self { fixture, admin, old }, house)
    }

    async fn close(self) {
        let superuser = self
            .fixture
            .server()
            .connect_options(&self.fixture.database("pool-1"));
        let mut superuser: PgConnection = superuser.connect().await.unwrap();
        let old = &self.old;
        run(&mut superuser, &format!("drop owned by {old}; drop role {old}")).await;
        drop(superuser);
        self.fixture.close().await;
    }

    async fn bytes(&mut self) -> i64 {
        sqlx::query_scalar("select pg_total_relation_size('documents')")
            .fetch_one(&mut self.admin)
            .await
            .unwrap()
    }

    async fn retrofitted(mut self, name: &str, house: ClientId, by_column: bool, rows: u32) -> Self {
        let assign = if by_column {
            Assign::from_column("tenant", [("house", house)])
        } else {
            Assign::to(house)
        };
        let retrofit = Retrofit::new(self.fixture.platform().clone(), self.fixture.pool(), assign)
            .bridge(self.old.as_str(), house);
        let before = self.bytes().await;
        let writer = Writer::begin(&self).await;
        let began = Instant::now();
        retrofit.start().await.unwrap();
        let prepared = began.elapsed();
        let most = self.bytes().await;
        retrofit.protect().await.unwrap();
        let took = began.elapsed();
        let told = writer.end().await;
        let after = self.bytes().await;
        line(
            &format!("{name}: the longest that a writer took, p99.9"),
            &told.text(),
            "<= 50 ms",
            told.longest() <= LONGEST,
        );
        let pace = f64::from(rows) / took.as_secs_f64();
        fact(
            &format!("{name}: prepared, in all"),
            &format!(
                "{:.1} s, {:.1} s, {pace:.0} rows/s",
                prepared.as_secs_f64(),
                took.as_secs_f64()
            ),
        );
        fact(
            &format!("{name}: before, most, after"),
            &megabytes(&[before, most, after]),
        );
        let writer = Writer::begin(&self).await;
        let began = Instant::now();
        retrofit.rollback().await.unwrap();
        let took = began.elapsed();
        let told = writer.end().await;
        line(
            &format!("{name}: back, in {:.1} s: longest, p99.9", took.as_secs_f64()),
            &told.text(),
            "<= 50 ms",
            told.longest() <= LONGEST,
        );
        self
    }

    /// As it is written in a hurry.
    async fn in_one_go(mut self, house: ClientId, rows: u32) -> Self {
        let before = self.bytes().await;
        let writer = Writer::begin(&self).await;
        let began = Instant::now();
        let sql = format!(
            "alter table documents add column client_id uuid not null default '{house}';
             create unique index documents_by_client on documents (client_id, filename, email);
             alter table documents drop constraint documents_of_whom;
             alter table documents drop constraint documents_pkey, add primary key (client_id, id);
             select tenantry.protect('documents'); select tenantry.open_bridge('{}', '{house}')",
            self.old
        );
        run(&mut self.admin, &sql).await;
        let took = began.elapsed();
        let told = writer.end().await;
        let after = self.bytes().await;
        fact("in one go: longest, p99.9", &told.text());
        let pace = f64::from(rows) / took.as_secs_f64();
        fact(
            "in one go: in all",
            &format!("{:.1} s, {pace:.0} rows/s", took.as_secs_f64()),
        );
        fact("in one go: before, after", &megabytes(&[before, after]));
        self
    }
}

fn megabytes(sizes: &[i64]) -> String {
    let sizes: Vec<String> = sizes.iter().map(|size| (size / 1_000_000).to_string()).collect();
    format!("{} MB", sizes.join(", "))
}

/// The old application: one that changes a row every other millisecond, and knows of no client.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Duration>>,
}

struct Told(Vec<Duration>);

impl Writer {
    /// So many writes with nobody beside.
    async fn alone(stage: &Stage, writes: usize) -> Told {
        Self::write(stage, writes).await.told().await
    }

    /// Writes until it is ended.
    async fn begin(stage: &Stage) -> Self {
        Self::write(stage, usize::MAX).await
    }

    async fn write(stage: &Stage, most: usize) -> Self {
        let server = stage.fixture.server();
        let options = server
            .connect_options(&stage.fixture.database("pool-1"))
            .username(&stage.old);
        let mut conn: PgConnection = options.connect().await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let before: i64 = sqlx::query_scalar("select sum(done)::int8 from documents")
            .persistent(false)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        let task = tokio::spawn(async move {
            let mut took = Vec::new();
            let mut pace = tokio::time::interval(Duration::from_millis(2));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while took.len() < most && !stops.load(Ordering::Acquire) {
                pace.tick().await;
                let began = Instant::now();
                sqlx::query("update documents set done = done + 1 where id = $1")
                    .bind(i64::try_from(took.len() % 1_000).unwrap() + 1)
                    .execute(&mut conn)
                    .await
                    .unwrap();
                took.push(began.elapsed());
            }
            let done: i64 = sqlx::query_scalar("select sum(done)::int8 from documents")
                .persistent(false)
                .fetch_one(&mut conn)
                .await
                .unwrap();
            assert_eq!(
                done - before,
                i64::try_from(took.len()).unwrap(),
                "writes were lost"
            );
            took
        });
        Self { stop, task }
    }

    async fn end(self) -> Told {
        self.stop.store(true, Ordering::Release);
        self.told().await
    }

    async fn told(self) -> Told {
        let mut took = self.task.await.unwrap();
        took.sort();
        Told(took)
    }
}

impl Told {
    fn longest(&self) -> f64 {
        super::movers::quantile(&self.0, 1.0)
    }

    fn text(&self) -> String {
        format!(
            "{:.1}, {:.1} ms of {}",
            self.longest(),
            super::movers::quantile(&self.0, 0.999),
            self.0.len()
        )
    }
}
