//! A large client on its way, beside the ways that others have.

#![expect(clippy::disallowed_methods, reason = "moves rows by hand")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientId, Phase, Relocation, RelocationOptions, TenantDb};

use super::board::{fact, line};
use super::movers::{HOST, Paced, admin, fill, own_database, quantile, run};

pub(crate) async fn measure(quick: bool) {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap().id;
    let (conversations, neighbours) = if quick { (20, 3) } else { (20_000, 100) };
    let mut pool = admin(&fixture, "pool-1").await;
    fill(&mut pool, acme, conversations, 1_440).await;
    let mut others = Vec::new();
    for n in 0..neighbours {
        let client = fixture.shared_client(&format!("other-{n}")).await.unwrap().id;
        fill(&mut pool, client, if quick { 2 } else { 200 }, 320).await;
        others.push(client);
    }
    run(&mut pool, "vacuum analyze").await;
    let bytes: i64 = sqlx::query_scalar(
        "select (select sum(pg_column_size(t)) from conversation_transcripts t where client_id = $1)::int8
              + (select sum(pg_column_size(t)) from conversations t where client_id = $1)::int8",
    )
    .bind(acme)
    .fetch_one(&mut pool)
    .await
    .unwrap();
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = bytes as f64 / 1e6;
    fact(
        "a large client",
        &format!("{} rows, {megabytes:.0} MB", u64::from(conversations) * 10),
    );

    copied(&fixture, acme, megabytes, quick).await;
    let fast = RelocationOptions::default().plain_up_to(0);
    let fast = ("with 500 writes/s on it", "fast", fast);
    under_load(&fixture, acme, &others, megabytes, quick, fast).await;
    let gently = RelocationOptions::default()
        .plain_up_to(0)
        .parallel_tables(1)
        .max_bytes_per_second(20_000_000);
    let gently = ("the same, one table at a time, 20 MB/s", "gently", gently);
    under_load(&fixture, acme, &others, megabytes, quick, gently).await;
    by_hand(&fixture, others[0]).await;
    fixture.close().await;
}

/// Copying with nobody beside, in turns with a pipe between two `psql`.
async fn copied(fixture: &Fixture, acme: ClientId, megabytes: f64, quick: bool) {
    let rounds = if quick { 1 } else { 3 };
    let mut ratios = Vec::new();
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for round in 0..rounds {
        let name = format!("ours-{round}");
        let to = own_database(fixture, &name, acme).await;
        let relocation = Relocation::new(fixture.platform().clone())
            .options(RelocationOptions::default().plain_up_to(0).fence_attempts(1));
        let mut events = Box::pin(relocation.progress());
        let timing = tokio::spawn(async move {
            let mut began = None;
            while let Some(event) = events.next().await {
                if event.phase == Phase::Copying && began.is_none() {
                    began = Some(Instant::now());
                } else if event.phase == Phase::Following {
                    return began.map_or(0.0, |began| began.elapsed().as_secs_f64());
                }
            }
            0.0
        });
        relocation.start(acme, &to).await.unwrap();
        let a = timing.await.unwrap();
        relocation.revert(acme).await.unwrap();
        let piped = format!("piped-{round}");
        own_database(fixture, &piped, acme).await;
        let b = pipe(fixture, acme, &piped).await;
        ratios.push(b / a);
        (ours, theirs) = (ours.min(a), theirs.min(b));
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let measured = format!(
        "{ratio:.2}x ({:.0}, {:.0} MB/s)",
        megabytes / ours,
        megabytes / theirs
    );
    line(
        "copy / psql | psql, with keys and indexes",
        &measured,
        ">= 0.95x",
        ratio >= 0.95,
    );
}

/// Seconds to pipe the client's tables into a database that has them, empty.
async fn pipe(fixture: &Fixture, client: ClientId, into: &str) -> f64 {
    let psql = tools(fixture).await.join("psql");
    let began = Instant::now();
    pipes(fixture, client, into, &psql)
        .into_iter()
        .for_each(Pipe::run);
    began.elapsed().as_secs_f64()
}

/// One table on its way from one `psql` to another.
struct Pipe {
    reader: Command,
    writer: Command,
}

impl Pipe {
    fn run(mut self) {
        let mut reader = self.reader.stdout(Stdio::piped()).spawn().unwrap();
        let status = self.writer.stdin(reader.stdout.take().unwrap()).status().unwrap();
        assert!(status.success() && reader.wait().unwrap().success());
    }
}

fn pipes(fixture: &Fixture, client: ClientId, into: &str, psql: &Path) -> Vec<Pipe> {
    let from = fixture.admin_url(&fixture.database("pool-1"));
    let to = fixture.admin_url(&fixture.database(into));
    let says = |url: &str, sql: String| {
        let mut command = Command::new(psql);
        command.args(["-qX", "-c", &sql, "-d", url]);
        command
    };
    let tables = ["conversations", "conversation_transcripts", "documents", "agents"];
    let pipes = tables.iter().map(|table| Pipe {
        reader: says(
            &from,
            format!("copy (select * from {table} where client_id = '{client}') to stdout (format binary)"),
        ),
        writer: says(&to, format!("copy {table} from stdin (format binary)")),
    });
    pipes.collect()
}

/// Where the server's own programs are.
async fn tools(fixture: &Fixture) -> std::path::PathBuf {
    let options = fixture.server().connect_options("postgres");
    let mut superuser = options.connect().await.unwrap();
    let folder: String = sqlx::query_scalar("select setting from pg_config() where name = 'BINDIR'")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    folder.into()
}

/// The whole relocation and back, with writers on it and on others; how it is called, the database, and how it goes.
async fn under_load(
    fixture: &Fixture,
    acme: ClientId,
    others: &[ClientId],
    megabytes: f64,
    quick: bool,
    (name, database, options): (&str, &str, RelocationOptions),
) {
    let manager = fixture.manager().await.unwrap();
    manager.hears_changes().await;
    let to = own_database(fixture, database, acme).await;
    let relocation = Relocation::new(fixture.platform().clone()).options(options);
    let mut beside = Vec::new();
    for client in others.iter().take(10) {
        beside.push(manager.tenant(*client).await.unwrap());
    }
    let db = manager.tenant(acme).await.unwrap();
    let rate = if quick { 50 } else { 500 };
    let its_own = |db: &TenantDb| vec![db.clone(); 10];

    let quiet = (
        Paced::begin(its_own(&db), rate).await,
        Paced::begin(beside.clone(), 100).await,
    );
    tokio::time::sleep(Duration::from_secs(if quick { 1 } else { 10 })).await;
    let before = quiet.1.end().await;
    quiet.0.end().await;

    // What of it is the machine's: the same while two `psql` pipe the same rows.
    let piping = (
        Paced::begin(its_own(&db), rate).await,
        Paced::begin(beside.clone(), 100).await,
    );
    let piped = format!("{database}-piped");
    own_database(fixture, &piped, acme).await;
    let psql = tools(fixture).await.join("psql");
    let all = pipes(fixture, acme, &piped, &psql);
    let piped = tokio::task::spawn_blocking(move || all.into_iter().for_each(Pipe::run));
    piped.await.unwrap();
    let beside_pipe = piping.1.end().await;
    piping.0.end().await;

    let resident = resident();
    let moving = (
        Paced::begin(its_own(&db), rate).await,
        Paced::begin(beside, 100).await,
    );
    let began = Instant::now();
    let moved = relocation.start(acme, &to).await.unwrap();
    let took = began.elapsed();
    let during = moving.1.end().await;
    let writes = moving.0.end().await;
    let certificate = moved.certificate.unwrap();
    fact(
        &format!("{name}: in all"),
        &format!("{:.1} s", took.as_secs_f64()),
    );
    let fenced = Duration::from_micros(certificate.fenced_micros).as_secs_f64() * 1e3;
    fact(
        "  writers kept out; their longest write",
        &format!("{fenced:.1} ms; {:.1} ms", quantile(&writes, 1.0)),
    );
    let (was, is) = (quantile(&before, 0.99), quantile(&during, 0.99));
    let measured = format!("{:.2}x ({was:.1}, {is:.1} ms)", is / was);
    line(
        "  other clients' p99, during / before",
        &measured,
        "<= 1.3x",
        is / was <= 1.3,
    );
    let piped = quantile(&beside_pipe, 0.99);
    fact(
        "  the same beside psql | psql",
        &format!("{:.2}x ({piped:.1} ms)", piped / was),
    );
    let compared = Duration::from_micros(certificate.compared_micros).as_secs_f64();
    let rate = megabytes / compared;
    line(
        "  comparing, each side",
        &format!("{rate:.0} MB/s"),
        ">= 200",
        rate >= 200.0,
    );
    let more = self::resident().1.saturating_sub(resident.0) / 1024;
    line(
        "  memory, of all of this process",
        &format!("+{more} MiB"),
        "<= 64",
        more <= 64,
    );
    relocation.revert(acme).await.unwrap();
    manager.close().await;
}

/// What is resident now, and was at most, in KiB.
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// What people write: select everything, strip the client, insert it there in batches of 100, and change the route.
async fn by_hand(fixture: &Fixture, client: ClientId) {
    let manager = fixture.manager().await.unwrap();
    let db = manager.tenant(client).await.unwrap();
    own_database(fixture, "by-hand", client).await;
    let mut there = admin(fixture, "by-hand").await;
    let mut here = admin(fixture, "pool-1").await;
    for n in 0..2_000 {
        db.insert("documents")
            .set("title", format!("{n}"))
            .execute()
            .await
            .unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (db, stop) = (db.clone(), stop.clone());
        async move {
            let mut acknowledged = 0_u32;
            while !stop.load(Ordering::Acquire) {
                db.insert("documents")
                    .set("title", format!("late-{acknowledged}"))
                    .execute()
                    .await
                    .unwrap();
                acknowledged += 1;
            }
            acknowledged
        }
    });
    let rows: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("select id, title from documents where client_id = $1")
            .bind(client)
            .fetch_all(&mut here)
            .await
            .unwrap();
    for batch in rows.chunks(100) {
        insert(&mut there, batch).await;
    }
    stop.store(true, Ordering::Release);
    let acknowledged = writer.await.unwrap();
    let arrived: i64 = sqlx::query_scalar("select count(*) from documents where title like 'late-%'")
        .fetch_one(&mut there)
        .await
        .unwrap();
    let lost = i64::from(acknowledged) - arrived;
    fact(
        "by hand (select, insert, change the route)",
        &format!("{lost} of {acknowledged} writes lost"),
    );
    manager.close().await;
}

async fn insert(conn: &mut PgConnection, rows: &[(uuid::Uuid, String)]) {
    let values: Vec<String> = rows
        .iter()
        .map(|(id, title)| format!("('{id}', '{}')", title.replace('\'', "''")))
        .collect();
    let sql = format!("insert into documents (id, title) values {}", values.join(", "));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}
