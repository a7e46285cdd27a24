//! Commands over the whole fleet, and on tables that had one client.

use tenantry::testing::Fixture;

use super::Tool;
use crate::sql;
use crate::support::{HOST, fill};

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent_platform/migrations");

#[tokio::test]
async fn a_fleet_is_migrated_and_says_how_it_stands() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.dedicated_client("vast").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(MIGRATIONS).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let with = |sql: &str| std::fs::write(folder.path().join("9001_notes.sql"), sql).unwrap();
    with(
        "create table notes (client_id uuid not null, id uuid not null, primary key (client_id, id)); select tenantry.protect('notes');",
    );
    let at = folder.path().to_str().unwrap();
    let tool = Tool::of(&fixture);
    let plan = tool.json(["migrate", "--migrations", at, "--dry-run"]).await;
    assert_eq!(
        plan["rings"][0]["databases"].as_array().unwrap().len(),
        2,
        "{plan:#}"
    );
    assert_eq!(
        tool.run(["migrate", "--migrations", at, "--status"]).await.code,
        1,
        "both are behind"
    );
    let report = tool
        .json(["migrate", "--migrations", at, "--canaries", "pool-1"])
        .await;
    assert_eq!(
        (&report["end"], report["done"].as_array().unwrap().len()),
        (&"completed".into(), 2),
        "{report:#}"
    );
    assert_eq!(
        tool.run(["migrate", "--migrations", at, "--status"]).await.code,
        0
    );
    let again = tool.json(["migrate", "--migrations", at]).await;
    assert_eq!(
        (&again["run"], &again["current"]),
        (&serde_json::Value::Null, &2.into())
    );

    // What was applied is not what is in the folder any more.
    with("select 1;");
    let drift = tool.run(["migrate", "--migrations", at, "--verify"]).await;
    assert_eq!(drift.code, 1, "{drift:?}");
    assert!(
        drift.out.contains("pool pool-1") && drift.out.contains("9001"),
        "{drift:?}"
    );
    let unknown = tool
        .run(["migrate", "--migrations", at, "--canaries", "no-such"])
        .await;
    assert_ne!(unknown.code, 0);
    fixture.close().await;
}

#[tokio::test]
async fn rows_are_seeded_once_and_found_again() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.shared_client("acme").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agents.json");
    let set = serde_json::json!({
        "of_client": { "acme": [
            { "table": "agents", "key": ["slug"], "rows": [{ "slug": "guide", "name": "Guide" }] }
        ] }
    });
    std::fs::write(&file, set.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let tool = Tool::of(&fixture);
    let dry = tool.json(["seed", file, "--dry-run"]).await;
    assert_eq!(
        (&dry["created"], tool.run(["seed", file, "--verify"]).await.code),
        (&1.into(), 1),
        "{dry:#}"
    );
    assert_eq!(tool.json(["seed", file]).await["created"], 1);
    let again = tool.json(["seed", file]).await;
    assert_eq!((&again["created"], &again["unchanged"]), (&0.into(), &1.into()));
    assert_eq!(tool.run(["seed", file, "--verify"]).await.code, 0);
    fixture.close().await;
}

#[tokio::test]
async fn what_clients_take_up_is_told_by_client_and_by_pool() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let manager = fixture.manager().await.unwrap();
    fill(&manager.tenant(acme.id).await.unwrap(), "acme")
        .await
        .unwrap();
    manager.close().await;
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    sql::run(&mut pool, "analyze").await;
    let tool = Tool::of(&fixture);
    let exact = tool.json(["usage", "acme", "--exact"]).await;
    let agents = exact["tables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|of| of["table"] == "public.agents")
        .unwrap();
    assert_eq!(agents["rows"].to_string(), r#"{"exact":1}"#, "{exact:#}");
    assert!(tool.does(["usage", "acme"]).await.contains("public.agents"));
    assert_eq!(tool.run(["usage"]).await.code, 0);
    let outgrown = tool.run(["usage", "--max-rows", "3"]).await;
    assert_eq!(outgrown.code, 1, "it has more: {outgrown:?}");
    assert!(outgrown.out.contains("acme"), "{outgrown:?}");
    fixture.close().await;
}

#[tokio::test]
async fn a_table_of_one_client_becomes_that_of_many_and_again_of_one() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let house = fixture.shared_client("house").await.unwrap();
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    sql::run(&mut pool, "create table notes (id bigint primary key, body text)").await;
    sql::run(&mut pool, "insert into notes values (1, 'a'), (2, 'b')").await;
    let tool = Tool::of(&fixture);
    let whose = house.slug.to_string();
    let plan = tool
        .run(["retrofit", "plan", "--pool", "pool-1", "--to", &whose])
        .await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.out.contains("notes"), "{plan:?}");
    assert_eq!(
        tool.json(["retrofit", "status", "--pool", "pool-1"]).await["state"],
        serde_json::Value::Null
    );
    let start = ["retrofit", "start", "--pool", "pool-1", "--to", &whose];
    assert_eq!(tool.json(start).await["state"], "prepared");
    assert_eq!(
        tool.json(["retrofit", "protect", "--pool", "pool-1"]).await["state"],
        "protected"
    );
    let rows: i64 = sql::one(
        &mut pool,
        &format!("select count(*) from notes where client_id = '{}'", house.id),
    )
    .await;
    assert_eq!(rows, 2);
    assert_eq!(
        tool.json(["retrofit", "roll-back", "--pool", "pool-1"]).await["state"],
        "rolled back"
    );
    let columns: i64 = sql::one(
        &mut pool,
        "select count(*) from information_schema.columns where table_name = 'notes'",
    )
    .await;
    assert_eq!(columns, 2);
    fixture.close().await;
}
