//! Every future of the public API can be awaited in a task of its own.

use secrecy::SecretString;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tenantry::schema::{apply_to_dedicated, apply_to_pool};
use tenantry::{
    ClientConnectionManager, ClientId, ClientRef, ClientStatus, CredentialKind, Directory, Keyring,
    ManagerOptions, NewClient, NewPool, PlatformDirectory, PoolId, Provider, ResealOptions, RunOptions,
    TenantDb, TenantRequest, TenantResolver, TenantTx,
};

fn is_send<T: Send>(future: T) -> T {
    future
}

struct Agent;

impl sqlx::FromRow<'_, PgRow> for Agent {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        row.try_get::<String, _>("slug").map(|_| Self)
    }
}

// Type-checked, never called.
#[expect(dead_code, reason = "compiled alone")]
async fn of_a_manager(
    options: ManagerOptions,
    manager: ClientConnectionManager,
    client: ClientRef,
) -> tenantry::Result<()> {
    drop(is_send(ClientConnectionManager::connect(options)).await?);
    drop(is_send(manager.tenant(client)).await?);
    is_send(manager.close()).await;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_handle(db: TenantDb) -> tenantry::Result<()> {
    drop(is_send(db.pool()).await?);
    drop(is_send(db.begin()).await?);
    let _: Vec<Agent> = is_send(db.query("agents").eq("slug", "x").fetch_all()).await?;
    let _: Option<Agent> = is_send(db.query("agents").fetch_optional()).await?;
    let _: Agent = is_send(db.query("agents").fetch_one()).await?;
    is_send(db.query("agents").count()).await?;
    let agents = vec![("a".to_owned(), 1_i32)];
    let insert = db.insert("agents").rows(agents, |row, (slug, n)| {
        row.set("slug", slug).set("n", n);
    });
    let _: Vec<Agent> = is_send(insert.fetch_all()).await?;
    is_send(db.insert("agents").set("slug", "x").execute()).await?;
    let _: Agent = is_send(db.update("agents").set("slug", "x").all().fetch_one()).await?;
    is_send(db.update("agents").set("slug", "x").all().execute()).await?;
    let _: Option<Agent> = is_send(db.delete("agents").all().fetch_optional()).await?;
    is_send(db.delete("agents").all().execute()).await?;
    let _: Vec<Agent> = is_send(db.rpc("f").arg("a", 1).fetch_all()).await?;
    let _: Option<Agent> = is_send(db.rpc("f").fetch_optional()).await?;
    let _: Agent = is_send(db.rpc("f").fetch_one()).await?;
    is_send(db.rpc("f").execute()).await
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_transaction(mut tx: TenantTx, other: TenantTx) -> tenantry::Result<()> {
    let _: Vec<Agent> = is_send(tx.query("agents").fetch_all()).await?;
    is_send(tx.insert("agents").set("slug", "x").execute()).await?;
    is_send(tx.update("agents").set("slug", "x").all().execute()).await?;
    is_send(tx.delete("agents").all().execute()).await?;
    is_send(tx.rpc("f").execute()).await?;
    #[expect(clippy::disallowed_methods, reason = "SQL of a host's own")]
    let _ = is_send(sqlx::query("select 1").execute(&mut tx)).await;
    is_send(tx.commit()).await?;
    is_send(other.rollback()).await
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What it borrows of its caller goes into the closure.
async fn renamed(db: &TenantDb, name: &str) -> Result<u64, Failure> {
    db.run(async |mut tx| {
        let agents = tx.update("agents").set("name", name).all().execute().await?;
        in_a_function(&mut tx, name).await?;
        Ok(agents)
    })
    .await
}

#[expect(clippy::disallowed_methods, reason = "SQL of a host's own")]
async fn in_a_function(tx: &mut TenantTx, name: &str) -> sqlx::Result<()> {
    let select = sqlx::query("select $1").bind(name);
    select.execute(tx).await.map(drop)
}

async fn handler(axum::extract::State(db): axum::extract::State<TenantDb>, name: String) -> String {
    renamed(&db, &name)
        .await
        .map_or_else(|error| error.to_string(), |agents| agents.to_string())
}

#[expect(dead_code, clippy::disallowed_methods, reason = "compiled alone")]
async fn of_a_run(db: TenantDb, name: String) -> Result<(), Failure> {
    is_send(renamed(&db, &name)).await?;
    let _: axum::Router = axum::Router::new()
        .route("/", axum::routing::post(handler))
        .with_state(db.clone());
    tokio::spawn(async move {
        let mut runs = 0;
        let options = RunOptions::default().attempts(3);
        let counted = db.run_with(options, |mut tx| {
            runs += 1;
            let name = name.clone();
            async move {
                sqlx::query("select 1").execute(&mut *tx).await?;
                in_a_function(&mut tx, &name).await?;
                Ok::<_, Failure>(())
            }
        });
        counted.await?;
        db.run(async |mut tx| {
            let _: Vec<Agent> = tx.query("agents").eq("slug", &name).fetch_all().await?;
            Ok::<_, tenantry::Error>(())
        })
        .await?;
        Ok::<_, Failure>(runs)
    })
    .await??;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_directory(
    platform: PlatformDirectory,
    (url, keyring): (SecretString, Keyring),
    (id, pool): (ClientId, PoolId),
    (client, pools): (NewClient, NewPool),
) -> tenantry::Result<()> {
    drop(is_send(PlatformDirectory::connect(&url, keyring)).await?);
    is_send(platform.migrate()).await?;
    is_send(platform.register_pool(pools)).await?;
    is_send(platform.set_pool_active(pool, true)).await?;
    is_send(platform.create_client(client)).await?;
    is_send(platform.activate(id)).await?;
    is_send(platform.set_status(id, ClientStatus::Active)).await?;
    let (provider, kind) = (Provider::OPENAI, CredentialKind::API_KEY);
    is_send(platform.set_credential(id, &provider, &kind, &url)).await?;
    is_send(platform.credential(id, &provider, &kind)).await?;
    is_send(platform.credentials(id)).await?;
    is_send(platform.remove_credential(id, &provider, &kind)).await?;
    is_send(platform.sealed_by_key()).await?;
    is_send(platform.reseal(ResealOptions::default())).await?;
    is_send(Directory::client(&platform, &id.into())).await?;
    is_send(Directory::pool(&platform, pool)).await?;
    is_send(platform.close()).await;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_request(
    resolver: TenantResolver,
    manager: ClientConnectionManager,
    request: TenantRequest<'_>,
) -> tenantry::Result<()> {
    drop(is_send(resolver.tenant(&manager, &request)).await?);
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_schema(
    admin: &mut PgConnection,
    host: &sqlx::migrate::Migrator,
    client: ClientId,
) -> tenantry::Result<()> {
    is_send(apply_to_pool(admin, "app", host)).await?;
    is_send(apply_to_dedicated(admin, "app", client, host)).await?;
    Ok(())
}
