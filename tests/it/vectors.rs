//! Own indexes of clients on vectors: built and dropped online, and found by searches of that client alone.
#![expect(clippy::disallowed_methods, reason = "sends the SQL of the tests")]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod builder;
mod online;
mod reference;
mod refusals;
mod search;

use pgvector::Vector;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientId, TenantDb, TenantTx, VectorIndex};

use crate::sql::{connect, one, run};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Tables of vectors of few dimensions, and `near`, which searches them.
static SPOTS: Migrator = sqlx::migrate!("tests/it/vectors/migrations");

const DIMENSIONS: usize = 16;

/// A pool database with a client that has spots.
struct Place {
    fixture: Fixture,
    manager: ClientConnectionManager,
    acme: ClientId,
    /// Of the pool database.
    admin: PgConnection,
}

impl Place {
    async fn with(rows: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let fixture = Fixture::start(&SPOTS).await?;
        let acme = fixture.shared_client("acme").await?.id;
        let manager = fixture.manager().await?;
        let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        add_spots(&mut admin, acme, 0, rows).await;
        Ok(Self {
            fixture,
            manager,
            acme,
            admin,
        })
    }

    async fn db(&self) -> tenantry::Result<TenantDb> {
        self.manager.tenant(self.acme).await
    }

    /// The superuser's connection to the pool database.
    async fn superuser(&self) -> PgConnection {
        let database = self.fixture.database("pool-1");
        connect(self.fixture.server().connect_options(&database)).await
    }

    /// The own indexes of the database: name, validity.
    async fn indexes(&mut self) -> Vec<(String, bool)> {
        crate::sql::rows(&mut self.admin, INDEXES).await
    }

    async fn close(self) {
        self.manager.close().await;
        self.fixture.close().await;
    }
}

const INDEXES: &str = "
    select c.relname::text, x.indisvalid from pg_class c join pg_index x on x.indexrelid = c.oid
    where c.relname ~ '^tenantry_nearest_' order by 1";

fn index() -> VectorIndex {
    VectorIndex::new("spots", "spot")
}

/// Adds spots of a client, in 20 clusters; a tenth of them has the tag 3.
async fn add_spots(admin: &mut PgConnection, client: ClientId, from: u32, rows: u32) {
    let sql = format!(
        "insert into spots (client_id, id, tag, spot)
         select '{client}', n, n % 10,
                (select array_agg(sin((n % 20) * 12.9898 + d * 78.233) + 0.4 * sin(n * 0.731 + d * d * n * 0.0173))
                 from generate_series(1, {DIMENSIONS}) d)::vector
         from generate_series({from}, {from} + {rows} - 1) n"
    );
    run(admin, &sql).await;
}

/// What is searched for: near one of the clusters.
#[expect(
    clippy::cast_possible_truncation,
    reason = "of single precision as all vectors are"
)]
fn query(number: u32) -> Vector {
    let value = |d: usize| {
        let (n, d) = (f64::from(number), f64::from(u32::try_from(d).unwrap()));
        (n * 12.9898 + d * 78.233).sin() + 0.3 * (n * 1.7 + d * 2.3).sin()
    };
    Vector::from((1..=DIMENSIONS).map(|d| value(d) as f32).collect::<Vec<_>>())
}

/// The nearest ids, and whether the index was asked.
async fn near(db: &TenantDb, number: u32, rows: f32) -> tenantry::Result<(Vec<i32>, bool)> {
    let found: Vec<(i32, bool)> = db
        .rpc("near")
        .arg("p_spot", query(number))
        .arg("p_rows", rows)
        .fetch_all()
        .await?;
    let approximately = found.first().is_some_and(|(_, approximately)| *approximately);
    Ok((found.into_iter().map(|(id, _)| id).collect(), approximately))
}

/// More rows than any client has.
const EXACTLY: f32 = 1e9;

/// How much of the exact answers the index gives, of so many queries.
async fn recall(db: &TenantDb, queries: u32) -> tenantry::Result<f64> {
    let (mut found, mut all) = (0_u32, 0_u32);
    for number in 0..queries {
        let (exact, approximately) = near(db, number, EXACTLY).await?;
        assert!(!approximately);
        let (ids, approximately) = near(db, number, 100.0).await?;
        assert!(approximately);
        assert_eq!(ids.len(), exact.len());
        all += u32::try_from(exact.len()).unwrap();
        found += u32::try_from(ids.iter().filter(|id| exact.contains(id)).count()).unwrap();
    }
    Ok(f64::from(found) / f64::from(all))
}

/// One value of one query in the client's transaction.
async fn of_client<T>(db: &TenantDb, sql: impl Into<String>) -> tenantry::Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut tx = db.begin().await?;
    let value = sqlx::query_scalar(AssertSqlSafe(sql.into()))
        .fetch_one(&mut tx)
        .await
        .map_err(|error| tenantry::Error::from_sqlx(db.client().id, error))?;
    tx.rollback().await?;
    Ok(value)
}

/// Whether the kernel says that the client's searches of its spots are to go by its index.
async fn told(db: &TenantDb) -> tenantry::Result<bool> {
    of_client(db, "select tenantry.approximate('spots', 'spot', p_rows => 100)").await
}

/// How often this session has asked an index, since it last told the others.
async fn scans(tx: &mut TenantTx, index: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("select coalesce(pg_stat_get_xact_numscans(to_regclass($1)), -1)")
        .bind(format!("public.{index}"))
        .fetch_one(tx)
        .await
}

/// How many rows the catalogue says that an index has.
async fn tuples(admin: &mut PgConnection, index: &str) -> i64 {
    let sql = format!("select reltuples::int8 from pg_class where relname = '{index}'");
    one(admin, &sql).await
}
