//! What each part of the scope costs the server, in time on its processor.
//!
//! One prepared point select, again and again on raw connections, with one part more each time. The scope is
//! entered with tickets that the owner of the kernel makes in SQL, from the key that it keeps.

#![expect(
    clippy::disallowed_methods,
    reason = "speaks to the kernel past the library, part by part"
)]

use sqlx::postgres::PgConnectOptions;
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::backend::seconds_on_cpu;
use super::contestant::{AGENTS, Agent, Statement};
use super::stage::Stage;

/// Microseconds of a processor of the server, the median of the rounds. `None` where it does not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// A select of the tables' owner, whom no policy binds.
    pub(crate) unscoped: Option<f64>,
    /// Under a policy that compares with a setting.
    pub(crate) by_setting: Option<f64>,
    /// Under the kernel's policy, without the lock of the client.
    pub(crate) lockless: Option<f64>,
    pub(crate) kernel: Option<f64>,
    /// To bind a session.
    pub(crate) bind: Option<f64>,
}

impl Parts {
    /// On a stage without a proxy.
    pub(crate) async fn measure(stage: &Stage, turns: u32, rounds: usize) -> Self {
        let fixture = &stage.fixture;
        let acme = stage.acme.id.as_uuid();
        let pool = fixture.database("pool-1");
        let without = lockless_database(stage, acme).await;

        let mut unscoped = Session::connect(fixture.admin_options(&pool), acme).await;
        let mut by_setting = Session::connect(fixture.app_options(&stage.hand), acme).await;
        sqlx::query("select set_config('app.client', $1, false)")
            .bind(acme.to_string())
            .execute(&mut by_setting.conn)
            .await
            .unwrap();
        let mut lockless = Session::connect(fixture.app_options(&without), acme).await;
        let mut kernel = Session::connect(fixture.app_options(&pool), acme).await;
        let mut admin = connect(fixture.admin_options(&without)).await;
        lockless.bind(&mut admin, 1).await;
        admin.close().await.unwrap();
        let mut admin = connect(fixture.admin_options(&pool)).await;

        let mut measured: [Vec<Option<f64>>; 5] = Default::default();
        for _ in 0..rounds {
            measured[4].push(kernel.bind(&mut admin, turns.div_ceil(4)).await);
            let sessions = [&mut unscoped, &mut by_setting, &mut lockless, &mut kernel];
            for (measured, session) in measured.iter_mut().zip(sessions) {
                measured.push(session.select(turns).await);
            }
        }
        for conn in [unscoped.conn, by_setting.conn, lockless.conn, kernel.conn, admin] {
            conn.close().await.unwrap();
        }
        let [unscoped, by_setting, lockless, kernel, bind] = measured.map(median);
        Self {
            unscoped,
            by_setting,
            lockless,
            kernel,
            bind,
        }
    }
}

struct Session {
    conn: PgConnection,
    pid: i32,
    client: Uuid,
}

impl Session {
    async fn connect(options: PgConnectOptions, client: Uuid) -> Self {
        let mut conn = connect(options).await;
        let pid = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        Self { conn, pid, client }
    }

    /// So many selects.
    async fn select(&mut self, turns: u32) -> Option<f64> {
        let before = seconds_on_cpu(self.pid);
        for turn in 0..turns {
            let _: Agent = sqlx::query_as(Statement::Point.sql(true))
                .bind(self.client)
                .bind(format!("agent-{}", u64::from(turn) % AGENTS))
                .fetch_one(&mut self.conn)
                .await
                .unwrap();
        }
        micros(before, seconds_on_cpu(self.pid), turns)
    }

    /// Binds so often, each time as the library does it. Making the tickets costs the admin's backend alone.
    async fn bind(&mut self, admin: &mut PgConnection, times: u32) -> Option<f64> {
        let mut turn: i64 = sqlx::query_scalar("select turn from tenantry.hello()")
            .fetch_one(&mut self.conn)
            .await
            .unwrap();
        let before = seconds_on_cpu(self.pid);
        for _ in 0..times {
            let ticket: String = sqlx::query_scalar(TICKET)
                .bind(self.client)
                .bind(self.pid)
                .bind(turn)
                .fetch_one(&mut *admin)
                .await
                .unwrap();
            let enter = format!("SELECT tenantry.enter('{ticket}') AS tenantry_status");
            let row = self
                .conn
                .fetch_one(sqlx::raw_sql(AssertSqlSafe(enter)))
                .await
                .unwrap();
            let status: String = row.try_get_unchecked("tenantry_status").unwrap();
            turn = status.strip_prefix("entered ").unwrap().parse().unwrap();
        }
        micros(before, seconds_on_cpu(self.pid), times)
    }
}

async fn connect(options: PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(&options).await.unwrap()
}

/// A pool database of its own, whose kernel takes no lock, with the agents of one client. Returns its name.
async fn lockless_database(stage: &Stage, client: Uuid) -> String {
    const NAME: &str = "lockless";
    stage.fixture.add_pool(NAME, 1).await.unwrap();
    let database = stage.fixture.database(NAME);
    let mut admin = connect(stage.fixture.admin_options(&database)).await;
    let function: String =
        sqlx::query_scalar("select pg_get_functiondef('tenantry.current_client()'::regprocedure)")
            .fetch_one(&mut admin)
            .await
            .unwrap();
    let mut lines: Vec<&str> = function.lines().collect();
    let before = lines.len();
    lines.retain(|line| !line.contains("pg_advisory_xact_lock_shared"));
    assert_eq!(lines.len() + 1, before, "the kernel takes its lock in one line");
    let lockless = lines.join("\n");
    sqlx::raw_sql(AssertSqlSafe(lockless))
        .execute(&mut admin)
        .await
        .unwrap();
    sqlx::query("select tenantry.place($1, 'active', 1)")
        .bind(client)
        .execute(&mut admin)
        .await
        .unwrap();
    // As many rows as the other databases have.
    sqlx::query(
        "insert into agents (client_id, slug, name, description)
         select client, 'agent-' || number, 'Agent ' || number, 'Answers what it is asked, and says so where it cannot.'
         from generate_series(0, $2 - 1) number, unnest(array[$1, gen_random_uuid()]) client",
    )
    .bind(client)
    .bind(i64::try_from(AGENTS).unwrap())
    .execute(&mut admin)
    .await
    .unwrap();
    admin.close().await.unwrap();
    database
}

const TICKET: &str = "
select body || encode(tenantry.mac(key.inner_pad, key.outer_pad, convert_to(body, 'UTF8')), 'hex')
from (select * from tenantry.scope_keys order by key_id desc limit 1) key,
     tenantry.placement p,
     concat(
         lpad(to_hex(key.key_id), 8, '0'),
         replace(p.client_id::text, '-', ''),
         lpad(to_hex(p.epoch), 16, '0'),
         lpad(to_hex($2::integer), 8, '0'),
         lpad(to_hex($3::bigint), 16, '0'),
         lpad(to_hex(extract(epoch from clock_timestamp())::bigint + 30), 16, '0')) body
where p.client_id = $1
";

fn micros(before: Option<f64>, after: Option<f64>, turns: u32) -> Option<f64> {
    Some((after? - before?) * 1e6 / f64::from(turns))
}

fn median(measured: Vec<Option<f64>>) -> Option<f64> {
    let mut measured: Vec<f64> = measured.into_iter().collect::<Option<_>>()?;
    measured.sort_by(f64::total_cmp);
    measured.get(measured.len() / 2).copied()
}
