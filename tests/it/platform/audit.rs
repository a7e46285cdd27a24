//! The log of every change to the platform database.
#![expect(clippy::disallowed_methods, reason = "reads the log")]

use tenantry::testing::Fixture;
use tenantry::{ClientStatus, CredentialKind, Provider};

use super::{Outcome, platform_connection};
use crate::sql::{one, run};
use crate::support::HOST;

#[tokio::test]
async fn a_change_and_its_log_commit_together_and_the_log_has_no_secret() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let client = fixture.dedicated_client("vast").await?;
    let platform = fixture.platform();
    platform
        .set_credential(
            client.id,
            &Provider::OPENAI,
            &CredentialKind::API_KEY,
            &"sk-planted".into(),
        )
        .await?;
    platform.set_status(client.id, ClientStatus::Suspended).await?;
    let logged: Vec<(
        String,
        String,
        Option<serde_json::Value>,
        Option<serde_json::Value>,
    )> = sqlx::query_as(
        "select action, actor, before, after from platform.audit_log where client_id = $1 order by id",
    )
    .bind(client.id)
    .fetch_all(&mut conn)
    .await?;
    let actions: Vec<_> = logged.iter().map(|(action, ..)| action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "clients.insert",
            "clients.update",
            "client_credentials.insert",
            "clients.update"
        ]
    );
    let after = logged[0].3.as_ref().unwrap();
    assert_eq!(after["app_connection"], "sealed");
    assert_eq!(after["admin_connection"], "sealed");
    assert_eq!(after["slug"], "vast");
    assert_eq!(logged[2].3.as_ref().unwrap()["sealed"], "sealed");
    let id = client.id.to_string();
    assert_eq!(
        logged[3].2.as_ref().unwrap(),
        &serde_json::json!({"id": id, "slug": "vast", "status": "active", "epoch": 1})
    );
    assert_eq!(
        logged[3].3.as_ref().unwrap(),
        &serde_json::json!({"id": id, "slug": "vast", "status": "suspended", "epoch": 2})
    );
    assert!(logged.iter().all(|(_, actor, ..)| actor == fixture.admin_role()));

    // In the same transaction: seen inside it, by the name that it gave itself, and gone with it.
    let newest = "select actor || ' ' || action from platform.audit_log order by id desc limit 1";
    let before: i64 = one(&mut conn, "select count(*) from platform.audit_log").await;
    run(
        &mut conn,
        "begin; set local platform.actor = 'ada@example'; update platform.tiers set position = 9 where name = 'paragon'",
    )
    .await;
    assert_eq!(one::<String>(&mut conn, newest).await, "ada@example tiers.update");
    run(&mut conn, "rollback").await;
    assert_eq!(
        one::<i64>(&mut conn, "select count(*) from platform.audit_log").await,
        before
    );
    // What changes nothing is not logged.
    run(
        &mut conn,
        "update platform.tiers set position = position; update platform.pools set client_count = 7",
    )
    .await;
    assert_eq!(
        one::<i64>(&mut conn, "select count(*) from platform.audit_log").await,
        before
    );
    Ok(())
}
