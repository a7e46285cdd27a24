use serde_json::Value;
use tenantry::Isolation;
use tenantry::testing::Fixture;

use super::Tool;
use crate::sql;
use crate::support::{HOST, fill};

#[tokio::test]
async fn a_client_is_moved_and_brought_back_and_moved_for_good() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.add_pool("pool-2", 10).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let manager = fixture.manager().await.unwrap();
    fill(&manager.tenant(acme.id).await.unwrap(), "acme")
        .await
        .unwrap();
    let tool = Tool::of(&fixture);
    let plan = tool
        .json(["relocate", "plan", "acme", "--to-pool", "pool-2"])
        .await;
    assert_eq!(
        (&plan["possible"], &plan["findings"]),
        (&true.into(), &serde_json::json!([]))
    );
    let moved = tool
        .json(["relocate", "start", "acme", "--to-pool", "pool-2"])
        .await;
    assert_eq!(moved["phase"], "moved");
    assert_eq!(
        tool.json(["relocate", "status"]).await[0]["client"],
        acme.id.to_string()
    );
    assert_eq!(
        tool.json(["relocate", "differences", "acme"]).await,
        serde_json::json!([])
    );
    assert_eq!(
        tool.json(["relocate", "revert", "acme"]).await["phase"],
        "reverted"
    );
    tool.does(["relocate", "start", "acme", "--to-pool", "pool-2"])
        .await;
    assert_eq!(
        tool.json(["relocate", "complete", "acme"]).await["phase"],
        "completed"
    );
    assert_eq!(tool.json(["relocate", "status"]).await, serde_json::json!([]));
    assert_eq!(
        manager
            .tenant(acme.id)
            .await
            .unwrap()
            .query("agents")
            .count()
            .await
            .unwrap(),
        1
    );
    manager.close().await;
    fixture.close().await;
}

#[tokio::test]
async fn a_plan_with_findings_exits_with_1_and_a_start_with_an_error() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.add_pool("pool-2", 10).await.unwrap();
    fixture.shared_client("acme").await.unwrap();
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    sql::run(&mut pool, "alter table agents drop column name").await;
    let tool = Tool::of(&fixture);
    let plan = tool
        .run(["relocate", "plan", "acme", "--to-pool", "pool-2"])
        .await;
    assert_eq!(plan.code, 1, "{plan:?}");
    assert!(plan.out.contains("public.agents"), "{plan:?}");
    assert_ne!(
        tool.run(["relocate", "start", "acme", "--to-pool", "pool-2"])
            .await
            .code,
        0
    );
    assert_eq!(
        tool.run(["relocate", "start", "acme"]).await.code,
        2,
        "it says not where to"
    );
    fixture.close().await;
}

/// A transaction of the client keeps it where it is; the mover waits for it, and is interrupted there.
#[cfg(unix)]
#[tokio::test]
async fn one_that_is_interrupted_is_resumed() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.add_pool("pool-2", 10).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let manager = fixture.manager().await.unwrap();
    let db = manager.tenant(acme.id).await.unwrap();
    fill(&db, "acme").await.unwrap();
    let mut tx = db
        .begin_with(tenantry::TransactionOptions::default().isolation(Isolation::ReadCommitted))
        .await
        .unwrap();
    tx.update("agents")
        .set("name", "held")
        .eq("slug", "guide")
        .execute()
        .await
        .unwrap();

    let tool = Tool::of(&fixture);
    let child =
        tokio::process::Command::from(tool.command(["relocate", "start", "acme", "--to-pool", "pool-2"]))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    let mut platform = sql::connect(fixture.admin_options(&fixture.database("platform"))).await;
    sql::until(
        &mut platform,
        "select exists (select from platform.relocations where attempt > 0 and ended_at is null)",
    )
    .await;
    let interrupt = format!("kill -INT {}", child.id().unwrap());
    assert!(
        std::process::Command::new("sh")
            .args(["-c", &interrupt])
            .status()
            .unwrap()
            .success()
    );
    let left = child.wait_with_output().await.unwrap();
    assert_eq!(
        left.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&left.stderr)
    );
    assert!(String::from_utf8_lossy(&left.stderr).contains("to go on"));

    tx.commit().await.unwrap();
    assert_eq!(tool.json(["relocate", "resume", "acme"]).await["phase"], "moved");
    let names: Vec<(String,)> = manager
        .tenant(acme.id)
        .await
        .unwrap()
        .query("agents")
        .columns(["name"])
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(names, [("held".to_owned(),)]);
    let status: Value = tool.json(["relocate", "status", "acme"]).await;
    assert!(status[0]["attempts"].as_i64().unwrap() >= 2, "{status}");
    manager.close().await;
    fixture.close().await;
}
