//! The log of changes, as it is asked for.

use std::time::SystemTime;

use tenantry::testing::Fixture;
use tenantry::{AuditFilter, ClientStatus, ClientUpdate};

use super::{Outcome, operator, platform};
use crate::sql::{refused, run, until};
use crate::support::HOST;

#[tokio::test]
async fn the_log_says_who_changed_what_of_whom_and_when() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let began = SystemTime::now();
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.dedicated_client("bolt").await?.id,
    );
    let billing = fixture.platform().acting_as("billing");
    billing.set_status(acme, ClientStatus::Suspended).await?;
    fixture
        .platform()
        .acting_as("ada")
        .update_client(bolt, &ClientUpdate::default().name("Bolt & Sons"))
        .await?;
    // The name is not left on the connection.
    fixture.platform().set_status(acme, ClientStatus::Active).await?;

    let of_acme = fixture
        .platform()
        .audit_log(&AuditFilter::default().client(acme), None, 100)
        .await?;
    let told: Vec<_> = of_acme
        .iter()
        .map(|entry| (entry.action.as_str(), entry.actor.as_str()))
        .collect();
    let role = fixture.admin_role();
    assert_eq!(
        told,
        [
            ("clients.update", role),
            ("clients.update", "billing"),
            ("clients.update", role),
            ("clients.insert", role)
        ]
    );
    assert!(
        of_acme
            .iter()
            .all(|entry| entry.client == Some(acme) && entry.at >= began)
    );
    let suspended = of_acme[1].after.as_ref().unwrap();
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(of_acme[1].before.as_ref().unwrap()["status"], "active");

    // Who reads much in one snapshot under a name is not in its way.
    assert_eq!(billing.sealed_by_key().await?.len(), 1);
    let log = async |filter: AuditFilter| fixture.platform().audit_log(&filter, None, 100).await;
    assert_eq!(log(AuditFilter::default().actor("ada")).await?.len(), 1);
    assert_eq!(
        log(AuditFilter::default().action("clients.insert")).await?.len(),
        2
    );
    assert!(
        log(AuditFilter::default().until(began))
            .await?
            .iter()
            .all(|entry| entry.client.is_none())
    );
    let since = of_acme[0].at;
    assert_eq!(
        log(AuditFilter::default().client(acme).since(since)).await?,
        of_acme[..1]
    );
    // A page at a time.
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let filter = AuditFilter::default().client(acme);
        let page = fixture.platform().audit_log(&filter, before, 1).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        paged.extend(page);
    }
    assert_eq!(paged, of_acme);
    // Not even by the owner of the table.
    let mut conn = platform(&fixture).await;
    for attempt in [
        "update platform.audit_log set actor = 'nobody'",
        "delete from platform.audit_log",
    ] {
        assert_eq!(refused(&mut conn, attempt).await.code, "42501");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_whose_future_is_dropped_leaves_no_transaction_open() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and query ~ '^update platform.clients')";
    const IN_TRANSACTION: &str = "select exists (select from pg_stat_activity where xact_start is not null
        and datname = current_database() and pid <> pg_backend_pid())";

    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let billing = fixture.platform().acting_as("billing");
    let mut operator = operator(&fixture).await;
    let mut blocker = platform(&fixture).await;
    run(&mut blocker, "begin; select from platform.clients for update").await;
    {
        let update = ClientUpdate::default().name("Dropped");
        tokio::select! {
            changed = billing.update_client(acme, &update) => panic!("not held up: {changed:?}"),
            () = until(&mut operator, WAITING) => {}
        }
    }
    run(&mut blocker, "rollback").await;
    until(&mut operator, &IN_TRANSACTION.replace("exists", "not exists")).await;
    // What is written next is not written in its name.
    let update = ClientUpdate::default().name("Acme");
    fixture.platform().update_client(acme, &update).await?;
    let newest = AuditFilter::default().client(acme);
    let newest = &fixture.platform().audit_log(&newest, None, 1).await?[0];
    assert_eq!(newest.actor, fixture.admin_role());
    assert_eq!(newest.after.as_ref().unwrap()["name"], "Acme");
    Ok(())
}
