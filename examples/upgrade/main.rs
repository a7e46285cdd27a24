//! A client outgrows its pool while it writes: it gets a database of its own and a larger tier, nothing is lost, and
//! then it goes back with what it wrote there.
//!
//! ```sh
//! cargo run --example upgrade
//! ```
//!
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]
#![expect(
    clippy::disallowed_methods,
    reason = "a task shows the progress until it is ended"
)]

#[path = "../quickstart/server.rs"]
mod server;
mod writers;

use std::io::Write as _;

use futures_util::{StreamExt, pin_mut};
use secrecy::{SecretBox, SecretString};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tenantry::testing::PgServer;
use tenantry::{
    ClientConnectionManager, ClientId, DatabaseProvisioner, Keyring, ManagerOptions, NewClient, NewPool,
    PlatformDirectory, Provisioning, Relocation, RelocationOptions, RelocationProgress, ServerDatabases,
    TierCatalog, schema,
};

use self::server::Server;
use self::writers::Writers;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

static TABLES: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = Server::shared().await?;
    let databases = ServerDatabases::new(PgServer::shared().await?.url("postgres"))
        .prefix("upgrade_")
        .extensions(["vector"]);
    let acme = ClientId::new();
    let outcome = upgrade(&server, &databases, acme).await;
    let _ = databases.remove(acme).await;
    server.clean_up().await?;
    outcome
}

async fn upgrade(server: &Server, databases: &ServerDatabases, acme: ClientId) -> Outcome<()> {
    server.create_databases().await?;
    let keyring = Keyring::new(1, SecretBox::new(Box::new([7; 32])));
    let url = SecretString::from(server.admin_url("platform"));
    let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
    platform.migrate().await?;
    let platform = platform.acting_as("ada");
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let mut pool = PgConnection::connect(&server.admin_url("pool")).await?;
    schema::apply_to_pool(&mut pool, server.app_role(), &TABLES).await?;
    pool.close().await?;
    let (app_url, admin_url) = (server.app_url("pool"), server.admin_url("pool"));
    platform
        .register_pool(NewPool::new("pool-1", app_url, admin_url))
        .await?;
    let manager = ClientConnectionManager::connect(ManagerOptions::new(url, keyring)).await?;
    let provisioning =
        Provisioning::new(platform.clone(), manager.clone(), &TABLES).databases(databases.clone());
    provisioning
        .provision(NewClient::new("Acme", "acme".parse()?, "adventurer").id(acme))
        .await?;

    println!("\nAcme shares a pool, and has 20,000 documents. Four writers of its go on all the while.");
    let db = manager.tenant(acme).await?;
    for thousand in 0..20 {
        let documents: Vec<_> = (0..1_000)
            .map(
                |n| serde_json::json!({ "title": format!("{thousand}-{n}"), "content": "word ".repeat(100) }),
            )
            .collect();
        db.insert("documents").records(&documents).execute().await?;
    }
    let writers = Writers::begin(&manager, acme, 4).await?;

    let relocation = Relocation::new(platform.clone()).options(RelocationOptions::default().plain_up_to(0));
    let progress = tokio::spawn(shown(relocation.progress()));
    println!("\nIt becomes a champion, with a database of its own:");
    let moved = relocation
        .upgrade(&provisioning, acme, "champion")
        .await?
        .ok_or("a champion has a database of its own")?;
    progress.abort();
    let certificate = moved.certificate.ok_or("what was moved is certified")?;
    println!(
        "\n  its writers waited for {:.1} ms; the longest statement took {:.1} ms\n",
        millis(certificate.fenced_micros),
        writers.longest()
    );
    println!("{}\n", serde_json::to_string_pretty(&certificate)?);
    let client = manager.tenant(acme).await?;
    println!(
        "Acme has the tier {}, and a {} database.",
        client.client().tier,
        client.client().hosting()
    );
    writers.have_written(200).await?;

    println!("\nIt thinks better of it. What it wrote since comes back with it:");
    relocation.revert(acme).await?;
    let client = manager.tenant(acme).await?;
    println!(
        "  its tier is {} again, on a {} database",
        client.client().tier,
        client.client().hosting()
    );
    writers.have_written(200).await?;
    let acknowledged = writers.end().await?;
    let there = db
        .query("documents")
        .like("title", tenantry::Pattern::starting_with("of "))
        .count()
        .await?;
    println!("\n{acknowledged} writes were acknowledged, and {there} rows are there.");
    manager.close().await;
    platform.close().await;
    if there == acknowledged {
        Ok(())
    } else {
        Err("rows were lost".into())
    }
}

#[expect(clippy::cast_precision_loss, reason = "told to a tenth")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// A bar of what is copied, and what follows.
async fn shown(events: impl futures_util::Stream<Item = RelocationProgress>) {
    const WIDTH: u64 = 40;
    pin_mut!(events);
    let mut last = String::new();
    while let Some(event) = events.next().await {
        let done = (event.rows * WIDTH)
            .checked_div(event.rows_in_all)
            .unwrap_or(WIDTH)
            .min(WIDTH);
        let bar: String = (0..WIDTH).map(|at| if at < done { '#' } else { '.' }).collect();
        let line = match event.table {
            Some(table) => format!(
                "  [{bar}] {} {table}, {} MB/s",
                event.phase,
                event.bytes_per_second / 1_000_000
            ),
            None => format!("  [{bar}] {}, {} changes", event.phase, event.changes),
        };
        if line != last {
            println!("{line}");
            let _ = std::io::stdout().flush();
            last = line;
        }
    }
}
