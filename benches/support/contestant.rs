#![expect(
    clippy::disallowed_methods,
    reason = "writes by hand what the crate is measured against"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool, Postgres, Transaction};
use tenantry::{Order, TenantDb};

/// A row of the reference platform: what every contestant decodes.
#[derive(Debug, sqlx::FromRow)]
#[expect(dead_code, reason = "decoded and dropped")]
struct Agent {
    id: Uuid,
    slug: String,
    name: String,
    description: String,
    created_at: DateTime<Utc>,
}

pub(crate) const COLUMNS: [&str; 5] = ["id", "slug", "name", "description", "created_at"];

/// What every contestant can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Point,
    Twenty,
    Insert,
    Update,
}

impl Statement {
    pub(crate) const ALL: [Self; 4] = [Self::Point, Self::Twenty, Self::Insert, Self::Update];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Point => "point select",
            Self::Twenty => "20-row select",
            Self::Insert => "one-row insert",
            Self::Update => "one-row update",
        }
    }
}

/// Agents of a client that selects and updates find.
pub(crate) const AGENTS: u64 = 200;

/// A way to do the statements.
pub(crate) struct Contestant {
    /// Begins the slugs that it inserts: no two contestants insert the same.
    prefix: &'static str,
    turn: AtomicU64,
    way: Way,
}

enum Way {
    /// With this crate.
    Tenantry(TenantDb),
    /// One statement on a pool of sqlx, in a database of one client.
    Plain(PgPool),
    /// One statement on a pool of sqlx that names the client, and nothing that enforces it.
    Unsafe(PgPool, Uuid),
    /// What people write: begin, `set_config`, the statement, commit, under a policy of their own.
    Scoped(PgPool, Uuid),
}

impl Contestant {
    pub(crate) const fn tenantry(prefix: &'static str, db: TenantDb) -> Self {
        Self::new(prefix, Way::Tenantry(db))
    }

    pub(crate) const fn plain(prefix: &'static str, pool: PgPool) -> Self {
        Self::new(prefix, Way::Plain(pool))
    }

    pub(crate) const fn unscoped(prefix: &'static str, pool: PgPool, client: Uuid) -> Self {
        Self::new(prefix, Way::Unsafe(pool, client))
    }

    pub(crate) const fn scoped(prefix: &'static str, pool: PgPool, client: Uuid) -> Self {
        Self::new(prefix, Way::Scoped(pool, client))
    }

    const fn new(prefix: &'static str, way: Way) -> Self {
        Self {
            prefix,
            turn: AtomicU64::new(0),
            way,
        }
    }

    /// Does the statement once, to the decoded rows.
    pub(crate) async fn run(&self, statement: Statement) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let known = format!("agent-{}", turn % AGENTS);
        let new = format!("{}-{turn}", self.prefix);
        match &self.way {
            Way::Tenantry(db) => built(db, statement, &known, &new).await,
            Way::Plain(pool) => plain(pool, statement, &known, &new).await,
            Way::Unsafe(pool, client) => by_hand(pool, *client, statement, &known, &new).await,
            Way::Scoped(pool, client) => {
                let mut tx: Transaction<'_, Postgres> = pool.begin().await.unwrap();
                sqlx::query("select set_config('app.client', $1, true)")
                    .bind(client.to_string())
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                by_hand(&mut *tx, *client, statement, &known, &new).await;
                tx.commit().await.unwrap();
            }
        }
    }
}

async fn built(db: &TenantDb, statement: Statement, known: &str, new: &str) {
    match statement {
        Statement::Point => {
            let _: Agent = db
                .query("agents")
                .columns(COLUMNS)
                .eq("slug", known)
                .fetch_one()
                .await
                .unwrap();
        }
        Statement::Twenty => {
            let agents: Vec<Agent> = db
                .query("agents")
                .columns(COLUMNS)
                .order_by("created_at", Order::Desc)
                .limit(20)
                .fetch_all()
                .await
                .unwrap();
            assert_eq!(agents.len(), 20);
        }
        Statement::Insert => {
            let inserted = db
                .insert("agents")
                .set("slug", new)
                .set("name", "New")
                .execute()
                .await
                .unwrap();
            assert_eq!(inserted, 1);
        }
        Statement::Update => {
            let updated = db
                .update("agents")
                .set("name", new)
                .eq("slug", known)
                .execute()
                .await
                .unwrap();
            assert_eq!(updated, 1);
        }
    }
}

async fn by_hand(on: impl PgExecutor<'_>, client: Uuid, statement: Statement, known: &str, new: &str) {
    match statement {
        Statement::Point => {
            let _: Agent = sqlx::query_as(
                "select id, slug, name, description, created_at from agents where client_id = $1 and slug = $2",
            )
            .bind(client)
            .bind(known)
            .fetch_one(on)
            .await
            .unwrap();
        }
        Statement::Twenty => {
            let agents: Vec<Agent> = sqlx::query_as(
                "select id, slug, name, description, created_at from agents where client_id = $1 \
                 order by created_at desc limit $2",
            )
            .bind(client)
            .bind(20_i64)
            .fetch_all(on)
            .await
            .unwrap();
            assert_eq!(agents.len(), 20);
        }
        Statement::Insert => {
            let done = sqlx::query("insert into agents (client_id, slug, name) values ($1, $2, $3)")
                .bind(client)
                .bind(new)
                .bind("New")
                .execute(on)
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
        Statement::Update => {
            let done = sqlx::query("update agents set name = $1 where client_id = $2 and slug = $3")
                .bind(new)
                .bind(client)
                .bind(known)
                .execute(on)
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
    }
}

async fn plain(on: &PgPool, statement: Statement, known: &str, new: &str) {
    match statement {
        Statement::Point => {
            let _: Agent =
                sqlx::query_as("select id, slug, name, description, created_at from agents where slug = $1")
                    .bind(known)
                    .fetch_one(on)
                    .await
                    .unwrap();
        }
        Statement::Twenty => {
            let agents: Vec<Agent> = sqlx::query_as(
                "select id, slug, name, description, created_at from agents order by created_at desc limit $1",
            )
            .bind(20_i64)
            .fetch_all(on)
            .await
            .unwrap();
            assert_eq!(agents.len(), 20);
        }
        Statement::Insert => {
            let done = sqlx::query("insert into agents (slug, name) values ($1, $2)")
                .bind(new)
                .bind("New")
                .execute(on)
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
        Statement::Update => {
            let done = sqlx::query("update agents set name = $1 where slug = $2")
                .bind(new)
                .bind(known)
                .execute(on)
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
    }
}
