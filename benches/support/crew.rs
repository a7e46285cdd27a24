//! Many tasks that ask at once, over few connections: how much they get done.

#![expect(
    clippy::disallowed_methods,
    reason = "writes by hand what the crate is measured against"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection, PgExecutor, PgPool};
use tenantry::TenantDb;
use tokio::task::JoinSet;

use super::contestant::{Agent, COLUMNS, Statement};
use super::crowd::{Crowd, Draw, NAME_OF, SLUG};
use super::interleaved::Samples;
use super::stage::Stage;

/// What every task asks, of a client that it draws each time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// The agent by its slug.
    Point,
    /// The same by a function of the host's.
    Function,
}

/// Tasks of one side, which work in shifts.
pub(crate) struct Crew {
    workers: Vec<Worker>,
}

struct Worker {
    door: Door,
    call: Call,
    draw: Draw,
}

enum Door {
    Tenantry(Arc<[TenantDb]>),
    /// Unscoped, on a pool of sqlx.
    Pool(PgPool, Arc<[Uuid]>),
    /// Unscoped, on a connection of the worker's own: no pool at all.
    Held(PgConnection, Arc<[Uuid]>),
}

/// How long a shift is. What is done while all get going is not counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    pub(crate) start: Duration,
    pub(crate) counted: Duration,
}

impl Crew {
    pub(crate) fn tenantry(tasks: usize, crowd: &Crowd, call: Call, draw: &Draw) -> Self {
        Self::of(tasks, call, draw, || Door::Tenantry(Arc::clone(&crowd.dbs)))
    }

    pub(crate) fn pool(tasks: usize, pool: &PgPool, crowd: &Crowd, call: Call, draw: &Draw) -> Self {
        Self::of(tasks, call, draw, || {
            Door::Pool(pool.clone(), Arc::clone(&crowd.ids))
        })
    }

    /// A connection each.
    pub(crate) async fn held(tasks: usize, stage: &Stage, crowd: &Crowd, call: Call, draw: &Draw) -> Self {
        let mut doors = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            let conn = PgConnection::connect_with(&stage.unscoped_options())
                .await
                .unwrap();
            doors.push(Door::Held(conn, Arc::clone(&crowd.ids)));
        }
        Self::of(tasks, call, draw, || doors.pop().unwrap())
    }

    fn of(tasks: usize, call: Call, draw: &Draw, mut door: impl FnMut() -> Door) -> Self {
        let worker = |number| Worker {
            door: door(),
            call,
            draw: draw.seeded(number),
        };
        Self {
            workers: (1..).take(tasks).map(worker).collect(),
        }
    }

    /// Statements in a second.
    async fn work(&mut self, shift: Shift) -> f64 {
        let from = Instant::now() + shift.start;
        let until = from + shift.counted;
        let mut tasks = JoinSet::new();
        for worker in self.workers.drain(..) {
            tasks.spawn(worker.work(from, until));
        }
        let mut done = 0;
        while let Some(worked) = tasks.join_next().await {
            let (worker, count) = worked.unwrap();
            self.workers.push(worker);
            done += count;
        }
        f64::from(done.max(1)) / shift.counted.as_secs_f64()
    }

    pub(crate) async fn dismiss(self) {
        for worker in self.workers {
            if let Door::Held(conn, _) = worker.door {
                conn.close().await.unwrap();
            }
        }
    }
}

impl Worker {
    /// Says how many statements were done between those moments.
    async fn work(mut self, from: Instant, until: Instant) -> (Self, u32) {
        let mut done = 0;
        loop {
            self.ask().await;
            let now = Instant::now();
            if now >= until {
                return (self, done);
            }
            if now >= from {
                done += 1;
            }
        }
    }

    async fn ask(&mut self) {
        let who = self.draw.next();
        match (&mut self.door, self.call) {
            (Door::Tenantry(dbs), Call::Point) => {
                let select = dbs[who].query("agents").columns(COLUMNS).eq("slug", SLUG);
                let _: Agent = select.fetch_one().await.unwrap();
            }
            (Door::Tenantry(dbs), Call::Function) => {
                let call = dbs[who].rpc(NAME_OF).arg("p_slug", SLUG);
                let _: (String,) = call.fetch_one().await.unwrap();
            }
            (Door::Pool(pool, ids), call) => by_hand(&*pool, ids[who], call).await,
            (Door::Held(conn, ids), call) => by_hand(conn, ids[who], call).await,
        }
    }
}

async fn by_hand(on: impl PgExecutor<'_>, client: Uuid, call: Call) {
    match call {
        Call::Point => {
            let select = sqlx::query_as(Statement::Point.sql(true)).bind(client).bind(SLUG);
            let _: Agent = select.fetch_one(on).await.unwrap();
        }
        Call::Function => {
            let call = sqlx::query_as("select agent_name from agent_name(p_client_id => $1, p_slug => $2)");
            let _: (String,) = call.bind(client).bind(SLUG).fetch_one(on).await.unwrap();
        }
    }
}

/// The crews work in turns. Returns seconds for one statement of the first crew beside each of the others:
/// where all connections are busy, so many times as long is the service time of a statement.
pub(crate) async fn take_turns<const N: usize>(
    mut crews: [Crew; N],
    shift: Shift,
    rounds: usize,
) -> Vec<Samples> {
    // Connects, binds and prepares.
    for crew in &mut crews {
        crew.work(shift).await;
    }
    let mut samples = vec![Samples::default(); N - 1];
    for round in 0..rounds {
        let mut seconds = [0.0; N];
        for turn in 0..N {
            let crew = (round + turn) % N;
            seconds[crew] = 1.0 / crews[crew].work(shift).await;
        }
        for (samples, theirs) in samples.iter_mut().zip(&seconds[1..]) {
            samples.push_seconds(seconds[0], *theirs);
        }
    }
    for crew in crews {
        crew.dismiss().await;
    }
    samples
}
