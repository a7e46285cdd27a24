//! Every future of the public API can be awaited in a task of its own.

use secrecy::SecretString;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tenantry::schema::{apply_to_dedicated, apply_to_pool};
use tenantry::{
    AuditFilter, ClientConnectionManager, ClientFilter, ClientId, ClientKey, ClientRef, ClientStatus,
    ClientUpdate, CredentialKind, DataSet, Directory, EraseOptions, EventSink, Explain, ExportOptions,
    Features, Fleet, FleetOwner, Keyring, Limit, Limits, ManagerOptions, NewClient, NewPool,
    PlatformDirectory, PoolId, Provider, Provisioning, RelocateTo, Relocation, ResealOptions, RestoreOptions,
    RunOptions, SecretFile, Seed, Settled, TakeUsage, TenantDb, TenantRequest, TenantResolver, TenantTx,
    TierCatalog, VectorIndex,
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
    is_send(manager.hears_changes()).await;
    is_send(manager.close()).await;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_handle(db: TenantDb) -> tenantry::Result<()> {
    drop(is_send(db.pool()).await?);
    drop(is_send(db.begin()).await?);
    is_send(db.meter(Limit::API_CALLS_PER_MONTH)).await?;
    is_send(db.query("agents").explain(Explain::Plan)).await?;
    is_send(db.query("chunks").nearest("embedding", vec![0.0_f32]).recall()).await?;
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
    is_send(tx.reserve(Limit::MAX_DOCUMENTS, 1)).await?;
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
    drop(is_send(platform.changes()).await?);
    is_send(platform.note_active(&[id])).await?;
    is_send(platform.tiers()).await?;
    let limit = &Limit::API_CALLS_PER_MONTH;
    let take = TakeUsage {
        client: id,
        limit,
        needed: 1,
        block: 1,
    };
    let taken = is_send(platform.take_usage(take)).await?;
    is_send(platform.give_back(id, limit, taken.month, 1)).await?;
    is_send(platform.close()).await;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_catalogue(
    platform: PlatformDirectory,
    (id, pool): (ClientId, PoolId),
    (url, key): (SecretString, ClientKey),
    settings: serde_json::Map<String, serde_json::Value>,
) -> tenantry::Result<()> {
    is_send(platform.clients(&ClientFilter::default(), None, 10)).await?;
    is_send(platform.update_client(id, &ClientUpdate::default())).await?;
    is_send(platform.add_key(id, &key)).await?;
    is_send(platform.remove_key(id, &key)).await?;
    is_send(platform.keys(id)).await?;
    is_send(platform.audit_log(&AuditFilter::default(), None, 10)).await?;
    is_send(platform.usage(id)).await?;
    is_send(platform.inactive_clients(std::time::Duration::ZERO, 1)).await?;
    is_send(platform.set_limits(id, &Limits::default())).await?;
    is_send(platform.set_tier(id, "champion")).await?;
    is_send(platform.set_features(id, &Features::default())).await?;
    is_send(platform.set_settings(id, &settings)).await?;
    is_send(platform.set_grace_days(id, None)).await?;
    is_send(platform.set_retention_days(id, None)).await?;
    is_send(platform.set_dedicated(id, &url, &url)).await?;
    is_send(platform.set_pool_connections(pool, &url, &url)).await?;
    is_send(platform.rotate_scope_key(pool)).await?;
    is_send(platform.apply_tiers(&TierCatalog::default())).await?;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_life(
    platform: PlatformDirectory,
    provisioning: Provisioning,
    id: ClientId,
    (client, sink): (NewClient, &dyn EventSink),
) -> tenantry::Result<()> {
    is_send(provisioning.provision(client.clone())).await?;
    is_send(provisioning.resume(id)).await?;
    is_send(provisioning.unfinished()).await?;
    is_send(provisioning.restock(1)).await?;
    is_send(provisioning.stock()).await?;
    is_send(provisioning.abandon(id)).await?;
    is_send(provisioning.remove(id, &EraseOptions::default())).await?;
    is_send(platform.deliver_events(sink, 10)).await?;
    is_send(platform.archive_inactive(std::time::Duration::ZERO, 1)).await?;
    is_send(platform.delete_client(id)).await?;
    is_send(platform.undelete_client(id)).await?;
    is_send(platform.erase_client(id, &EraseOptions::default())).await?;
    let mut file = Vec::new();
    is_send(platform.export_client(id, &mut file, &ExportOptions::default())).await?;
    is_send(platform.restore_client(id, &file[..], &RestoreOptions::default())).await?;
    is_send(platform.clone_client(id, client, &ExportOptions::default())).await?;
    is_send(platform.promote_vectors(id, &VectorIndex::new("chunks", "embedding"))).await?;
    is_send(platform.demote_vectors(id, "chunks", "embedding")).await?;
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
async fn of_relocations(
    relocation: Relocation,
    provisioning: Provisioning,
    id: ClientId,
    to: RelocateTo,
) -> tenantry::Result<()> {
    drop(is_send(relocation.plan(id, &to)).await?);
    drop(is_send(relocation.start(id, &to)).await?);
    drop(is_send(relocation.resume(id)).await?);
    is_send(relocation.follow_back(id)).await?;
    drop(is_send(relocation.revert(id)).await?);
    drop(is_send(relocation.cancel(id)).await?);
    drop(is_send(relocation.complete(id)).await?);
    drop(is_send(relocation.differences(id, None, 1)).await?);
    drop(is_send(relocation.status(id)).await?);
    drop(is_send(relocation.unfinished()).await?);
    drop(is_send(relocation.upgrade(&provisioning, id, "champion")).await?);
    drop(is_send(relocation.downgrade(&provisioning, id, "adventurer", None)).await?);
    is_send(relocation.tend()).await;
    Ok(())
}

#[expect(dead_code, reason = "compiled alone")]
async fn of_a_fleet(fleet: Fleet, of: FleetOwner) -> tenantry::Result<()> {
    drop(is_send(fleet.plan()).await?);
    drop(is_send(fleet.plan_roll_back(1)).await?);
    drop(is_send(fleet.migrate()).report().await?);
    drop(is_send(fleet.roll_back(1).report()).await?);
    drop(is_send(fleet.verify()).await?);
    drop(is_send(fleet.status()).await?);
    drop(is_send(fleet.history(of, 1)).await?);
    is_send(fleet.settle(of, 1, Settled::Undone)).await
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

#[expect(dead_code, reason = "compiled alone")]
async fn of_seeding(seed: Seed) -> tenantry::Result<()> {
    drop(is_send(DataSet::read("set.json")).await?);
    drop(is_send(SecretFile::read("secrets")).await?);
    drop(is_send(seed.dry_run()).await?);
    drop(is_send(seed.apply()).await?);
    drop(is_send(seed.verify()).await?);
    Ok(())
}
