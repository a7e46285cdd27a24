//! Clients that are moved, and who works for them meanwhile.

#![expect(clippy::disallowed_methods, reason = "makes the rows of the bench")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientId, RelocateTo, TenantDb};
use tokio::task::JoinHandle;

pub(crate) static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

pub(crate) async fn admin(fixture: &Fixture, database: &str) -> PgConnection {
    let options = fixture.admin_options(&fixture.database(database));
    options.connect().await.unwrap()
}

pub(crate) async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .unwrap();
}

/// Conversations of a client, with nine lines each of so many bytes.
pub(crate) async fn fill(conn: &mut PgConnection, client: ClientId, conversations: u32, bytes: u32) {
    let sql = format!(
        "insert into conversations (client_id, user_id, title)
         select '{client}', 'user-' || n % 100, 'title ' || n from generate_series(1, {conversations}) n;
         insert into conversation_transcripts (client_id, conversation_id, user_id, role, content, metadata)
         select c.client_id, c.id, c.user_id, 'user', repeat(md5(c.id::text || n), {bytes} / 32), jsonb_build_object('n', n)
         from conversations c cross join generate_series(1, 9) n where c.client_id = '{client}'"
    );
    run(conn, &sql).await;
}

pub(crate) async fn own_database(fixture: &Fixture, name: &str, client: ClientId) -> RelocateTo {
    let database = fixture.dedicated_database(name, client).await.unwrap();
    RelocateTo::dedicated(fixture.app_url(&database), fixture.admin_url(&database))
}

/// Whoever writes at a steady pace, and how long each write took.
pub(crate) struct Paced {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Duration>>>,
}

impl Paced {
    /// So many writes a second, by tasks that each have a document of their own and change it.
    pub(crate) async fn begin(clients: Vec<TenantDb>, each_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = u32::try_from(clients.len()).unwrap();
        let pause = Duration::from_secs(1) * tasks / each_second;
        let mut running = Vec::new();
        for db in clients {
            let title = uuid::Uuid::new_v4().to_string();
            db.insert("documents")
                .set("title", title.as_str())
                .set("content", "0")
                .execute()
                .await
                .unwrap();
            let stop = Arc::clone(&stop);
            running.push(tokio::spawn(async move {
                let mut took = Vec::new();
                let mut pace = tokio::time::interval(pause);
                while !stop.load(Ordering::Acquire) {
                    pace.tick().await;
                    let began = Instant::now();
                    let count = (took.len() + 1).to_string();
                    let written = db
                        .update("documents")
                        .set("content", count.as_str())
                        .eq("title", title.as_str());
                    assert_eq!(written.execute().await.unwrap(), 1);
                    took.push(began.elapsed());
                }
                // What was acknowledged is there.
                let (content,): (String,) = db
                    .query("documents")
                    .columns(["content"])
                    .eq("title", title.as_str())
                    .fetch_one()
                    .await
                    .unwrap();
                assert_eq!(content, took.len().to_string(), "writes were lost");
                took
            }));
        }
        Self { stop, tasks: running }
    }

    /// How long each write took.
    pub(crate) async fn end(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Release);
        let mut took = Vec::new();
        for task in self.tasks {
            took.extend(task.await.unwrap());
        }
        took.sort();
        took
    }
}

/// What so large a share of them is below, in milliseconds.
pub(crate) fn quantile(sorted: &[Duration], at: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = ((sorted.len() as f64 - 1.0) * at).round() as usize;
    sorted
        .get(index)
        .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
