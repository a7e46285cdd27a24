//! What it costs to bring many databases to one version, beside a plain loop over them.
//!
//! Run it with `cargo bench --bench fleet`: 50 databases, or 1,000 with `TENANTRY_LONG=1`. They are databases, not
//! schemas. The loop is sqlx's own migrator: a connection to one database after the other, `run`, close.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "asks the server for its sessions")]

use std::time::{Duration, Instant};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr as _};
use tenantry::testing::Fixture;
use tenantry::{Fleet, FleetOptions, FleetReport};

/// The host's migrations up to that version.
fn host(newest: i64) -> &'static Migrator {
    const STEPS: [&str; 5] = [
        "create table notes (client_id uuid not null, id uuid not null default gen_random_uuid(), body text not null,
                             primary key (client_id, id));
         select tenantry.protect('notes')",
        "alter table notes add column a text",
        "alter table notes add column b text",
        "alter table notes add column c text",
        "alter table notes add column d text",
    ];
    let migrations = (1..=newest).zip(STEPS).map(|(version, sql)| {
        let name = format!("step {version}").into();
        Migration::new(version, name, MigrationType::Simple, sql.into_sql_str(), false)
    });
    Box::leak(Box::new(Migrator::with_migrations(migrations.collect())))
}

struct Town {
    fixture: Fixture,
    names: Vec<String>,
}

impl Town {
    /// One in five is of one client.
    async fn build(databases: usize) -> Self {
        let fixture = Fixture::start(host(1)).await.unwrap();
        let mut names = vec!["pool-1".to_owned()];
        for number in 1..databases {
            let name = if number % 5 == 0 {
                let name = format!("client-{number}");
                fixture.dedicated_client(&name).await.unwrap();
                name
            } else {
                let name = format!("pool-{}", number + 1);
                fixture.add_pool(&name, 10).await.unwrap();
                name
            };
            names.push(name);
        }
        Self { fixture, names }
    }

    /// What the loop does; says how long it took.
    async fn plainly(&self, newest: i64) -> Duration {
        let migrator = host(newest);
        let began = Instant::now();
        for name in &self.names {
            let url = self.fixture.admin_url(&self.fixture.database(name));
            let mut conn = PgConnection::connect(&url).await.unwrap();
            migrator.run(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        }
        began.elapsed()
    }

    async fn fleet(&self, newest: i64, at_once: usize) -> FleetReport {
        let options = FleetOptions::default().at_once(at_once);
        let fleet = Fleet::new(self.fixture.platform().clone(), host(newest)).options(options);
        let report = fleet.migrate().report().await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        report
    }

    /// How many sessions of the data databases there were so far, once all have ended.
    async fn sessions(&self) -> i64 {
        let mut superuser = PgConnection::connect_with(&self.fixture.server().connect_options("postgres"))
            .await
            .unwrap();
        let names: Vec<_> = self
            .names
            .iter()
            .map(|name| self.fixture.database(name))
            .collect();
        loop {
            let open: i64 =
                sqlx::query_scalar("select count(*) from pg_stat_activity where datname = any ($1)")
                    .bind(&names)
                    .fetch_one(&mut superuser)
                    .await
                    .unwrap();
            if open == 0 {
                break;
            }
        }
        let sessions: Option<i64> =
            sqlx::query_scalar("select sum(sessions)::int8 from pg_stat_database where datname = any ($1)")
                .bind(&names)
                .fetch_one(&mut superuser)
                .await
                .unwrap();
        sessions.unwrap()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn measure(databases: usize, repeat: i64) {
    let town = Town::build(databases).await;
    println!("{databases} databases                     time   connections");
    // Known, from here on.
    town.fleet(1, 4).await;

    let before = town.sessions().await;
    let mut times = Vec::new();
    for _ in 0..repeat {
        times.push(town.fleet(1, 4).await.elapsed);
    }
    let after = town.sessions().await;
    println!(
        "  nothing to do, fleet        {:>9.1?}   {:>5}",
        median(times),
        (after - before) / repeat
    );

    let mut times = Vec::new();
    for _ in 0..repeat {
        times.push(town.plainly(1).await);
    }
    let plainly = town.sessions().await;
    println!(
        "  nothing to do, loop         {:>9.1?}   {:>5}",
        median(times),
        (plainly - after) / repeat
    );

    let mut before = plainly;
    for (newest, at_once) in [(2, 1), (3, 4), (4, 8)] {
        let report = town.fleet(newest, at_once).await;
        let after = town.sessions().await;
        println!(
            "  one migration, fleet, {at_once} at once {:>6.1?}   {:>5}",
            report.elapsed,
            after - before
        );
        before = after;
    }
    let time = town.plainly(5).await;
    println!(
        "  one migration, loop         {time:>9.1?}   {:>5}",
        town.sessions().await - before
    );
    town.fixture.close().await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");
    let long = std::env::var("TENANTRY_LONG").as_deref() == Ok("1");
    let (databases, repeat) = match (quick, long) {
        (true, _) => (6, 1),
        (false, false) => (50, 5),
        (false, true) => (1_000, 3),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(databases, repeat));
}
