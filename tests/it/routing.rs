//! Where a client's statements go, what happens where they cannot, and what is open meanwhile.
#![expect(clippy::disallowed_methods, reason = "asks where a statement arrived")]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod changed_credential;
mod closing;
mod eviction;
mod moved_client;
mod opening;
mod resolution;

use std::time::Duration;

use secrecy::SecretBox;
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, Following, Keyring, ManagerOptions, Result, TenantDb};

use crate::sql::{connect, one, until};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// A superuser's connection to a database that no test is about.
async fn watcher(fixture: &Fixture) -> PgConnection {
    connect(fixture.server().connect_options("postgres")).await
}

async fn platform_connection(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}

/// How many sessions of the app role the database has.
async fn sessions(watcher: &mut PgConnection, fixture: &Fixture, database: &str) -> i64 {
    one(watcher, &counted(fixture, database)).await
}

fn counted(fixture: &Fixture, database: &str) -> String {
    format!(
        "select count(*) from pg_stat_activity where datname = '{}' and usename = '{}'",
        fixture.database(database),
        fixture.app_role()
    )
}

/// Waits until the app role has left the database.
async fn deserted(watcher: &mut PgConnection, fixture: &Fixture, database: &str) {
    until(watcher, &format!("select ({}) = 0", counted(fixture, database))).await;
}

async fn connected(options: ManagerOptions) -> ClientConnectionManager {
    ClientConnectionManager::connect(options).await.unwrap()
}

/// The database that statements of the handle reach.
async fn reached(db: &TenantDb) -> Result<String> {
    let mut tx = db.begin().await?;
    let name = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut tx)
        .await
        .unwrap();
    tx.commit().await?;
    Ok(name)
}

/// Does not hear of changes while a test runs.
fn deaf() -> Following {
    Following::default().polling().poll_every(Duration::from_hours(1))
}

fn keyring(byte: u8) -> Keyring {
    Keyring::new(1, SecretBox::new(Box::new([byte; 32])))
}
