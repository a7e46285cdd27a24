//! Attacks on a pool database: nothing is reached where it is right, and every weakness is found that is planted.
#![expect(clippy::disallowed_methods, reason = "plants weaknesses as the superuser")]

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{AttackOptions, AttackReport, Attacks};

use crate::support::HOST;

mod correct;
mod measure;
mod planted;
mod roles;
mod safety;

/// A small shop, as it should be.
static SHOP: Migrator = sqlx::migrate!("tests/it/attacks/migrations");

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The superuser's connection to the pool database.
async fn superuser(fixture: &Fixture) -> sqlx::Result<PgConnection> {
    let database = fixture.database("pool-1");
    PgConnection::connect_with(&fixture.server().connect_options(&database)).await
}

async fn change(fixture: &Fixture, sql: &str) -> Outcome {
    let mut superuser = superuser(fixture).await?;
    superuser
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await?;
    superuser.close().await?;
    Ok(())
}

/// Slow machines are no weakness.
fn patient() -> AttackOptions {
    AttackOptions::default()
        .time(Duration::from_mins(10))
        .table_time(Duration::from_mins(2))
        .statement_timeout(Duration::from_secs(20))
}

async fn attacked(fixture: &Fixture) -> tenantry::Result<AttackReport> {
    attacks(fixture).run(fixture.pool()).await
}

fn attacks(fixture: &Fixture) -> Attacks {
    Attacks::new(fixture.platform()).options(patient())
}
