#![expect(
    clippy::disallowed_methods,
    reason = "writes by hand what the crate is measured against"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgArguments;
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Arguments, PgExecutor, PgPool, Postgres, Transaction};
use tenantry::{Insert, Order, Select, TenantDb, TenantQuery, TenantTx, Update};

/// A row of the reference platform: what every contestant decodes.
#[derive(Debug, sqlx::FromRow)]
#[expect(dead_code, reason = "decoded and dropped")]
pub(crate) struct Agent {
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

    /// As it is written by hand: naming the client, or in a database of one.
    pub(crate) const fn sql(self, names_client: bool) -> &'static str {
        match (self, names_client) {
            (Self::Point, true) => {
                "select id, slug, name, description, created_at from agents where client_id = $1 and slug = $2"
            }
            (Self::Point, false) => {
                "select id, slug, name, description, created_at from agents where slug = $1"
            }
            (Self::Twenty, true) => {
                "select id, slug, name, description, created_at from agents where client_id = $1 \
                 order by created_at desc limit $2"
            }
            (Self::Twenty, false) => {
                "select id, slug, name, description, created_at from agents order by created_at desc limit $1"
            }
            (Self::Insert, true) => "insert into agents (client_id, slug, name) values ($1, $2, $3)",
            (Self::Insert, false) => "insert into agents (slug, name) values ($1, $2)",
            (Self::Update, true) => "update agents set name = $2 where client_id = $1 and slug = $3",
            (Self::Update, false) => "update agents set name = $1 where slug = $2",
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
    /// With this crate, for each of the clients in its turn.
    Tenantry(Vec<TenantDb>),
    /// With this crate: begin, the statement, commit.
    Transaction(TenantDb),
    /// One statement on a pool of sqlx. It names the client where there are several, and nothing enforces it.
    Plain(PgPool, Option<Uuid>),
    /// What people write: begin, `set_config`, the statement, commit, under a policy of their own.
    Scoped(PgPool, Uuid),
}

impl Contestant {
    pub(crate) fn tenantry(prefix: &'static str, db: TenantDb) -> Self {
        Self::new(prefix, Way::Tenantry(vec![db]))
    }

    /// Every statement is of another client than the one before.
    pub(crate) const fn alternating(prefix: &'static str, dbs: Vec<TenantDb>) -> Self {
        Self::new(prefix, Way::Tenantry(dbs))
    }

    pub(crate) const fn transaction(prefix: &'static str, db: TenantDb) -> Self {
        Self::new(prefix, Way::Transaction(db))
    }

    pub(crate) const fn plain(prefix: &'static str, pool: PgPool) -> Self {
        Self::new(prefix, Way::Plain(pool, None))
    }

    pub(crate) const fn unscoped(prefix: &'static str, pool: PgPool, client: Uuid) -> Self {
        Self::new(prefix, Way::Plain(pool, Some(client)))
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
            Way::Tenantry(dbs) => {
                let db = &dbs[usize::try_from(turn).unwrap() % dbs.len()];
                built(&mut &*db, statement, &known, &new).await;
            }
            Way::Transaction(db) => {
                let mut tx = db.begin().await.unwrap();
                built(&mut tx, statement, &known, &new).await;
                tx.commit().await.unwrap();
            }
            Way::Plain(pool, client) => by_hand(pool, *client, statement, &known, &new).await,
            Way::Scoped(pool, client) => {
                let mut tx: Transaction<'_, Postgres> = pool.begin().await.unwrap();
                sqlx::query("select set_config('app.client', $1, true)")
                    .bind(client.to_string())
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                by_hand(&mut *tx, Some(*client), statement, &known, &new).await;
                tx.commit().await.unwrap();
            }
        }
    }
}

/// What a handle and its transaction can both be asked.
trait Asked: Send {
    fn select(&mut self) -> TenantQuery<'_, Select<'_>>;
    fn insert(&mut self) -> TenantQuery<'_, Insert<'_>>;
    fn update(&mut self) -> TenantQuery<'_, Update<'_>>;
}

impl Asked for &TenantDb {
    fn select(&mut self) -> TenantQuery<'_, Select<'_>> {
        self.query("agents")
    }

    fn insert(&mut self) -> TenantQuery<'_, Insert<'_>> {
        TenantDb::insert(self, "agents")
    }

    fn update(&mut self) -> TenantQuery<'_, Update<'_>> {
        TenantDb::update(self, "agents")
    }
}

impl Asked for TenantTx {
    fn select(&mut self) -> TenantQuery<'_, Select<'_>> {
        self.query("agents")
    }

    fn insert(&mut self) -> TenantQuery<'_, Insert<'_>> {
        TenantTx::insert(self, "agents")
    }

    fn update(&mut self) -> TenantQuery<'_, Update<'_>> {
        TenantTx::update(self, "agents")
    }
}

async fn built(on: &mut impl Asked, statement: Statement, known: &str, new: &str) {
    match statement {
        Statement::Point => {
            let _: Agent = on
                .select()
                .columns(COLUMNS)
                .eq("slug", known)
                .fetch_one()
                .await
                .unwrap();
        }
        Statement::Twenty => {
            let agents: Vec<Agent> = on
                .select()
                .columns(COLUMNS)
                .order_by("created_at", Order::Desc)
                .limit(20)
                .fetch_all()
                .await
                .unwrap();
            assert_eq!(agents.len(), 20);
        }
        Statement::Insert => {
            let inserted = on.insert().set("slug", new).set("name", "New").execute().await;
            assert_eq!(inserted.unwrap(), 1);
        }
        Statement::Update => {
            let updated = on.update().set("name", new).eq("slug", known).execute().await;
            assert_eq!(updated.unwrap(), 1);
        }
    }
}

async fn by_hand(
    on: impl PgExecutor<'_>,
    client: Option<Uuid>,
    statement: Statement,
    known: &str,
    new: &str,
) {
    let sql = statement.sql(client.is_some());
    let mut values = PgArguments::default();
    if let Some(client) = client {
        values.add(client).unwrap();
    }
    match statement {
        Statement::Point => {
            values.add(known).unwrap();
            let _: Agent = sqlx::query_as_with(sql, values).fetch_one(on).await.unwrap();
        }
        Statement::Twenty => {
            values.add(20_i64).unwrap();
            let agents: Vec<Agent> = sqlx::query_as_with(sql, values).fetch_all(on).await.unwrap();
            assert_eq!(agents.len(), 20);
        }
        Statement::Insert | Statement::Update => {
            values.add(new).unwrap();
            values
                .add(if statement == Statement::Insert {
                    "New"
                } else {
                    known
                })
                .unwrap();
            let done = sqlx::query_with(sql, values).execute(on).await.unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
    }
}
