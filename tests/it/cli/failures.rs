use serde_json::Value;
use tenantry::testing::Fixture;

use super::Tool;
use crate::support::HOST;

#[tokio::test]
async fn an_exit_code_says_what_to_do_about_it() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    assert_eq!(tool.run(["client", "show", "nobody"]).await.code, 3);
    assert_eq!(tool.run(["client", "show", "No Name"]).await.code, 2);
    assert_eq!(tool.run(["no-such-command"]).await.code, 2);
    let nowhere = Tool::of(&fixture)
        .without("TENANTRY_PLATFORM_URL")
        .set("TENANTRY_PLATFORM_URL", fixture.admin_url("no_such_database"));
    assert_eq!(nowhere.run(["pool", "list"]).await.code, 4);
    let keyless = Tool::of(&fixture).without("TENANTRY_KEYS");
    let missing = keyless.run(["pool", "list"]).await;
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("set TENANTRY_KEYS"), "{missing:?}");
    let empty = keyless.set("TENANTRY_KEYS", "").run(["pool", "list"]).await;
    assert_eq!(empty.code, 2);
    assert!(empty.err.contains("TENANTRY_KEYS is set to nothing"), "{empty:?}");
    fixture.close().await;
}

#[tokio::test]
async fn an_error_is_json_where_machines_read() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let left = Tool::of(&fixture)
        .run(["--json", "client", "show", "nobody"])
        .await;
    assert_eq!((left.code, left.out.as_str()), (3, ""));
    let error: Value = serde_json::from_str(&left.err).unwrap();
    assert_eq!(error["error"]["kind"], "client");
    assert!(error["error"]["message"].as_str().unwrap().contains("nobody"));
    fixture.close().await;
}

/// A URL in the wrong place, or one that cannot be read, is told by what it should be.
#[tokio::test]
async fn a_secret_that_cannot_be_read_is_not_repeated() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    for url in [
        "postgres://u:plantedsecret1@[",
        "plantedsecret1",
        "postgres://u:plantedsecret1@nowhere.invalid/x?port=a",
    ] {
        let tool = Tool::of(&fixture)
            .without("TENANTRY_PLATFORM_URL")
            .set("TENANTRY_PLATFORM_URL", url);
        let left = tool.run(["pool", "list"]).await;
        assert_ne!(left.code, 0, "{url}: {left:?}");
        let tool = Tool::of(&fixture)
            .set("TENANTRY_POOL_APP_URL", url)
            .set("TENANTRY_POOL_ADMIN_URL", url);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent_platform/migrations");
        assert_ne!(
            tool.run(["pool", "add", "p", "--migrations", folder]).await.code,
            0
        );
    }
    let keys = Tool::of(&fixture)
        .without("TENANTRY_KEYS")
        .set("TENANTRY_KEYS", "1:plantedsecret1");
    assert_eq!(keys.run(["pool", "list"]).await.code, 2);
    fixture.close().await;
}
