//! One client attacks the rows of another, from a pool database and from a database of its own.
//!
//! `guards` takes the guards away one by one and sees the same attacks succeed.
#![expect(
    clippy::disallowed_methods,
    reason = "watches the victim's rows past row-level security"
)]

mod builder;
mod definers;
mod guards;
mod kernel;
mod raw;
mod remains;
mod session;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientId, ConnectionOptions, TenantDb};

use crate::support::{HOST, Reply, Rows, TABLES, ask_alone, fill};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Where the attacker's rows are. The victim's are in the pool database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Pool,
    Dedicated,
}

/// An attacker and a victim, each with a row in every tenant table.
struct Arena {
    fixture: Fixture,
    manager: ClientConnectionManager,
    home: Home,
    attacker: TenantDb,
    victim: TenantDb,
    mine: Rows,
    theirs: Rows,
    /// Sees the pool database past row-level security.
    admin: PgConnection,
}

/// In every text of the victim's rows, and nowhere else.
const SECRET: &str = "the victim alone";

impl Arena {
    async fn new(home: Home, connections: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let fixture = Fixture::start(&HOST).await?;
        let attacker = match home {
            Home::Pool => fixture.shared_client("attacker").await?,
            Home::Dedicated => fixture.dedicated_client("attacker").await?,
        };
        let victim = fixture.shared_client("victim").await?;
        let manager = manager(&fixture, connections).await?;
        let attacker = manager.tenant(attacker.id).await?;
        let victim = manager.tenant(victim.id).await?;
        let mine = fill(&attacker, "the attacker").await?;
        let theirs = fill(&victim, SECRET).await?;
        let admin = PgConnection::connect_with(&fixture.admin_options(&fixture.database("pool-1"))).await?;
        Ok(Self {
            fixture,
            manager,
            home,
            attacker,
            victim,
            mine,
            theirs,
            admin,
        })
    }

    fn victim_id(&self) -> ClientId {
        self.victim.client().id
    }

    /// Raw SQL of the attacker's.
    async fn attack(&self, sql: impl Into<String>) -> tenantry::Result<Reply> {
        ask_alone(&self.attacker, sql).await
    }

    /// All that the victim has, as the admin role sees it.
    async fn victims_rows(&mut self) -> sqlx::Result<Vec<String>> {
        let victim = self.victim_id();
        rows_of(&mut self.admin, victim).await
    }

    /// The connection of the admin role to the attacker's database.
    async fn home_admin(&self) -> sqlx::Result<PgConnection> {
        let database = match self.home {
            Home::Pool => "pool-1",
            Home::Dedicated => "attacker",
        };
        PgConnection::connect_with(&self.fixture.admin_options(&self.fixture.database(database))).await
    }

    /// The superuser's connection to the pool database.
    async fn superuser(&self) -> sqlx::Result<PgConnection> {
        let database = self.fixture.database("pool-1");
        PgConnection::connect_with(&self.fixture.server().connect_options(&database)).await
    }

    async fn close(self) -> Outcome {
        self.admin.close().await?;
        self.manager.close().await;
        self.fixture.close().await;
        Ok(())
    }
}

async fn manager(
    fixture: &Fixture,
    connections: u32,
) -> Result<ClientConnectionManager, Box<dyn std::error::Error>> {
    let options = fixture
        .manager_options()
        .pool_connections(ConnectionOptions::default().max_connections(connections));
    Ok(ClientConnectionManager::connect(options).await?)
}

/// The rows of a client in every tenant table, as the admin role sees them.
async fn rows_of(admin: &mut PgConnection, client: ClientId) -> sqlx::Result<Vec<String>> {
    let tables =
        TABLES.map(|table| format!("select '{table} ' || t::text from {table} t where client_id = $1"));
    sqlx::query_scalar(AssertSqlSafe(tables.join(" union all ") + " order by 1"))
        .bind(client)
        .fetch_all(admin)
        .await
}

/// Runs an attack over one connection that the victim used just before, and finds the victim's rows as they
/// were: by the admin role, and by the victim.
async fn withstand(home: Home, attack: impl AsyncFnOnce(&mut Arena) -> Outcome) -> Outcome {
    let mut arena = Arena::new(home, 1).await?;
    let before = arena.victims_rows().await?;
    assert_eq!(before.len(), TABLES.len(), "{before:?}");
    assert!(before.iter().filter(|row| row.contains(SECRET)).count() >= 6);
    victim_sees_its_rows(&arena).await?;
    attack(&mut arena).await?;
    victim_sees_its_rows(&arena).await?;
    assert_eq!(arena.victims_rows().await?, before);
    arena.close().await
}

/// The victim gets the connection next and commits: whatever was left open on it would be, too.
async fn victim_writes(arena: &Arena) -> Outcome {
    let update = arena
        .victim
        .update("agents")
        .set("name", format!("agent of {SECRET}"));
    assert_eq!(update.all().execute().await?, 1);
    Ok(())
}

async fn victim_sees_its_rows(arena: &Arena) -> Outcome {
    for table in TABLES {
        assert_eq!(arena.victim.query(table).count().await?, 1, "{table}");
        let raw = ask_alone(&arena.victim, format!("select t::text from {table} t")).await?;
        assert!(matches!(&raw, Reply::Rows(rows) if rows.len() == 1), "{raw:?}");
    }
    Ok(())
}

/// The same attacks from both homes.
macro_rules! from_both_homes {
    ($($attack:ident),+ $(,)?) => {
        mod from_a_pool_database {
            $(#[tokio::test]
            async fn $attack() -> super::Outcome {
                super::withstand(super::Home::Pool, super::$attack).await
            })+
        }
        mod from_a_dedicated_database {
            $(#[tokio::test]
            async fn $attack() -> super::Outcome {
                super::withstand(super::Home::Dedicated, super::$attack).await
            })+
        }
    };
}
use from_both_homes;
