//! A release with two migrations goes out over pools and dedicated databases: canaries first, then half, then all. One
//! database fails, is mended, and is all that the next run touches. Then the release is taken back.
//!
//! ```sh
//! cargo run --example fleet
//! ```
//!
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]
#![expect(
    clippy::disallowed_methods,
    reason = "changes databases by hand, as somebody did"
)]

mod progress;

use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, Error, Fleet, FleetOptions, OnFailure, Ring};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The host's migrations, as of this release.
static RELEASE: Migrator = sqlx::migrate!("examples/fleet/migrations");

/// As of the one before.
static BEFORE: LazyLock<Migrator> = LazyLock::new(|| {
    let first = RELEASE.iter().filter(|migration| migration.version == 1);
    Migrator::with_migrations(first.cloned().collect())
});

#[tokio::main]
async fn main() -> Outcome<()> {
    let fixture = Fixture::start(&BEFORE).await?;
    let outcome = release(&fixture).await;
    fixture.close().await;
    outcome
}

async fn release(fixture: &Fixture) -> Outcome<()> {
    for pool in ["pool-2", "pool-3"] {
        fixture.add_pool(pool, 100).await?;
    }
    for client in ["acme", "bolt", "cord"] {
        fixture.dedicated_client(client).await?;
    }
    let dune = fixture.dedicated_client("dune").await?.id;
    by_hand(fixture, "bolt", "alter table notes add column pinned text").await?;

    let rings = [Ring::named(["pool-1", "acme"]), Ring::percent(50), Ring::all()];
    let options = FleetOptions::default()
        .rings(rings)
        .on_failure(OnFailure::Continue)
        .pause_above(0.5);
    let fleet = Fleet::new(fixture.platform().acting_as("deploy"), &RELEASE).options(options);

    println!("\nThe plan:\n{}", fleet.plan().await?);
    println!("\nThe release:");
    let report = progress::show(fleet.migrate()).await?;
    println!("{} migrated, {} failed", report.done.len(), report.failed.len());

    println!("\nSomebody takes the column away that was added by hand, and calls it again:");
    by_hand(fixture, "bolt", "alter table notes drop column pinned").await?;
    let report = progress::show(fleet.migrate()).await?;
    println!(
        "{} migrated, {} were there already",
        report.done.len(),
        report.current
    );
    let report = progress::show(fleet.migrate()).await?;
    println!(
        "Once more: {} were there already, and none was connected to.",
        report.current
    );

    println!("\nWhat is not as it was left:");
    by_hand(
        fixture,
        "pool-2",
        "alter table notes alter column body drop not null",
    )
    .await?;
    for finding in fleet.verify().await? {
        println!("  {finding}");
    }
    by_hand(
        fixture,
        "pool-2",
        "alter table notes alter column body set not null",
    )
    .await?;

    println!("\nA program that needs version 2 is served, until the release is taken back:");
    let options = fixture.manager_options().minimum_host_version(2);
    let manager = ClientConnectionManager::connect(options).await?;
    manager.tenant(dune).await?.query("notes").count().await?;
    let report = progress::show(fleet.roll_back(1)).await?;
    println!("{} rolled back", report.done.len());
    let refused = async { manager.tenant(dune).await?.query("notes").count().await };
    match refused.await {
        Err(error @ Error::SchemaTooOld { .. }) => println!("  {error}"),
        other => println!("  {other:?}: it had not heard yet"),
    }
    manager.close().await;
    Ok(())
}

async fn by_hand(fixture: &Fixture, database: &str, sql: &'static str) -> Outcome<()> {
    let mut admin = PgConnection::connect_with(&fixture.admin_options(&fixture.database(database))).await?;
    sqlx::query(sql).execute(&mut admin).await?;
    Ok(admin.close().await?)
}
