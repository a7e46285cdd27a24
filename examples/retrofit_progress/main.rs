//! A service that tells how far documents are, and that had one client, gets many: its table becomes the tenants' while
//! it writes and reads, and goes back, and comes again. Calls without a client are counted until they stop.
//!
//! ```sh
//! cargo run --example retrofit_progress
//! ```
//!
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]
#![expect(
    clippy::disallowed_methods,
    reason = "makes the tables and roles of an old service"
)]

mod old_service;
#[path = "../quickstart/server.rs"]
mod server;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use secrecy::{SecretBox, SecretString};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tenantry::testing::PgServer;
use tenantry::{
    Assign, ClientConnectionManager, ClientId, ClientRef, ExternalRef, Keyring, LegacyCall, LegacyCalls,
    ManagerOptions, NewClient, NewPool, PlatformDirectory, Retrofit, TierCatalog, schema,
};

use self::old_service::OldService;
use self::server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The old service has made its tables itself.
static NONE: Migrator = Migrator::DEFAULT;

const TABLES: &str = "
    create table documents (
        id       bigserial primary key,
        filename text not null,
        email    text not null,
        done     integer not null default 0,
        warn     integer not null default 0,
        failed   integer not null default 0,
        unique (filename, email)
    );
    insert into documents (filename, email, done)
    select n || '.pdf', 'ada@example.org', 1 from generate_series(0, 99999) n";

const DEFAULT_CLIENT: &str = "krn:default:client:001";

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = Server::shared().await?;
    let postgres = PgServer::shared().await?;
    // The role that the old service logs in as.
    let old = format!("{}_old", server.app_role());
    let mut superuser = PgConnection::connect(&postgres.url("postgres")).await?;
    run(
        &mut superuser,
        format!("create role {old} login password '{old}'"),
    )
    .await?;
    let outcome = retrofit(&server, &postgres, &old).await;
    server.clean_up().await?;
    run(&mut superuser, format!("drop role {old}")).await?;
    outcome
}

async fn run(conn: &mut PgConnection, sql: String) -> Outcome<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

async fn retrofit(server: &Server, postgres: &PgServer, old: &str) -> Outcome<()> {
    server.create_databases().await?;
    let mut admin = PgConnection::connect(&server.admin_url("pool")).await?;
    run(&mut admin, TABLES.to_owned()).await?;
    let rights = format!(
        "grant select, insert, update, delete on documents to {old}; grant usage on sequence documents_id_seq to {old}"
    );
    run(&mut admin, rights).await?;

    println!("\nIts database becomes a pool, with one client: {DEFAULT_CLIENT}.");
    let keyring = Keyring::new(1, SecretBox::new(Box::new([7; 32])));
    let url = SecretString::from(server.admin_url("platform"));
    let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
    platform.migrate().await?;
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    schema::apply_to_pool(&mut admin, server.app_role(), &NONE).await?;
    let new = NewPool::new("progress", server.app_url("pool"), server.admin_url("pool"));
    let pool = platform.register_pool(new).await?;
    let reference: ExternalRef = DEFAULT_CLIENT.parse()?;
    let house = NewClient::new("Default", "default".parse()?, "adventurer").external_ref(reference.clone());
    let house = platform.create_client(house).await?.id;
    let bolt = NewClient::new("Bolt", "bolt".parse()?, "adventurer");
    let bolt = platform.create_client(bolt).await?.id;

    let retrofit = Retrofit::new(platform.clone(), pool, Assign::to(house)).bridge(old, house);
    let plan = retrofit.plan().await?;
    println!("\nThe plan:\n\n{plan}");
    let before = catalogue(&mut admin).await?;
    let database: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut admin)
        .await?;
    let service = OldService::begin(&postgres.url_as(old, old, &database)).await?;
    let began = Instant::now();
    retrofit.start().await?;
    println!(
        "prepared after {:?}: the old service has seen nothing of it",
        began.elapsed()
    );
    service.goes_on().await?;
    let began = Instant::now();
    retrofit.protect().await?;
    println!(
        "protected after {:?} more: it goes on over its bridge",
        began.elapsed()
    );
    service.goes_on().await?;
    let of_default = format!("select count(*) from documents where client_id = '{house}'");
    tell(&mut admin, &of_default, "rows are the default client's").await?;
    let of_others = format!("select count(*) from documents where client_id <> '{house}'");
    tell(&mut admin, &of_others, "rows are anybody else's").await?;
    println!("  {}", catalogue(&mut admin).await?.join("\n  "));

    println!("\nAll of it is rolled back, under the same writer and reader:");
    retrofit.rollback().await?;
    service.goes_on().await?;
    let same = catalogue(&mut admin).await? == before;
    println!("  the table is what it was: {same}");
    let (writer, reader) = service.end().await?;
    println!(
        "  {} writes, the longest took {:?}; {} reads, the longest took {:?}; no error",
        writer.calls, writer.longest, reader.calls, reader.longest
    );
    let acknowledged = i64::try_from(writer.calls)?;
    let there: i64 =
        sqlx::query_scalar("select sum(done)::int8 from documents where email = 'writer@example.org'")
            .persistent(false)
            .fetch_one(&mut admin)
            .await?;
    println!("  {acknowledged} writes were acknowledged, and {there} are there");
    if there != acknowledged || !same {
        return Err("something was lost".into());
    }

    println!("\nOnce more, to stay:");
    retrofit.start().await?;
    retrofit.protect().await?;
    let manager = ClientConnectionManager::connect(ManagerOptions::new(url, keyring)).await?;
    gradually(&manager, reference, bolt).await?;
    retrofit.finish().await?;
    println!("\nNobody needs the bridge any more: it is closed.");
    manager.close().await;
    platform.close().await;
    Ok(())
}

/// Callers of the new service who name no client yet.
async fn gradually(manager: &ClientConnectionManager, house: ExternalRef, bolt: ClientId) -> Outcome<()> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let legacy = LegacyCalls::of(house).hook(move |call: &LegacyCall<'_>| {
        // A header of the answer, or a line of the log.
        let line = format!("Deprecation: {call}");
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    });
    let calls = [
        ("nightly-import", None),
        ("web", Some(ClientRef::from(bolt))),
        ("nightly-import", None),
        ("report", None),
    ];
    for (caller, named) in calls {
        let client = named.unwrap_or_else(|| legacy.client(caller));
        let db = manager.tenant(client).await?;
        let updated = db
            .insert("documents")
            .set("filename", "0.pdf")
            .set("email", "ada@example.org")
            .on_conflict_update(["filename", "email"], ["filename"]);
        updated.execute().await?;
        let rows = db.query("documents").count().await?;
        println!("  {caller} sees {rows} documents");
    }
    for line in log.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("  {line}");
    }
    for caller in legacy.callers() {
        println!(
            "  {}: {} calls, the last {:?} ago",
            caller.caller.as_deref().unwrap_or("others"),
            caller.calls,
            caller.last_seen.elapsed().unwrap_or_default()
        );
    }
    Ok(())
}

async fn tell(conn: &mut PgConnection, sql: &str, what: &str) -> Outcome<()> {
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .persistent(false)
        .fetch_one(conn)
        .await?;
    println!("  {count} {what}");
    Ok(())
}

/// What guards the table.
async fn catalogue(conn: &mut PgConnection) -> Outcome<Vec<String>> {
    let rows = sqlx::query_scalar(
        "select 'column ' || attname from pg_attribute
         where attrelid = 'documents'::regclass and attnum > 0 and not attisdropped
         union all
         select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'documents'::regclass
         union all
         select 'policy ' || polname from pg_policy where polrelid = 'documents'::regclass
         order by 1",
    )
    .persistent(false)
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
