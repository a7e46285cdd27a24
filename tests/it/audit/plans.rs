//! How statements of a client are run.

use tenantry::testing::Fixture;
use tenantry::{AuditReport, Error, TenantDb, lint_plans};

use crate::sql::{connect, run};
use crate::support::HOST;

fn ids(report: &AuditReport) -> Vec<&'static str> {
    report.findings().map(|finding| finding.id).collect()
}

async fn planned(db: &TenantDb, statement: &str) -> Vec<&'static str> {
    ids(&lint_plans(db, [statement]).await.unwrap())
}

#[tokio::test]
async fn plans_that_row_level_security_makes_slow_are_named() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    run(
        &mut admin,
        "create index on agents using gin (settings);
         create index on documents (client_id, title);
         create table bare (client_id uuid not null, body text); select tenantry.protect('bare');
         create table slow (client_id uuid not null, id int not null, primary key (client_id, id)); select tenantry.protect('slow');
         drop policy tenantry_scope on slow;
         create policy tenantry_scope on slow as restrictive using (client_id = tenantry.current_client());
         create table leaky (client_id uuid not null, id int not null, primary key (client_id, id)); select tenantry.protect('leaky');
         alter table leaky disable row level security",
    )
    .await;
    let manager = fixture.manager().await.unwrap();
    let refused = manager.tenant(acme.id).await;
    assert!(refused.is_err(), "a manager does not serve it");
    // It is opened while the database is as it should be, and stays open.
    run(
        &mut admin,
        "alter table leaky enable row level security; select tenantry.protect('slow')",
    )
    .await;
    let db = manager.tenant(acme.id).await.unwrap();
    run(
        &mut admin,
        "alter table leaky disable row level security; drop policy tenantry_scope on slow;
         create policy tenantry_scope on slow as restrictive using (client_id = tenantry.current_client())",
    )
    .await;

    assert_eq!(
        planned(&db, "select * from agents where slug = 'guide'").await,
        Vec::<&str>::new()
    );
    assert_eq!(
        planned(
            &db,
            "select * from agents where settings @> '{\"tone\": \"kind\"}'"
        )
        .await,
        ["plan.index_unusable"]
    );
    assert_eq!(
        planned(&db, "select * from documents where title like 'A%'").await,
        ["plan.index_unusable"]
    );
    assert_eq!(
        planned(&db, "select * from documents where title = 'A'").await,
        Vec::<&str>::new()
    );
    assert_eq!(
        planned(&db, "select * from bare where body = 'x'").await,
        ["plan.no_index"]
    );
    assert!(
        planned(&db, "select * from slow where id > 3")
            .await
            .contains(&"plan.policy_per_row")
    );
    assert!(
        planned(&db, "select * from leaky")
            .await
            .contains(&"plan.not_scoped")
    );
    assert_eq!(
        planned(&db, "select * from document_chunks where chunk_index = 1").await,
        ["plan.not_pruned"]
    );
    let own = format!(
        "select * from document_chunks where client_id = '{}' and chunk_index = 1",
        acme.id
    );
    assert_eq!(planned(&db, &own).await, Vec::<&str>::new());
    assert_eq!(
        planned(&db, "update agents set name = 'x' where slug = 'guide'").await,
        Vec::<&str>::new()
    );

    // Several at once, each by its number.
    let report = lint_plans(&db, ["select 1", "select * from bare"]).await.unwrap();
    let told: Vec<&str> = report.findings().map(|finding| finding.object.as_str()).collect();
    assert_eq!(told, ["statement 2: public.bare"]);
    let refused = lint_plans(&db, ["vacuum"]).await;
    assert!(
        matches!(refused, Err(Error::StatementRefused { .. })),
        "{refused:?}"
    );
    let wrong = lint_plans(&db, ["select * from nowhere"]).await.unwrap_err();
    assert!(wrong.to_string().contains("explain of statement 1"), "{wrong}");
    manager.close().await;
    fixture.close().await;
}

#[tokio::test]
async fn nothing_is_found_where_a_client_is_alone() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let vast = fixture.dedicated_client("vast").await.unwrap();
    let manager = fixture.manager().await.unwrap();
    let db = manager.tenant(vast.id).await.unwrap();
    assert_eq!(planned(&db, "select * from agents").await, Vec::<&str>::new());
    manager.close().await;
    fixture.close().await;
}
