use serde_json::Value;
use tenantry::testing::Fixture;

use super::Tool;
use crate::sql;
use crate::support::HOST;

/// The checks that found something, and how bad that is. Each says what is wrong and how to mend it.
fn found(diagnosis: &Value) -> Vec<(String, String)> {
    let symptoms = diagnosis["symptoms"].as_array().unwrap();
    let text = |symptom: &Value, field: &str| {
        let text = symptom[field].as_str().unwrap().to_owned();
        assert!(!text.is_empty(), "{symptom}");
        text
    };
    let symptoms = symptoms.iter();
    symptoms
        .inspect(|symptom| drop((text(symptom, "what"), text(symptom, "mend"))))
        .map(|symptom| (text(symptom, "check"), text(symptom, "severity")))
        .collect()
}

fn problems<const N: usize>(checks: [&str; N]) -> Vec<(String, String)> {
    checks
        .map(|check| (check.to_owned(), "problem".to_owned()))
        .to_vec()
}

#[tokio::test]
async fn a_sound_installation_has_no_symptoms() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.shared_client("acme").await.unwrap();
    fixture.dedicated_client("vast").await.unwrap();
    let left = Tool::of(&fixture).run(["doctor", "--strict"]).await;
    assert_eq!(left.code, 0, "{left:?}");
    assert!(
        left.out
            .contains("1 pool and 1 dedicated databases examined: 0 problems"),
        "{left:?}"
    );
    fixture.close().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_pool_is_named() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.shared_client("acme").await.unwrap();
    let tool = Tool::of(&fixture);
    let mut pool = sql::connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut platform = sql::connect(fixture.admin_options(&fixture.database("platform"))).await;
    for (plant, mend, check) in [
        (
            "update tenantry.placement set epoch = epoch + 1",
            "update tenantry.placement set epoch = epoch - 1",
            "pool.placement",
        ),
        (
            "update tenantry.placement set state = 'moved'",
            "update tenantry.placement set state = 'active'",
            "pool.placement",
        ),
        (
            "update tenantry.placement set suspended = true",
            "update tenantry.placement set suspended = false",
            "pool.placement",
        ),
        (
            "update tenantry.scope_keys set key_id = key_id + 100",
            "update tenantry.scope_keys set key_id = key_id - 100",
            "pool.scope_key",
        ),
        (
            "alter table agents no force row level security",
            "alter table agents force row level security",
            "pool.unsafe",
        ),
    ] {
        sql::run(&mut pool, plant).await;
        let left = tool.run(["doctor"]).await;
        assert_eq!(left.code, 1, "{plant}: {left:?}");
        let diagnosis = tool.json(["doctor"]).await;
        assert_eq!(found(&diagnosis), problems([check]), "{plant}: {diagnosis:#}");
        sql::run(&mut pool, mend).await;
        assert_eq!(tool.run(["doctor"]).await.code, 0, "{mend}");
    }
    let failed = "update platform.known_schemas set failure = '55P03' where kind = 'pool'";
    sql::run(&mut platform, failed).await;
    assert_eq!(found(&tool.json(["doctor"]).await), problems(["fleet.failed"]));
    sql::run(&mut platform, "update platform.known_schemas set failure = null").await;
    let close = "update platform.pools set active = false";
    sql::run(&mut platform, close).await;
    assert_eq!(found(&tool.json(["doctor"]).await), problems(["platform.room"]));
    sql::run(&mut platform, "update platform.pools set active = true").await;
    fixture.close().await;
}

/// A pool that was restored from a backup of before a client moved would take its writes again.
#[tokio::test]
async fn a_client_that_two_databases_serve_is_named() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.add_pool("pool-2", 10).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let mut second = sql::connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    let revived = format!("select tenantry.place('{}', 'active', {})", acme.id, acme.epoch);
    sql::run(&mut second, &revived).await;
    let tool = Tool::of(&fixture);
    let diagnosis = tool.json(["doctor"]).await;
    assert_eq!(
        found(&diagnosis),
        problems(["pool.served_twice"]),
        "{diagnosis:#}"
    );
    let gone = format!("select tenantry.place('{}', 'moved', {})", acme.id, acme.epoch);
    sql::run(&mut second, &gone).await;
    assert_eq!(tool.run(["doctor"]).await.code, 0);
    fixture.close().await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_named_and_the_others_are_examined() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.add_pool("pool-2", 10).await.unwrap();
    let tool = Tool::of(&fixture)
        .set("TENANTRY_POOL_APP_URL", fixture.app_url("no_such_database"))
        .set("TENANTRY_POOL_ADMIN_URL", fixture.admin_url("no_such_database"));
    tool.does(["pool", "connections", "pool-1"]).await;
    let mut second = sql::connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    sql::run(&mut second, "alter table agents no force row level security").await;
    let diagnosis = tool.json(["doctor"]).await;
    let expected = problems(["pool.unreachable", "pool.unsafe"]);
    assert_eq!(found(&diagnosis), expected, "{diagnosis:#}");
    fixture.close().await;
}

#[tokio::test]
async fn keys_that_are_gone_and_what_was_not_ended_are_named() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let mut platform = sql::connect(fixture.admin_options(&fixture.database("platform"))).await;
    let begun = format!(
        "insert into platform.provisions (client_id, step, attempts, updated_at)
         values ('{}', 'placed', 3, now() - interval '1 hour')",
        acme.id
    );
    sql::run(&mut platform, &begun).await;
    let tool = Tool::of(&fixture);
    assert_eq!(
        found(&tool.json(["doctor"]).await),
        problems(["client.provisioning"])
    );
    sql::run(&mut platform, "delete from platform.provisions").await;

    let other = "2:6f746865722062797465732c2074686972747920616e642074776f206f662e2e";
    let tool = tool.without("TENANTRY_KEYS").set("TENANTRY_KEYS", other);
    let diagnosis = tool.json(["doctor"]).await;
    assert_eq!(
        found(&diagnosis)[..1],
        problems(["platform.keys"]),
        "{diagnosis:#}"
    );
    fixture.close().await;
}

#[tokio::test]
async fn a_platform_without_its_catalogue_is_told_so() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    // A pool database has no catalogue of clients.
    let tool = Tool::with(&fixture, &fixture.database("pool-1"));
    let diagnosis = tool.json(["doctor"]).await;
    assert_eq!(found(&diagnosis), problems(["platform.catalogue"]));
    assert_eq!(diagnosis["symptoms"][0]["mend"], "tenantry init");

    let mut platform = sql::connect(fixture.admin_options(&fixture.database("platform"))).await;
    let newer = "update platform.migrations set version = 9999 where version = (select max(version) from platform.migrations)";
    sql::run(&mut platform, newer).await;
    let diagnosis = Tool::of(&fixture).json(["doctor"]).await;
    let expected = problems(["platform.catalogue", "platform.catalogue"]);
    assert_eq!(found(&diagnosis), expected, "{diagnosis:#}");
    fixture.close().await;
}
