//! A chatbot's platform out of data sets: models, tools and formats that all tenants read; three tenants with keys and
//! models of their own; agents that a tenant may use, with the tools that they ask there; and users. Applied twice,
//! looked at, and used: messages go by the name of an agent to that agent of the right tenant, or are refused.
//!
//! ```sh
//! cargo run --example seed_platform
//! ```
//!
//! Passwords and keys are given in the environment, as `SEED_ETMS_ADMIN_PASSWORD` and the like, or made up for this run.
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]

mod messages;
mod passwords;
#[path = "../quickstart/server.rs"]
mod server;

use std::path::Path;

use secrecy::{SecretBox, SecretString};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tenantry::{
    ClientConnectionManager, ClientSlug, CredentialKind, DataSet, Keyring, ManagerOptions, NewPool,
    PlatformDirectory, Provider, Seed, SharedRows, TierCatalog, schema,
};
use uuid::Uuid;

use self::messages::Router;
use self::passwords::{GivenOrMadeUp, Hashed};
use self::server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

static TABLES: Migrator = sqlx::migrate!("examples/seed_platform/migrations");

/// In any order: what refers to what is in the rows.
const DATA: [&str; 4] = ["users.json", "agents.json", "tenants.json", "catalogue.json"];

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = Server::shared().await?;
    let outcome = run(&server).await;
    server.clean_up().await?;
    outcome
}

async fn run(server: &Server) -> Outcome<()> {
    server.create_databases().await?;
    let mut key = [0; 32];
    key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    let keyring = Keyring::new(1, SecretBox::new(Box::new(key)));
    let url = SecretString::from(server.admin_url("platform"));
    let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
    platform.migrate().await?;
    let platform = platform.acting_as("seed");
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let mut pool = PgConnection::connect(&server.admin_url("pool")).await?;
    schema::apply_to_pool(&mut pool, server.app_role(), &TABLES).await?;
    pool.close().await?;
    let pool = NewPool::new("pool-1", server.app_url("pool"), server.admin_url("pool"));
    platform.register_pool(pool).await?;
    let manager = ClientConnectionManager::connect(ManagerOptions::new(url, keyring)).await?;

    let secrets = GivenOrMadeUp::default();
    let mut seed = Seed::new(platform.clone(), manager.clone())
        .secrets(secrets.clone())
        .secret_form("argon2", Hashed)
        // No tenant is there yet whose database it could be.
        .shared_rows(SharedRows::OfFleet);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/seed_platform/data");
    for name in DATA {
        seed = seed.data(DataSet::read(folder.join(name)).await?);
    }
    let planned = seed.dry_run().await?;
    println!("\nA dry run: {} rows would be created.", planned.created());
    let applied = seed.apply().await?;
    println!(
        "\nApplied, with {} secrets that were made up:\n\n{applied}",
        secrets.made_up()
    );
    let (again, beside) = tokio::try_join!(seed.apply(), seed.apply())?;
    println!(
        "\nAgain, twice at once: {} created, {} changed, {} unchanged.",
        again.created() + beside.created(),
        again.changed() + beside.changed(),
        again.unchanged() + beside.unchanged()
    );
    let verified = seed.verify().await?;
    println!("\nVerified, complete: {}\n\n{verified}", verified.is_complete());
    if applied.created() != planned.created() || !verified.is_complete() {
        return Err("what is there is not what was described".into());
    }

    keys(&platform, &manager).await?;
    messages(Router::new(manager.clone())?).await?;
    manager.close().await;
    platform.close().await;
    Ok(())
}

/// Each tenant has the key of its own provider, and no other's.
async fn keys(platform: &PlatformDirectory, manager: &ClientConnectionManager) -> Outcome<()> {
    println!("\nKeys:");
    for tenant in ["etms", "efms", "vela"] {
        let slug: ClientSlug = tenant.parse()?;
        let id = manager.tenant(slug).await?.client().id;
        for provider in [Provider::OPENAI, Provider::ANTHROPIC, Provider::GOOGLE] {
            let has = platform
                .credential(id, &provider, &CredentialKind::API_KEY)
                .await
                .is_ok();
            println!(
                "  {tenant}  {:<10} {}",
                provider.as_str(),
                if has { "its own" } else { "none" }
            );
        }
    }
    Ok(())
}

async fn messages(router: Router) -> Outcome<()> {
    println!("\nMessages:");
    let (mut answered, mut refused) = (0, 0);
    for (user_of, agent, text) in [
        ("etms", "Guideline", "How do I book a truck?"),
        ("efms", "Guideline", "How do I book a vessel?"),
        ("efms", "Debt", "What does Globex owe?"),
        ("efms", "shipment@efms", "Where is MAEU 123?"),
        ("vela", "Supervisor", "Who can help me?"),
        // eFMS alone may use these two, and its agents answer its own users alone.
        ("etms", "Debt", "What does Globex owe?"),
        ("vela", "Shipment", "Where is MAEU 123?"),
        ("etms", "debt@efms", "What does Globex owe?"),
    ] {
        print!("  a user of {user_of} to {agent:<14} ");
        match router.route(user_of, agent).await {
            Ok(found) => {
                answered += 1;
                println!(
                    "{text:?}\n      {} of {} by {}, {}",
                    found.name,
                    found.tenant,
                    found.model,
                    found.tools.join(", ")
                );
            }
            Err(error @ (tenantry::Error::UnknownClient { .. } | tenantry::Error::NotEntitled { .. })) => {
                refused += 1;
                println!("refused: {error}");
            }
            Err(other) => return Err(other.into()),
        }
    }
    if (answered, refused) != (5, 3) {
        return Err("a message went where it should not, or did not where it should".into());
    }
    Ok(())
}
