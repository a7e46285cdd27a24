//! The catalogue of clients: how they are found, listed and changed, and how soon a change is in force.
#![expect(
    clippy::disallowed_methods,
    reason = "changes the platform database as an operator would"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod changes;
mod clients;
mod cost;
mod feed;
mod log;
pub(crate) mod outage;
mod overtaken;

use std::time::Duration;

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, Limit, ManagerOptions};

use crate::sql::connect;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

const HOUR: Duration = Duration::from_hours(1);

/// Trusts what it knows for so long that nothing but hearing of a change has it look again.
fn trusting(fixture: &Fixture) -> ManagerOptions {
    fixture
        .manager_options()
        .record_ttl(HOUR)
        .unknown_ttl(HOUR)
        .max_staleness(HOUR)
}

fn documents_limit() -> Limit {
    "documents".parse().unwrap()
}

/// A manager that hears of changes.
async fn hearing(options: ManagerOptions) -> ClientConnectionManager {
    let manager = ClientConnectionManager::connect(options).await.unwrap();
    manager.hears_changes().await;
    manager
}

async fn platform(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}

/// A superuser's, who may end sessions.
async fn operator(fixture: &Fixture) -> PgConnection {
    connect(fixture.server().connect_options(&fixture.database("platform"))).await
}

/// Who listens in the database.
const LISTENERS: &str = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                         and (query like 'LISTEN%' or query like 'select pg_notify%')";

/// Waits until the condition holds here: nobody tells when it comes to hold.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = std::time::Instant::now() + crate::sql::PATIENCE;
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "still not so: {what}");
        tokio::task::yield_now().await;
    }
}
