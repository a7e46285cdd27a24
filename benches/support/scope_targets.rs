//! What the scope may cost, beside statements in autocommit that nothing enforces a client of: `unscoped`, on a
//! pool of sqlx that does not ping.
//!
//! A service time is that of a statement without its wait for a connection: where all of eight connections are
//! busy, eight times the time over the statements done. A pool of sqlx spends time on every release; the ratio to
//! `held`, eight tasks with a connection each and no pool at all, is printed beside it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tenantry::{ConnectionOptions, PoolStatistics};
use tokio::runtime::Runtime;

use super::backend::{self, Memory};
use super::board::{fact, line};
use super::contestant::{Contestant, Statement};
use super::crew::{Call, Crew, Shift, take_turns};
use super::crowd::{Crowd, Draw};
use super::interleaved::{Budget, Samples, contest};
use super::parts::Parts;
use super::stage::{Network, Stage};

/// Connections of either side, and what a service time is counted by.
const CONNECTIONS: u32 = 8;
const TASKS: usize = 16;

/// On a Unix socket.
pub(crate) fn local(runtime: &Runtime, stage: &Stage, quick: bool) {
    let budget = Budget::of_statements(Network::Local, quick);
    let point = duel(
        runtime,
        &stage.pool,
        &stage.unsafe_unpinged,
        Statement::Point,
        budget,
    );
    at_most("pool / unscoped, point select", &point, 1.7);
    let (turns, rounds) = if quick { (5, 1) } else { (1_000, 7) };
    costs(runtime.block_on(Parts::measure(stage, turns, rounds)));
    runtime.block_on(memory(stage));
}

/// Through a proxy that adds half a millisecond each way.
pub(crate) fn delayed(runtime: &Runtime, stage: &Stage, quick: bool) {
    let budget = Budget::of_statements(Network::Delayed, quick);
    let unscoped = &stage.unsafe_unpinged;
    for statement in [Statement::Point, Statement::Update] {
        let samples = duel(runtime, &stage.pool, unscoped, statement, budget);
        let name = format!("pool / unscoped, {}, delayed", statement.name());
        at_most(&name, &samples, 1.05);
    }

    let one = ConnectionOptions::default().max_connections(1);
    let manager = runtime.block_on(stage.manager_with(one));
    let handle = |client| runtime.block_on(manager.tenant(client)).unwrap();
    let (acme, bolt) = (handle(stage.acme.id), handle(stage.bolt.id));
    let transaction = Arc::new(Contestant::transaction("x", acme.clone()));
    let samples = duel(runtime, &transaction, unscoped, Statement::Point, budget);
    at_most("begin, select, commit / unscoped select, delayed", &samples, 3.05);

    let rebound = Arc::new(Contestant::alternating("y", vec![acme, bolt]));
    for (name, ours, target) in [
        ("by hand, no ping / pool on a re-bind, delayed", &rebound, 1.7),
        ("by hand, no ping / pool when bound, delayed", &stage.pool, 3.0),
    ] {
        let samples = duel(runtime, ours, &stage.scoped_unpinged, Statement::Point, budget);
        let faster = 1.0 / samples.ratio();
        at_least(name, &format!("{faster:.2}x"), faster, target);
    }
    runtime.block_on(manager.close());

    crowds(runtime, stage, quick);
}

/// Many tasks over few connections.
fn crowds(runtime: &Runtime, stage: &Stage, quick: bool) {
    let (count, rounds, counted) = if quick { (20, 1, 5) } else { (1_000, 12, 120) };
    let shift = Shift {
        start: Duration::from_millis(if quick { 1 } else { 10 }),
        counted: Duration::from_millis(counted),
    };
    let connections = ConnectionOptions::default()
        .max_connections(CONNECTIONS)
        .max_client_share(CONNECTIONS);
    let crowd = runtime.block_on(Crowd::gather(stage, count, connections));
    // A pool of sqlx is made inside a runtime.
    let pool: PgPool = runtime.block_on(async {
        PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .test_before_acquire(false)
            .connect_lazy_with(stage.unscoped_options())
    });
    // Ours beside the connections that are held, and beside a pool.
    let compete = |tasks, call, draw: Draw| {
        let crews = [
            Crew::tenantry(tasks, &crowd, call, &draw),
            runtime.block_on(Crew::held(CONNECTIONS as usize, stage, &crowd, call, &draw)),
            Crew::pool(tasks, &pool, &crowd, call, &draw),
        ];
        let before = statistics(&crowd);
        let samples = runtime.block_on(runtime.spawn(take_turns(crews, shift, rounds)));
        (samples.unwrap(), hits(before, statistics(&crowd)))
    };

    let everyone = crowd.dbs.len();
    for (who, call, draw, target) in [
        ("a Zipf client of", Call::Point, Draw::zipf(everyone), 1.75),
        (
            "rpc of a uniform client of",
            Call::Function,
            Draw::uniform(everyone),
            2.2,
        ),
    ] {
        let (samples, hits) = compete(TASKS, call, draw);
        let name = format!("service time, {who} {everyone} / unscoped, delayed");
        let measured = format!(
            "{:.2}x ({:.2} ms, {hits:.0}% hits)",
            samples[1].ratio(),
            samples[1].ours() * f64::from(CONNECTIONS) * 1e3
        );
        line(
            &name,
            &measured,
            &format!("<= {target:.2}x"),
            samples[1].ratio() <= target,
        );
        fact("  the same / held", &format!("{:.2}x", samples[0].ratio()));
    }

    let name = |tasks| format!("throughput of {tasks} tasks / unscoped, bound, delayed");
    let (samples, _) = compete(TASKS, Call::Point, Draw::uniform(1));
    let more = 1.0 / samples[1].ratio();
    at_least(&name(TASKS), &throughput(&samples[1]), more, 1.6);
    let of_held = format!("{:.2}x", 1.0 / samples[0].ratio());
    fact("  the same / held", &of_held);
    let (samples, _) = compete(64, Call::Point, Draw::uniform(1));
    fact(&name(64), &throughput(&samples[1]));
    runtime.block_on(async {
        pool.close().await;
        crowd.manager.close().await;
    });
}

fn statistics(crowd: &Crowd) -> PoolStatistics {
    crowd.dbs[0].pool_statistics().unwrap()
}

/// Of those who took a connection, how many in a hundred found it bound to their client.
#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^52 statements")]
fn hits(before: PoolStatistics, after: PoolStatistics) -> f64 {
    let (hits, binds) = (after.hits - before.hits, after.binds - before.binds);
    hits as f64 * 100.0 / (hits + binds).max(1) as f64
}

/// How many times as many statements, and how many in a second.
fn throughput(samples: &Samples) -> String {
    let more = 1.0 / samples.ratio();
    format!("{more:.2}x ({:.0}/s)", 1.0 / samples.ours())
}

/// The parts of the scope, each with what it adds to the one before.
fn costs(parts: Parts) {
    let steps = [
        ("cost of a point select, unscoped, server CPU", parts.unscoped),
        ("cost of a policy on a setting", parts.by_setting),
        ("cost of the kernel's policy, without its lock", parts.lockless),
        ("cost of the kernel's policy", parts.kernel),
    ];
    let mut before = None;
    for (name, micros) in steps {
        let measured = match (before, micros) {
            (Some(before), Some(micros)) => format!("{micros:.1} µs ({:+.1})", micros - before),
            (None, Some(micros)) => format!("{micros:.1} µs"),
            (_, None) => "n/a".to_owned(),
        };
        fact(name, &measured);
        before = micros;
    }
    let bind = parts.bind.map(|micros| format!("{micros:.1} µs"));
    fact("cost of a bind", bind.as_deref().unwrap_or("n/a"));
}

/// What a connection takes of the server's memory while it is idle: ours, bound, beside one of sqlx that ran
/// the same statements.
async fn memory(stage: &Stage) {
    let one = ConnectionOptions::default().max_connections(1);
    let pool = stage.fixture.database("pool-1");
    let before = backend::pids(&stage.fixture, &pool).await;
    let manager = stage.manager_with(one).await;
    let ours = Contestant::tenantry("m", manager.tenant(stage.acme.id).await.unwrap());
    let ours = idle_after(stage, &ours, &pool, &before).await;

    let before = backend::pids(&stage.fixture, &stage.hand).await;
    let options = stage.fixture.app_options(&stage.hand);
    let raw = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let theirs = Contestant::scoped("n", raw.clone(), stage.acme.id.as_uuid());
    let theirs = idle_after(stage, &theirs, &stage.hand, &before).await;
    manager.close().await;
    raw.close().await;

    let told = |memory: Option<Memory>| {
        let mib = |kib: u64| f64::from(u32::try_from(kib).unwrap()) / 1024.0;
        memory.map_or_else(
            || "n/a".to_owned(),
            |memory| format!("{:.1} MiB ({:.1} its own)", mib(memory.all), mib(memory.own)),
        )
    };
    fact("memory of an idle connection, bound", &told(ours));
    fact("memory of an idle connection, raw sqlx", &told(theirs));
}

/// The memory of the one server process more that there is after the contestant did everything.
async fn idle_after(
    stage: &Stage,
    contestant: &Contestant,
    database: &str,
    before: &[i32],
) -> Option<Memory> {
    for _ in 0..20 {
        for statement in Statement::ALL {
            contestant.run(statement).await;
        }
    }
    let pids = backend::pids(&stage.fixture, database).await;
    let new = pids.into_iter().find(|pid| !before.contains(pid))?;
    backend::memory(new)
}

fn duel(
    runtime: &Runtime,
    ours: &Arc<Contestant>,
    theirs: &Arc<Contestant>,
    statement: Statement,
    budget: Budget,
) -> Samples {
    let contest = contest(Arc::clone(ours), Arc::clone(theirs), statement, budget);
    runtime.block_on(runtime.spawn(contest)).unwrap()
}

fn at_most(name: &str, samples: &Samples, target: f64) {
    let ratio = samples.ratio();
    line(
        name,
        &format!("{ratio:.2}x"),
        &format!("<= {target:.2}x"),
        ratio <= target,
    );
}

fn at_least(name: &str, measured: &str, value: f64, target: f64) {
    line(name, measured, &format!(">= {target:.2}x"), value >= target);
}
