//! Relocations that do not go through: given up, and caught by a change of the host's tables.
#![expect(clippy::disallowed_methods, reason = "has a task that relocates")]

use tenantry::testing::Fixture;
use tenantry::{Error, Phase, RelocateTo, RelocationError, RelocationOptions};

use super::{Outcome, hasty, own_database, relocation, rows, stopped};
use crate::sql::{connect, one, run, until};
use crate::support::{HOST, fill};

/// What a relocation leaves in a database, but for what it remembers of rights.
const TRACES: &str = "
    select count(*) from (select oid from pg_trigger where tgname ~ '^tenantry_change' union all
                          select oid from pg_class where relname ~ '^change_' union all
                          select oid from pg_proc where proname ~ '^change_') traces";

fn is_changed<T>(outcome: &Result<T, Error>) -> bool {
    matches!(
        outcome,
        Err(Error::Relocation {
            source: RelocationError::SchemaChanged { .. },
            ..
        })
    )
}

#[tokio::test]
async fn what_is_given_up_leaves_no_trace_and_can_be_begun_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    let own = own_database(&fixture, "own", acme).await;
    for (to, there) in [(own, "own"), (RelocateTo::Pool(second), "pool-2")] {
        let none = relocation.cancel(acme).await;
        assert!(
            matches!(
                &none,
                Err(Error::Relocation {
                    source: RelocationError::NotUnderWay,
                    ..
                })
            ),
            "{none:?}"
        );
        stopped(&relocation, &db, &to).await;
        assert_eq!(rows(&fixture, there, acme).await.len(), 7);
        // Also where the host's tables are not those of the plan any more: that keeps it from going on.
        let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        run(
            &mut source,
            "create table about (client_id uuid not null); select tenantry.protect('about')",
        )
        .await;
        let resumed = relocation.resume(acme).await;
        assert!(is_changed(&resumed), "{resumed:?}");
        let before = rows(&fixture, "pool-1", acme).await;
        let cancelled = relocation.cancel(acme).await?;
        assert_eq!((cancelled.phase, cancelled.attempts), (Phase::Cancelled, 3));
        run(&mut source, "drop table about").await;
        assert!(rows(&fixture, there, acme).await.is_empty());
        assert_eq!(rows(&fixture, "pool-1", acme).await, before);
        for database in ["pool-1", there] {
            let mut admin = connect(fixture.admin_options(&fixture.database(database))).await;
            assert_eq!(one::<i64>(&mut admin, TRACES).await, 0, "{database}");
        }
        db.update("agents").set("name", there).all().execute().await?;

        relocation.start(acme, &to).await?;
        let late = relocation.cancel(acme).await;
        assert!(
            matches!(
                &late,
                Err(Error::Relocation {
                    source: RelocationError::OutOfPhase { .. },
                    ..
                })
            ),
            "{late:?}"
        );
        relocation.revert(acme).await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_table_that_changes_while_writers_are_waited_for_is_noticed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &RelocateTo::Pool(second)).await;

    let mut tx = db.begin().await?;
    tx.query("agents").count().await?;
    let resuming = relocation.clone();
    let resuming = tokio::spawn(async move { resuming.resume(acme).await });
    let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    until(
        &mut source,
        "select exists (select from pg_locks where locktype = 'advisory' and not granted
                        and database = (select oid from pg_database where datname = current_database()))",
    )
    .await;
    run(&mut source, "alter table documents add column late text").await;
    tx.commit().await?;
    let resumed = resuming.await?;
    assert!(is_changed(&resumed), "{resumed:?}");
    // It is served where it was.
    db.insert("documents").set("title", "between").execute().await?;
    run(&mut source, "alter table documents drop column late").await;
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    assert_eq!(db.query("documents").count().await?, 2);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn tables_that_are_made_after_the_cut_over_end_the_way_back_and_nothing_else() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    let own = own_database(&fixture, "own", acme).await;
    relocation.start(acme, &own).await?;
    let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut target = connect(fixture.admin_options(&fixture.database("own"))).await;

    // A column on one side alone, and then on both.
    let column = "alter table agents add column voice text";
    run(&mut target, column).await;
    let back = relocation.follow_back(acme).await;
    assert!(
        matches!(&back, Err(Error::Relocation { source: RelocationError::Stopped { findings }, .. }) if findings.len() == 1),
        "{back:?}"
    );
    run(&mut source, column).await;
    run(&mut target, "update agents set voice = 'low'").await;
    relocation.follow_back(acme).await?;
    let brought = format!("select voice from agents where client_id = '{acme}'");
    assert_eq!(one::<String>(&mut source, &brought).await, "low");

    // Named so that it stands before all others.
    let table =
        "create table about (client_id uuid not null, id integer not null, primary key (client_id, id));
                 select tenantry.protect('about')";
    run(&mut source, table).await;
    run(
        &mut target,
        &table.replace("select tenantry.protect('about')", "select"),
    )
    .await;
    for back in [
        relocation.follow_back(acme).await,
        relocation.revert(acme).await.map(drop),
    ] {
        assert!(is_changed(&back), "{back:?}");
    }
    assert_eq!(relocation.complete(acme).await?.phase, Phase::Completed);
    for admin in [&mut source, &mut target] {
        assert_eq!(one::<i64>(admin, TRACES).await, 0);
    }
    assert!(rows(&fixture, "pool-1", acme).await.is_empty());
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn changes_that_come_faster_than_they_arrive_are_told() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &RelocateTo::Pool(second)).await;
    db.update("agents").set("name", "new").all().execute().await?;
    let options: RelocationOptions = hasty().short_tail(0).max_passes(1);
    let outcome = relocation.clone().options(options).resume(acme).await;
    assert!(
        matches!(
            &outcome,
            Err(Error::Relocation {
                source: RelocationError::FallsBehind { passes: 1, left: 1 },
                ..
            })
        ),
        "{outcome:?}"
    );
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    manager.close().await;
    fixture.close().await;
    Ok(())
}
