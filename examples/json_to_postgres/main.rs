//! A service that keeps roles, users and agents of its clients in JSON files moves into PostgreSQL, with nothing lost:
//! the files are backed up and looked through, then every collection goes through the phases of a dual store while it is
//! written and read. A second write that fails is repaired, a divergence that is planted is found and explained, and in
//! the end every write that was acknowledged is looked for in the tables.
//!
//! ```sh
//! cargo run --example json_to_postgres
//! ```
//!
//! It ends with an error where anything is lost. It runs on the server of `DATABASE_URL` if that is set, else on a private
//! one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]
#![expect(clippy::disallowed_methods, reason = "breaks a table, and mends it")]

mod collection;
mod records;
#[path = "../quickstart/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;
use secrecy::{SecretBox, SecretString};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tenantry::{
    ClientConnectionManager, Error, JsonBackup, JsonImport, JsonRepository, Keyring, ManagerOptions,
    NewClient, NewPool, PlatformDirectory, Record, StorePhase, TierCatalog, schema,
};
use uuid::Uuid;

use self::collection::{Collection, Moved};
use self::records::{Agent, Role, User};
use self::server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

static TABLES: Migrator = sqlx::migrate!("examples/json_to_postgres/migrations");

const CLIENTS: [&str; 2] = ["acme", "bolt"];

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = Server::shared().await?;
    let folder = std::env::temp_dir().join(format!("json_to_postgres_{}", Uuid::new_v4().simple()));
    let outcome = run(&server, &folder).await;
    server.clean_up().await?;
    fs::remove_dir_all(&folder)?;
    outcome
}

async fn run(server: &Server, folder: &Path) -> Outcome<()> {
    server.create_databases().await?;
    let live = folder.join("data");
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/json_to_postgres/data"),
        &live,
    )?;

    println!("\nThe files are backed up, and read again:");
    let backup = JsonBackup::take(&live, folder.join("backups"), "before-postgresql").await?;
    println!(
        "  {} files in {}",
        backup.verify().await?,
        backup.path().display()
    );
    look_through(&live).await?;

    let keyring = Keyring::new(1, SecretBox::new(Box::new([7; 32])));
    let url = SecretString::from(server.admin_url("platform"));
    let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
    platform.migrate().await?;
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let mut admin = PgConnection::connect(&server.admin_url("pool")).await?;
    schema::apply_to_pool(&mut admin, server.app_role(), &TABLES).await?;
    let pool = NewPool::new("pool-1", server.app_url("pool"), server.admin_url("pool"));
    platform.register_pool(pool).await?;
    let manager = ClientConnectionManager::connect(ManagerOptions::new(url, keyring)).await?;

    println!("\nThe service writes and reads all of them, and does so until the end.");
    let mut collections: Vec<Box<dyn Collection>> = Vec::new();
    let mut acme = None;
    for name in CLIENTS {
        let client = NewClient::new(name, name.parse()?, "adventurer");
        let id = platform.create_client(client).await?.id;
        let db = manager.tenant(id).await?;
        let path = |of: &str| live.join(name).join(of);
        let roles = Moved::<Role>::begin(&platform, db.clone(), name, path("roles.json")).await?;
        let users = Moved::<User>::begin(&platform, db.clone(), name, path("users.json")).await?;
        let agents = Moved::<Agent>::begin(&platform, db, name, path("agents.json")).await?;
        if name == "acme" {
            acme = Some((roles, agents));
        } else {
            collections.push(Box::new(roles));
            collections.push(Box::new(agents));
        }
        collections.push(Box::new(users));
    }
    let Some((roles, agents)) = acme else {
        return Err("acme is none of the clients".into());
    };
    let all = || {
        collections
            .iter()
            .map(|one| &**one)
            .chain([&roles as &dyn Collection, &agents])
    };
    let change = async |to: StorePhase| {
        try_join_all(all().map(|one| one.change_phase(to))).await?;
        let traffic = all().map(Collection::traffic);
        let (written, read) = traffic.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        println!("\n{to}: after {written} writes and {read} reads");
        Ok::<_, Error>(())
    };

    change(StorePhase::DualWrite).await?;
    import(all()).await?;
    repair_a_write(&mut admin, &agents).await?;

    change(StorePhase::DualRead).await?;
    explain_a_divergence(&roles).await?;
    compare(all()).await?;

    change(StorePhase::CutOver).await?;
    println!("  the tables decide, and the files are written as well: there is a way back");
    change(StorePhase::CleanUp).await?;
    println!("  the files are not written any more");

    let is_lost = tell_what_is_lost(all()).await?;
    println!("  the backup is what it was: {} files", backup.verify().await?);
    admin.close().await?;
    manager.close().await;
    platform.close().await;
    if is_lost {
        Err("something was lost".into())
    } else {
        Ok(())
    }
}

/// Twice: the second time there is nothing to do.
async fn import<'c>(collections: impl Iterator<Item = &'c dyn Collection>) -> Outcome<()> {
    for one in collections {
        let imported = one.import().await?;
        let again = one.import().await?;
        println!(
            "  {:<12} {} created, {} unchanged; again: {} created, {} bad",
            one.name(),
            imported.created(),
            imported.unchanged(),
            again.created(),
            again.bad()
        );
    }
    Ok(())
}

async fn compare<'c>(collections: impl Iterator<Item = &'c dyn Collection>) -> Outcome<()> {
    for one in collections {
        let compared = one.verify().await?;
        println!(
            "  {:<12} {} records in the file, {} in the table, {} differ",
            one.name(),
            compared.truth,
            compared.second,
            compared.diverging
        );
        if !compared.is_clean() {
            return Err(format!("{} differs", one.name()).into());
        }
    }
    Ok(())
}

/// Looks for every write that was acknowledged.
async fn tell_what_is_lost<'c>(collections: impl Iterator<Item = &'c dyn Collection>) -> Outcome<bool> {
    let mut lost = Vec::new();
    let mut written = 0;
    for one in collections {
        lost.extend(one.lost().await?);
        written += one.traffic().0;
    }
    println!("\n{written} writes were acknowledged, and all records compared with the last of them:");
    println!("  lost: {}", lost.len());
    for one in &lost {
        println!("  {one}");
    }
    Ok(!lost.is_empty())
}

/// What cannot be read is told by file and position, and set aside: no service could go on with it.
async fn look_through(live: &Path) -> Outcome<()> {
    println!("\nThe files are looked through:");
    for client in CLIENTS {
        let path = |name: &str| live.join(client).join(name);
        look_through_one::<Role>(path("roles.json")).await?;
        look_through_one::<User>(path("users.json")).await?;
        look_through_one::<Agent>(path("agents.json")).await?;
    }
    Ok(())
}

async fn look_through_one<R: Record>(path: PathBuf) -> Outcome<()> {
    let checked = JsonImport::<R>::new([&path]).check().await?;
    for file in &checked.files {
        println!("  {}: {} records, {} bad", short(&path), file.records, file.bad);
        for one in &file.bad_records {
            println!("    line {}, column {}: {}", one.at.line, one.at.column, one.kind);
        }
    }
    if checked.bad() > 0 {
        let aside = JsonRepository::<R>::new(&path).set_aside().await?;
        println!(
            "    {} set aside in {}.bad, to be mended by hand",
            aside.len(),
            short(&path)
        );
    }
    Ok(())
}

fn short(path: &Path) -> String {
    let parts: Vec<_> = path
        .iter()
        .rev()
        .take(2)
        .map(|part| part.to_string_lossy())
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// A table that refuses a write is no reason to refuse the caller: the file decides.
async fn repair_a_write(admin: &mut PgConnection, agents: &Moved<Agent>) -> Outcome<()> {
    println!("\nThe table of agents refuses an agent that the file takes:");
    let refuse = "alter table agents add constraint nobody check (name <> 'Nobody') not valid";
    sqlx::raw_sql(refuse).execute(&mut *admin).await?;
    agents
        .create(Agent {
            slug: "nobody".to_owned(),
            name: "Nobody".to_owned(),
            prompt: String::new(),
            version: 1,
        })
        .await?;
    let status = agents.status().await?;
    for repair in &status.repairs {
        println!(
            "  acknowledged, and to be repaired: {}, {}",
            repair.key, repair.failure
        );
    }
    if status.to_be_repaired != 1 {
        return Err("a write that failed was forgotten".into());
    }
    sqlx::raw_sql("alter table agents drop constraint nobody")
        .execute(admin)
        .await?;
    agents.store.repair().await?;
    while agents.status().await?.to_be_repaired > 0 {
        tokio::task::yield_now().await;
    }
    println!("  once the table takes it: repaired");
    Ok(())
}

/// Whoever writes past the dual store is found by those who read.
async fn explain_a_divergence(roles: &Moved<Role>) -> Outcome<()> {
    let planted = Role {
        slug: "editor".to_owned(),
        name: "Editor".to_owned(),
        permissions: vec!["read".to_owned(), "write".to_owned(), "grant".to_owned()],
    };
    roles.plant(&planted).await?;
    roles.store.get("editor").await?;
    roles.store.compared().await;
    let status = roles.status().await?;
    println!(
        "  one was planted: {} found by readers, {} listed",
        status.divergences_found, status.diverging
    );
    for divergence in &status.divergences {
        println!("    {divergence}");
    }
    if status.diverging != 1 {
        return Err("what was planted was not found".into());
    }
    match roles.store.change_phase(StorePhase::CutOver).await {
        Err(Error::DualStore { source, .. }) => println!("    a cut over is refused: {source}"),
        other => return Err(format!("not refused: {other:?}").into()),
    }
    let mended = roles.store.reconcile().await?;
    println!("    reconciled: {} written", mended.written);
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
