use tenantry::testing::Fixture;

use super::Tool;
use crate::sql;
use crate::support::HOST;

#[tokio::test]
async fn a_clean_fleet_is_told_so_and_exits_with_0() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    let out = tool.does(["audit"]).await;
    assert!(out.contains("pool pool-1 ("), "{out}");
    assert!(out.ends_with("1 database audited: nothing found\n"), "{out}");
    assert_eq!(tool.does(["audit", "--pool", "pool-1", "--mend"]).await, "");
    fixture.close().await;
}

#[tokio::test]
async fn what_is_wrong_is_written_as_text_json_and_sarif_and_mended() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    sql::run(
        &mut pool,
        "alter table agents no force row level security; create index on agents (name)",
    )
    .await;

    let left = tool.run(["audit"]).await;
    assert_eq!(left.code, 1, "{left:?}");
    assert!(
        left.out.contains("high table.rls_not_forced\n  public.agents\n"),
        "{left:?}"
    );
    let left = tool.run(["audit", "--fail-on", "critical"]).await;
    assert_eq!(left.code, 0, "{left:?}");
    let left = tool.run(["audit", "--fail-on", "worst"]).await;
    assert_eq!(left.code, 2, "{left:?}");

    let report = tool.json(["audit"]).await;
    assert_eq!(
        report["databases"][0]["findings"][0]["id"],
        "table.rls_not_forced"
    );
    assert_eq!(report["databases"][0]["findings"][0]["severity"], "high");
    let left = tool.run(["audit", "--format", "json", "--pool", "pool-1"]).await;
    let same: serde_json::Value = serde_json::from_str(&left.out).unwrap();
    assert_eq!(same["databases"], report["databases"]);

    let left = tool
        .run(["audit", "--format", "sarif", "--shown-at", "db/0001.sql"])
        .await;
    assert_eq!(left.code, 1, "{left:?}");
    let sarif: serde_json::Value = serde_json::from_str(&left.out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    let place = &results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(place, "db/0001.sql");

    let mend = tool.run(["audit", "--mend"]).await;
    assert_eq!(mend.code, 1, "{mend:?}");
    sql::run(&mut pool, &mend.out).await;
    let out = tool.does(["audit"]).await;
    assert!(out.contains("nothing found"), "{out}");
    fixture.close().await;
}

#[tokio::test]
async fn what_changed_since_a_report_is_told() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let since = path.to_str().unwrap();
    std::fs::write(&path, tool.does(["audit", "--format", "json"]).await).unwrap();
    let out = tool.does(["audit", "--since", since]).await;
    assert!(out.contains("nothing found"), "{out}");
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    sql::run(
        &mut pool,
        "alter table agents add nickname text; create index on agents (client_id, nickname)",
    )
    .await;
    let left = tool.run(["audit", "--since", since]).await;
    assert_eq!(left.code, 1, "{left:?}");
    assert!(left.out.contains("low drift.changed"), "{left:?}");
    std::fs::write(&path, "[]").unwrap();
    assert_eq!(tool.run(["audit", "--since", since]).await.code, 2);
    fixture.close().await;
}

#[tokio::test]
async fn a_database_without_a_platform_is_audited_by_its_url_from_the_environment() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let url = fixture.admin_url(&fixture.database("pool-1"));
    let tool = Tool::of(&fixture)
        .without("TENANTRY_PLATFORM_URL")
        .without("TENANTRY_KEYS")
        .set("TENANTRY_DATABASE_URL", url);
    let out = tool
        .does(["audit", "--database", "--app-role", fixture.app_role()])
        .await;
    assert!(out.contains("nothing found"), "{out}");
    assert_eq!(tool.run(["audit", "--database"]).await.code, 2);
    assert_eq!(
        tool.run(["audit", "--database", "--app-role", "nobody"])
            .await
            .code,
        5
    );
    let tool = tool.without("TENANTRY_DATABASE_URL");
    let left = tool.run(["audit", "--database", "--app-role", "x"]).await;
    assert_eq!(left.code, 2, "{left:?}");
    assert!(left.err.contains("TENANTRY_DATABASE_URL"), "{left:?}");
    fixture.close().await;
}

#[tokio::test]
async fn what_attacks_reach_is_told_with_the_rest() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    // What a slow machine leaves unclear is of medium severity.
    let left = tool.run(["audit", "--attack", "--fail-on", "high"]).await;
    assert_eq!(left.code, 0, "{left:?}");
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    sql::run(&mut pool, "alter table agents disable row level security").await;
    let report = tool.json(["audit", "--attack", "--pool", "pool-1"]).await;
    let databases = report["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 1, "{report}");
    let findings = databases[0]["findings"].as_array().unwrap();
    let ids: Vec<_> = findings
        .iter()
        .map(|finding| finding["id"].as_str().unwrap())
        .collect();
    for id in ["table.rls_off", "attack.read", "attack.write", "attack.delete"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    let left = tool
        .run(["audit", "--attack", "--database", "--app-role", "app"])
        .await;
    assert_eq!(left.code, 2, "{left:?}");
    fixture.close().await;
}
