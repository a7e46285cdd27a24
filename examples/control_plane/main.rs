//! A day in the life of a platform: from an empty server to clients of three tiers, a limit that is hit, a key that is
//! rotated, and a client that is suspended, exported and erased.
//!
//! ```sh
//! cargo run --example control_plane
//! ```
//!
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]

#[path = "../quickstart/server.rs"]
mod server;
mod vault;
mod welcome;

use std::time::Duration;

use secrecy::SecretString;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tenantry::testing::PgServer;
use tenantry::{
    AuditFilter, ClientConnectionManager, ClientId, ClientStatus, CredentialKind, DatabaseProvisioner,
    EraseOptions, Error, ExportOptions, Limit, ManagerOptions, NewClient, NewPool, PlatformDirectory,
    Provider, Provisioning, ResealOptions, RestoreOptions, ServerDatabases, TierCatalog, schema,
};

use self::server::Server;
use self::vault::Vault;
use self::welcome::Welcome;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

static TABLES: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = Server::shared().await?;
    // Databases of clients of their own are made on the same server.
    let databases = ServerDatabases::new(PgServer::shared().await?.url("postgres"))
        .prefix("control_plane_")
        .extensions(["vector"]);
    let mut dedicated = Vec::new();
    let outcome = day(&server, &databases, &mut dedicated).await;
    for client in dedicated {
        let _ = databases.remove(client).await;
    }
    server.clean_up().await?;
    outcome
}

async fn day(server: &Server, databases: &ServerDatabases, dedicated: &mut Vec<ClientId>) -> Outcome<()> {
    server.create_databases().await?;
    println!("\n08:00  The catalogue, its tiers and a first pool.");
    let vault = Vault::new();
    let url = SecretString::from(server.admin_url("platform"));
    let platform = PlatformDirectory::connect(&url, vault.clone()).await?;
    platform.migrate().await?;
    let platform = platform.acting_as("ada");
    let tiers = platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let names = |tiers: &[tenantry::TierName]| {
        tiers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    println!(
        "       tiers: {}",
        names(&[tiers.created, tiers.changed, tiers.unchanged].concat())
    );
    let mut pool = PgConnection::connect(&server.admin_url("pool")).await?;
    schema::apply_to_pool(&mut pool, server.app_role(), &TABLES).await?;
    pool.close().await?;
    platform
        .register_pool(NewPool::new(
            "pool-1",
            server.app_url("pool"),
            server.admin_url("pool"),
        ))
        .await?;

    println!("\n09:00  Three clients, one of each tier. What the service sets up in each is done once.");
    let options = ManagerOptions::new(url, vault.clone()).counts("documents", Limit::MAX_DOCUMENTS);
    let manager = ClientConnectionManager::connect(options).await?;
    manager.hears_changes().await;
    let provisioning = Provisioning::new(platform.clone(), manager.clone(), &TABLES)
        .databases(databases.clone())
        .setup(Welcome);
    provisioning.restock(1).await?;
    println!(
        "       {} database waits for the next large client",
        provisioning.stock().await?
    );
    let mut clients = Vec::new();
    for (name, slug, tier) in [
        ("Acme", "acme", "adventurer"),
        ("Vast", "vast", "champion"),
        ("Wide", "wide", "paragon"),
    ] {
        let client = provisioning
            .provision(NewClient::new(name, slug.parse()?, tier))
            .await?;
        println!("       {name}: {tier}, {}", client.hosting());
        clients.push(client.id);
        if client.hosting() == tenantry::Hosting::Dedicated {
            dedicated.push(client.id);
        }
    }
    let [acme, vast, _] = clients[..] else {
        return Err("three were created".into());
    };

    println!("\n11:00  Acme fills its 50 documents, with 64 workers at once.");
    limits(&manager, acme).await?;

    println!("\n13:00  Acme's own key for a provider is stored sealed; then the platform's key is rotated.");
    let (openai, api_key) = (&Provider::OPENAI, &CredentialKind::API_KEY);
    platform
        .set_credential(acme, openai, api_key, &"sk-of-acme-alone".into())
        .await?;
    vault.rotate();
    let resealed = platform.reseal(ResealOptions::default()).await?;
    println!(
        "       {} values sealed with key 2, {} left with another",
        resealed.resealed, resealed.left
    );

    suspended(&platform, &manager, vast).await?;
    leaves(&platform, &provisioning, &manager, acme).await?;

    println!("\n18:00  What the log says of it:");
    let log = platform
        .audit_log(&AuditFilter::default().client(acme), None, 1_000)
        .await?;
    for entry in log.iter().rev() {
        println!("       {} {}", entry.actor, entry.action);
    }
    manager.close().await;
    platform.close().await;
    Ok(())
}

async fn leaves(
    platform: &PlatformDirectory,
    provisioning: &Provisioning,
    manager: &ClientConnectionManager,
    acme: ClientId,
) -> Outcome<()> {
    println!("\n17:00  Acme leaves with its data.");
    let mut file = Vec::new();
    let exported = platform
        .export_client(acme, &mut file, &ExportOptions::default())
        .await?;
    let rows: u64 = exported.tables.iter().map(|table| table.rows).sum();
    println!(
        "       exported: {rows} rows in {} bytes, digest {}…",
        exported.bytes,
        &exported.digest[..12]
    );
    platform.set_status(acme, ClientStatus::Archived).await?;
    match platform.erase_client(acme, &EraseOptions::default()).await {
        Err(kept) => println!("       too early to erase it: {kept}: {}", source(&kept)),
        Ok(_) => return Err("it was erased before its retention was over".into()),
    }
    let now = EraseOptions::default().after(Duration::ZERO);
    let erased = provisioning.remove(acme, &now).await?;
    let rows: u64 = erased.tables.iter().map(|table| table.rows).sum();
    println!(
        "       erased on request: {rows} rows, {} credential",
        erased.credentials
    );
    let back = NewClient::new("Acme", "acme".parse()?, "adventurer");
    let restored = platform
        .restore_client(back, file.as_slice(), &RestoreOptions::default())
        .await?;
    let db = manager.tenant(restored.client).await?;
    println!(
        "       and back again, from the file: {} documents",
        db.query("documents").count().await?
    );
    Ok(())
}

async fn suspended(
    platform: &PlatformDirectory,
    manager: &ClientConnectionManager,
    vast: ClientId,
) -> Outcome<()> {
    println!("\n15:00  Vast does not pay.");
    let held = manager.tenant(vast).await?;
    platform.set_status(vast, ClientStatus::Suspended).await?;
    let refused = loop {
        // In every process, within milliseconds.
        match held.query("agents").count().await {
            Err(refused) => break refused,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    println!("       who holds a handle: {refused}");
    platform.set_status(vast, ClientStatus::Active).await?;
    println!("       it paid, and is served again");
    Ok(())
}

async fn limits(manager: &ClientConnectionManager, acme: ClientId) -> Outcome<()> {
    let creators = (0..64).map(|number| {
        let manager = manager.clone();
        async move {
            let db = manager.tenant(acme).await?;
            db.insert("documents")
                .set("title", format!("Document {number}"))
                .execute()
                .await
        }
    });
    let (mut written, mut refused) = (0, None);
    for outcome in futures_util::future::join_all(creators).await {
        match outcome {
            Ok(_) => written += 1,
            Err(reached @ Error::LimitReached { .. }) => refused = Some(reached),
            Err(other) => return Err(other.into()),
        }
    }
    println!("       {written} were written");
    if let Some(refused) = refused {
        println!("       the others: {refused}");
    }
    Ok(())
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
