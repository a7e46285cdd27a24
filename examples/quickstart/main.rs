//! Three databases, three clients, and one client's attempts on another.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(
    clippy::disallowed_methods,
    reason = "SQL of the service's own, and of an attacker's"
)]
#![expect(clippy::print_stdout, reason = "prints what happened")]

mod server;

use std::process::ExitCode;

use secrecy::{SecretBox, SecretString};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tenantry::{
    ClientConnectionManager, ClientId, Error, Keyring, ManagerOptions, NewClient, NewPool, Order,
    PlatformDirectory, TenantDb, schema,
};
use uuid::Uuid;

use self::server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The tables of the service. Their `select tenantry.protect('agents')` is all that knows of clients.
static TABLES: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

#[tokio::main]
async fn main() -> Outcome<ExitCode> {
    let server = Server::shared().await?;
    let succeeded = run(&server).await;
    server.clean_up().await?;
    Ok(ExitCode::from(u8::from(succeeded? > 0)))
}

/// Returns how many of the attempts succeeded.
async fn run(server: &Server) -> Outcome<u32> {
    server.create_databases().await?;

    // The platform database: who the clients are. Keep the key where you keep secrets.
    let keyring = Keyring::new(1, SecretBox::new(Box::new([7; 32])));
    let platform_url = SecretString::from(server.admin_url("platform"));
    let platform = PlatformDirectory::connect(&platform_url, keyring.clone()).await?;
    platform.migrate().await?;

    // The pool database: rows of many clients in the same tables.
    let mut conn = PgConnection::connect(&server.admin_url("pool")).await?;
    schema::apply_to_pool(&mut conn, server.app_role(), &TABLES).await?;
    conn.close().await?;
    let pool = NewPool::new("pool-1", server.app_url("pool"), server.admin_url("pool"));
    platform.register_pool(pool).await?;

    // The dedicated database: the same tables for one client.
    let vast = ClientId::new();
    let mut conn = PgConnection::connect(&server.admin_url("vast")).await?;
    schema::apply_to_dedicated(&mut conn, server.app_role(), vast, &TABLES).await?;
    conn.close().await?;

    // The clients. The tier says whether a client shares a pool or has a database of its own.
    let acme = NewClient::new("Acme", "acme".parse()?, "adventurer");
    let bolt = NewClient::new("Bolt", "bolt".parse()?, "adventurer");
    let vast = NewClient::new("Vast", "vast".parse()?, "champion").id(vast);
    let vast = vast.dedicated(server.app_url("vast"), server.admin_url("vast"));
    let acme = platform.create_client(acme).await?.id;
    let bolt = platform.create_client(bolt).await?.id;
    let vast = platform.create_client(vast).await?.id;
    platform.close().await;

    // The manager is all that a service needs: it names the client, and never the database.
    let manager = ClientConnectionManager::connect(ManagerOptions::new(platform_url, keyring)).await?;
    println!("\nEach client writes two agents and reads them back:\n");
    for client in [acme, bolt, vast] {
        write_and_read(&manager.tenant(client).await?).await?;
    }
    println!("\nAcme tries to reach Bolt's agents in the table that they share:\n");
    let succeeded = attack(&manager.tenant(acme).await?, &manager.tenant(bolt).await?).await?;
    println!("\nAttempts that succeeded: {succeeded}");
    manager.close().await;
    Ok(succeeded)
}

async fn write_and_read(db: &TenantDb) -> Outcome<()> {
    let client = db.client();
    db.insert("agents")
        .rows(["Guide", "Scout"], |row, name| {
            row.set("slug", name.to_lowercase());
            row.set("name", format!("{} of {}", name, client.name));
        })
        .execute()
        .await?;

    // A transaction takes SQL of your own, through sqlx.
    let mut tx = db.begin().await?;
    sqlx::query("update agents set name = $1 where slug = $2")
        .bind(format!("Chief guide of {}", client.name))
        .bind("guide")
        .execute(&mut tx)
        .await?;
    tx.commit().await?;

    let names: Vec<(String,)> = db
        .query("agents")
        .columns(["name"])
        .order_by("slug", Order::Asc)
        .fetch_all()
        .await?;
    let names: Vec<&str> = names.iter().map(|(name,)| name.as_str()).collect();
    let (tier, hosting) = (client.tier.as_str(), client.hosting().as_str());
    println!("  {:<8}{tier:<12}{hosting:<12}{}", client.name, names.join(", "));
    Ok(())
}

async fn attack(acme: &TenantDb, bolt: &TenantDb) -> Outcome<u32> {
    const SELECT: &str = "select name from agents where client_id = $1";
    const INSERT: &str = "insert into agents (client_id, slug, name) values ($1, 'mole', 'Mole')";
    const GIVE: &str = "update agents set client_id = $1";
    const FORGE: &str = "select set_config('tenantry.ticket', repeat('0', 144), true), $1";
    let target = bolt.client().id.as_uuid();

    let by_builder = acme.query("agents").eq("client_id", target).count().await;
    let attempts = [
        ("ask the builder for Bolt's rows", by_builder),
        ("select Bolt's rows", raw(acme, &[SELECT], target).await),
        ("insert a row of Bolt's", raw(acme, &[INSERT], target).await),
        ("give a row to Bolt", raw(acme, &[GIVE], target).await),
        (
            "forge a scope and select",
            raw(acme, &[FORGE, SELECT], target).await,
        ),
    ];
    let mut succeeded = 0;
    for (what, result) in attempts {
        let answer = match result {
            Ok(0) => "found no rows".to_owned(),
            Ok(rows) => {
                succeeded += 1;
                format!("REACHED {rows} ROWS")
            }
            Err(Error::ForeignClient { .. }) => "refused by the builder: not its own client_id".to_owned(),
            Err(Error::ScopeRefused { reason, .. }) => format!("refused by the kernel: {reason}"),
            Err(error) if error.sqlstate().as_deref() == Some("42501") => {
                "refused by row-level security".to_owned()
            }
            Err(other) => return Err(other.into()),
        };
        println!("  {what:<34}{answer}");
    }
    let rows = raw(bolt, &[SELECT], target).await?;
    println!("  {:<34}finds its {rows} rows", "select Bolt's rows, as Bolt");
    Ok(succeeded + u32::from(rows != 2))
}

/// How many rows the last of the statements reached, in one transaction of the client.
async fn raw(db: &TenantDb, statements: &[&'static str], target: Uuid) -> tenantry::Result<u64> {
    let mut tx = db.begin().await?;
    let mut rows = 0;
    for sql in statements {
        let done = sqlx::query(*sql).bind(target).execute(&mut tx).await;
        rows = done
            .map_err(|error| Error::from_sqlx(db.client().id, error))?
            .rows_affected();
    }
    tx.commit().await?;
    Ok(rows)
}
