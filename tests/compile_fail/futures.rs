//! Every future of the public API can be awaited in a task of its own.

use secrecy::SecretString;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tenantry::schema::{apply_to_dedicated, apply_to_pool};
use tenantry::{
    ClientConnectionManager, ClientId, ClientRef, ClientStatus, Directory, Keyring, ManagerOptions,
    NewClient, NewPool, PlatformDirectory, PoolId, TenantDb, TenantTx,
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
    is_send(platform.set_credential(id, "provider", "kind", &url)).await?;
    is_send(platform.credential(id, "provider", "kind")).await?;
    is_send(Directory::client(&platform, &id.into())).await?;
    is_send(Directory::pool(&platform, pool)).await?;
    is_send(platform.close()).await;
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
