//! What plans allow: tiers and what changes them, and limits that hold under concurrency.

mod counted;
mod grace;
mod locks;
mod meters;
mod rates;
mod tiers;

use sqlx::PgConnection;
use tenantry::testing::Fixture;

use crate::sql::connect;

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn platform_connection(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}
