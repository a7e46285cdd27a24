use std::path::PathBuf;

use tenantry::testing::Fixture;

use super::Tool;
use crate::sql;
use crate::support::HOST;

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent_platform/migrations");

/// An empty database of the fixture's, owned by its admin role; dropped by whoever made it.
async fn create(fixture: &Fixture, name: &str) -> String {
    let database = fixture.database(name);
    let mut superuser = sql::connect(fixture.server().connect_options("postgres")).await;
    let create = format!("create database {database} owner {}", fixture.admin_role());
    sql::run(&mut superuser, &create).await;
    let mut inside = sql::connect(fixture.server().connect_options(&database)).await;
    sql::run(&mut inside, "create extension vector").await;
    database
}

async fn drop(fixture: &Fixture, database: &str) {
    let mut superuser = sql::connect(fixture.server().connect_options("postgres")).await;
    sql::run(&mut superuser, &format!("drop database {database} with (force)")).await;
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn an_empty_server_becomes_a_platform_with_a_pool_and_a_client() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let (platform, pool) = (
        create(&fixture, "new_platform").await,
        create(&fixture, "new_pool").await,
    );
    let folder = folder();
    let keys: PathBuf = folder.path().join("keys");
    let keys = keys.to_str().unwrap();
    let tool = Tool::with(&fixture, &platform).without("TENANTRY_KEYS");
    let told = tool
        .does(["init", "--tiers", "sidekicks", "--new-keys", keys])
        .await;
    assert!(told.contains("adventurer, champion, paragon"), "{told}");
    // The keyring that is there is everybody's way to the credentials: it is not made anew.
    assert_eq!(tool.run(["init", "--new-keys", keys]).await.code, 8);
    tool.does(["init", "--keys-file", keys]).await;

    let tool = tool
        .set("TENANTRY_POOL_APP_URL", fixture.app_url(&pool))
        .set("TENANTRY_POOL_ADMIN_URL", fixture.admin_url(&pool));
    tool.does([
        "pool",
        "add",
        "first",
        "--capacity",
        "5",
        "--migrations",
        MIGRATIONS,
        "--keys-file",
        keys,
    ])
    .await;
    let create = [
        "client",
        "create",
        "Acme",
        "--slug",
        "acme",
        "--tier",
        "adventurer",
        "--migrations",
        MIGRATIONS,
        "--keys-file",
        keys,
    ];
    tool.does(create).await;
    let pools = tool.json(["pool", "list", "--keys-file", keys]).await;
    assert_eq!(
        (&pools[0]["clients"], &pools[0]["capacity"]),
        (&1.into(), &5.into())
    );
    let healthy = tool.run(["doctor", "--keys-file", keys]).await;
    assert_eq!(healthy.code, 0, "{healthy:?}");
    drop(&fixture, &platform).await;
    drop(&fixture, &pool).await;
    fixture.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_of_secrets_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let fixture = Fixture::start(&HOST).await.unwrap();
    let folder = folder();
    let url = folder.path().join("url");
    std::fs::write(&url, fixture.admin_url(&fixture.database("platform"))).unwrap();
    let named = url.to_str().unwrap();
    let tool = Tool::of(&fixture).without("TENANTRY_PLATFORM_URL");
    std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = tool.run(["pool", "list", "--platform-url-file", named]).await;
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("chmod 600"), "{refused:?}");
    std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o600)).unwrap();
    tool.does(["pool", "list", "--platform-url-file", named]).await;

    // What it makes itself is so from the beginning.
    let keys = folder.path().join("keys");
    let init = [
        "init",
        "--new-keys",
        keys.to_str().unwrap(),
        "--platform-url-file",
        named,
    ];
    tool.without("TENANTRY_KEYS").does(init).await;
    assert_eq!(
        std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fixture.close().await;
}

#[tokio::test]
async fn a_pool_is_closed_and_opened_and_gets_another_key() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    tool.does(["pool", "close", "pool-1"]).await;
    assert_eq!(tool.json(["pool", "list"]).await[0]["active"], false);
    let full = [
        "client",
        "create",
        "Acme",
        "--slug",
        "acme",
        "--tier",
        "adventurer",
        "--migrations",
        MIGRATIONS,
    ];
    assert_eq!(tool.run(full).await.code, 5);
    tool.does(["pool", "open", &fixture.pool().to_string()]).await;
    tool.does(["pool", "rotate-key", "pool-1"]).await;
    let acme = tool.json(full).await;
    let manager = fixture.manager().await.unwrap();
    let id: uuid::Uuid = acme["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        manager
            .tenant(id)
            .await
            .unwrap()
            .query("agents")
            .count()
            .await
            .unwrap(),
        0
    );
    manager.close().await;
    assert_eq!(tool.run(["pool", "open", "no-such"]).await.code, 2);
    fixture.close().await;
}

#[tokio::test]
async fn a_client_leaves_as_a_file_and_comes_back_from_it() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let manager = fixture.manager().await.unwrap();
    crate::support::fill(&manager.tenant(acme.id).await.unwrap(), "acme")
        .await
        .unwrap();
    let folder = folder();
    let file = folder.path().join("acme");
    let file = file.to_str().unwrap();
    let tool = Tool::of(&fixture);
    let exported = tool.json(["export", "acme", "--to", file]).await;
    let before = std::fs::read(file).unwrap();
    assert_eq!(exported["bytes"], before.len());
    // A file that is there is somebody's.
    assert_eq!(tool.run(["export", "acme", "--to", file]).await.code, 8);
    assert_eq!(std::fs::read(file).unwrap(), before);

    let restored = tool
        .json(["restore", file, "--slug", "acme-2", "--tier", "adventurer"])
        .await;
    assert_eq!(restored["tables"], exported["tables"]);
    let again = manager
        .tenant("acme-2".parse::<tenantry::ClientSlug>().unwrap())
        .await
        .unwrap();
    assert_eq!(again.query("documents").count().await.unwrap(), 1);

    std::fs::write(file, &before[..before.len() - 40]).unwrap();
    let cut = tool
        .run(["restore", file, "--slug", "acme-3", "--tier", "adventurer"])
        .await;
    assert_ne!(cut.code, 0);
    assert_eq!(tool.run(["client", "show", "acme-3"]).await.code, 3, "{cut:?}");
    // An export that fails leaves no file that looks like one.
    let nobody = folder.path().join("nobody");
    assert_eq!(
        tool.run([
            "export",
            &uuid::Uuid::new_v4().to_string(),
            "--to",
            nobody.to_str().unwrap()
        ])
        .await
        .code,
        3
    );
    assert!(!nobody.exists());
    manager.close().await;
    fixture.close().await;
}
