//! Clients on their way from one database to another, with nothing lost.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod between;
mod changes;
mod crash;
mod fence;
mod frozen;
mod given_up;
mod journey;
mod kept;
mod pace;
mod plan;
mod process;
mod resumed;
mod spoiled;
mod tiers;
mod under_way;
mod verifier;
mod writers;

use std::time::Duration;

use tenantry::testing::Fixture;
use tenantry::{ClientId, Error, RelocateTo, Relocation, RelocationError, RelocationOptions, TenantDb};

use crate::sql::{self, connect};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Rows of a client in a database, by table, as the admin role sees them.
async fn rows(fixture: &Fixture, database: &str, client: ClientId) -> Vec<String> {
    let mut admin = connect(fixture.admin_options(&fixture.database(database))).await;
    let mut all = Vec::new();
    for table in crate::support::TABLES {
        let sql = format!(
            "select '{table} ' || t.id from (select to_jsonb(t)::text as id from {table} t where client_id = '{client}') t order by 1"
        );
        all.extend(
            sql::rows::<(String,)>(&mut admin, &sql)
                .await
                .into_iter()
                .map(|(row,)| row),
        );
    }
    all
}

/// A database of its own for the client, as a target.
async fn own_database(fixture: &Fixture, name: &str, client: ClientId) -> RelocateTo {
    let database = fixture.dedicated_database(name, client).await.unwrap();
    RelocateTo::dedicated(fixture.app_url(&database), fixture.admin_url(&database))
}

fn relocation(fixture: &Fixture) -> Relocation {
    Relocation::new(fixture.platform().clone())
}

/// One attempt at the fence, and a short one.
fn hasty() -> RelocationOptions {
    RelocationOptions::default()
        .plain_up_to(0)
        .fence_attempts(1)
        .fence_budget(Duration::from_millis(300))
        .trigger_wait(Duration::from_millis(300))
}

/// Begins a relocation that ends before the cut-over: a transaction of the client is in the way.
async fn stopped(relocation: &Relocation, db: &TenantDb, to: &RelocateTo) {
    let mut tx = db.begin().await.unwrap();
    tx.query("agents").count().await.unwrap();
    let outcome = relocation
        .clone()
        .options(hasty())
        .start(db.client().id, to)
        .await;
    assert!(
        matches!(
            &outcome,
            Err(Error::Relocation { source: RelocationError::NotDrained { blockers }, .. }) if !blockers.is_empty()
        ),
        "{outcome:?}"
    );
    tx.rollback().await.ok();
}
