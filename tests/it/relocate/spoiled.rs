//! Rows that are spoiled at the target at the last moment.
#![expect(clippy::disallowed_methods, reason = "has a task that relocates")]

use tenantry::testing::Fixture;
use tenantry::{Error, Phase, RelocateTo, RelocationError, RelocationStatus, Result, TenantDb};

use super::{Outcome, relocation, stopped};
use crate::sql::{connect, one, run, until};
use crate::support::{HOST, fill};

/// Resumes, has that done at the target once everything was compared and writers are to be kept out, and then something
/// that was in flight be committed.
async fn spoiled(fixture: &Fixture, db: &TenantDb, sql: &str) -> Result<RelocationStatus> {
    let client = db.client().id;
    let mut source = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    let mut target = connect(fixture.server().connect_options(&fixture.database("pool-2"))).await;
    let mut tx = db.begin().await?;
    tx.insert("documents").set("title", "last").execute().await?;
    let resuming = relocation(fixture);
    let resuming = tokio::spawn(async move { resuming.resume(client).await });
    let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                 and database = (select oid from pg_database where datname = current_database()))";
    until(&mut source, waits).await;
    run(&mut target, sql).await;
    tx.commit().await?;
    resuming.await.unwrap()
}

fn differs(outcome: &Result<RelocationStatus>, of: &str) -> bool {
    matches!(
        outcome,
        Err(Error::Relocation { source: RelocationError::ContentDiffers { table, .. }, .. }) if table == of
    )
}

#[tokio::test]
async fn what_is_brought_over_last_is_compared_before_the_source_is_closed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &second).await;
    let spoiling =
        "create function spoil() returns trigger language plpgsql as $$ begin new.content = 'spoiled'; return new; end $$;
         create trigger spoil before insert or update on documents for each row execute function spoil()";
    let outcome = spoiled(&fixture, &db, spoiling).await;
    assert!(differs(&outcome, "public.documents"), "{outcome:?}");
    // It is served where it was, and goes on once that is gone.
    assert_eq!(db.query("documents").eq("title", "last").count().await?, 1);
    assert_eq!(relocation.status(acme).await?.unwrap().phase, Phase::Following);
    let mut target = connect(fixture.server().connect_options(&fixture.database("pool-2"))).await;
    run(&mut target, "drop function spoil() cascade").await;
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    let spoiled = "select count(*) from documents where content = 'spoiled'";
    assert_eq!(one::<i64>(&mut target, spoiled).await, 0);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_was_spoiled_since_everything_was_compared_is_found_once_it_is_served_there() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &second).await;
    let outcome = spoiled(&fixture, &db, "update agents set name = 'spoiled'").await;
    assert!(differs(&outcome, "public.agents"), "{outcome:?}");
    // It is served there, is not certified, and its rows at the source stay.
    let status = relocation.status(acme).await?.unwrap();
    assert_eq!((status.phase, status.certificate), (Phase::Moved, None));
    let completed = relocation.complete(acme).await;
    assert!(
        matches!(
            &completed,
            Err(Error::Relocation {
                source: RelocationError::OutOfPhase { .. },
                ..
            })
        ),
        "{completed:?}"
    );
    manager.close().await;
    fixture.close().await;
    Ok(())
}
