//! Who holds what a migration needs is waited for, within bounds, and nothing runs twice.
#![expect(clippy::disallowed_methods, reason = "has tasks of its own, which it awaits")]

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::migrate::Migrate as _;
use tenantry::schema::apply_to_dedicated;
use tenantry::{Error, FleetDrift, FleetError, FleetEvent, FleetOptions, OnFailure, Settled};

use super::{COLOUR, Outcome, SHAPE, Stage, Step, host, names, step, told};
use crate::sql::{PATIENCE, one, run, until};

const INDEX: Step = step(
    2,
    "create unique index concurrently notes_body on notes (client_id, body)",
)
.down("drop index concurrently notes_body")
.without_transaction();

fn go_on() -> FleetOptions {
    FleetOptions::default()
        .on_failure(OnFailure::Continue)
        .pause_above(1.0)
}

#[tokio::test]
async fn a_migration_gives_way_and_is_tried_again() -> Outcome {
    let stage = Stage::start().await;
    let mut blocker = stage.database("ant").await;
    run(&mut blocker, "begin; lock table notes in access share mode").await;
    let options = go_on().lock_timeout(Duration::from_millis(50)).lock_attempts(2);
    let report = stage
        .fleet_with(host(&[COLOUR]), options.clone())
        .migrate()
        .report()
        .await?;
    assert_eq!(
        names(report.failed.iter().map(|failed| &failed.database)),
        ["ant"]
    );
    assert!(
        matches!(
            &report.failed[0].error,
            Error::Fleet {
                source: FleetError::Contended {
                    version: 2,
                    attempts: 2,
                    ..
                },
                ..
            }
        ),
        "{report:?}"
    );
    assert!(report.failed[0].error.is_retryable());
    assert_eq!(stage.versions("ant").await, [1]);
    // Let go in the middle, it gets there.
    let mut events = stage
        .fleet_with(host(&[COLOUR]), options.lock_attempts(1000))
        .migrate();
    let mut report = None;
    while let Some(event) = events.next().await {
        match event? {
            FleetEvent::Contended { .. } => run(&mut blocker, "rollback").await,
            FleetEvent::Ended(ended) => report = Some(ended),
            _ => {}
        }
    }
    assert_eq!(names(&report.unwrap().done), ["ant"]);
    assert_eq!(stage.versions("ant").await, [1, 2]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_somebody_else_migrates_is_waited_for_so_long() -> Outcome {
    let stage = Stage::start().await;
    let mut other = stage.database("ant").await;
    other.lock().await?;
    let fleet = stage.fleet_with(host(&[COLOUR]), go_on().lock_wait(Duration::from_millis(100)));
    let report = fleet.migrate().report().await?;
    assert!(
        matches!(&report.failed[..], [failed] if failed.database.name == "ant"
            && matches!(&failed.error, Error::Fleet { source: FleetError::Locked { .. }, .. })),
        "{report:?}"
    );
    other.unlock().await?;
    assert!(fleet.migrate().report().await?.is_complete());
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn one_process_is_at_it_and_others_say_so_or_wait() -> Outcome {
    let stage = Stage::start().await;
    let mut blocker = stage.database("ant").await;
    run(&mut blocker, "begin; lock table notes").await;
    let fleet = stage.fleet(host(&[COLOUR, SHAPE]));
    let first = tokio::spawn(told(fleet.migrate()));
    // Not the one that holds the lock: a transaction sees the sessions as they were when it first looked.
    until(
        &mut stage.database("ant").await,
        "select exists (select from pg_stat_activity where application_name = 'tenantry fleet' and datname = current_database())",
    )
    .await;
    let busy = fleet.migrate().report().await.unwrap_err();
    assert!(
        matches!(
            &busy,
            Error::Fleet {
                source: FleetError::Busy,
                ..
            }
        ),
        "{busy:?}"
    );
    assert!(busy.is_retryable());
    let waits = stage.fleet_with(
        host(&[COLOUR, SHAPE]),
        FleetOptions::default().wait(Duration::from_mins(1)),
    );
    let second = tokio::spawn(told(waits.migrate()));
    run(&mut blocker, "rollback").await;
    let (_, first) = first.await??;
    let (events, second) = second.await??;
    assert_eq!(
        (first.done.len(), second.done.len(), second.current),
        (4, 0, 4),
        "{events:?}"
    );
    assert_eq!(stage.versions("ant").await, [1, 2, 3]);
    stage.close().await;
    Ok(())
}

/// Whoever waits for the migrator's lock has a snapshot while it waits, and an index waits for older ones.
#[tokio::test]
async fn an_index_is_built_concurrently_while_another_process_waits_to_migrate() -> Outcome {
    let stage = Stage::start().await;
    let newest = host(&[INDEX]);
    let client = stage.client("ant").await;
    let mut blocker = stage.database("ant").await;
    // A writer: the index is built once it ended, and then waits for whoever has looked before.
    let write = format!("begin; insert into notes (client_id, body) values ('{client}', 'a')");
    run(&mut blocker, &write).await;
    let fleet = stage.fleet_with(newest, go_on().lock_timeout(PATIENCE));
    let building = tokio::spawn(told(fleet.migrate()));
    let mut watcher = stage.database("ant").await;
    let waiting = "select exists (select from pg_stat_activity where datname = current_database()
                   and query ilike '%concurrently%' and pid <> pg_backend_pid() and wait_event_type = 'Lock')";
    until(&mut watcher, waiting).await;
    let mut admin = stage.database("ant").await;
    let app = stage.fixture.app_role();
    let other = tokio::spawn(async move { apply_to_dedicated(&mut admin, app, client, newest).await });
    let queued = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                  and database = (select oid from pg_database where datname = current_database()))";
    until(&mut watcher, queued).await;
    run(&mut blocker, "commit").await;
    let (_, report) = building.await??;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(other.await??.host_version, Some(2));
    assert_eq!(stage.versions("ant").await, [1, 2]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_runs_without_a_transaction_and_does_not_end_is_half_applied_until_it_is_settled() -> Outcome {
    let stage = Stage::start().await;
    let client = stage.client("bee").await;
    let twice = format!("insert into notes (client_id, body) values ('{client}', 'a'), ('{client}', 'a')");
    run(&mut stage.database("bee").await, &twice).await;
    let fleet = stage.fleet_with(host(&[INDEX, SHAPE]), go_on());
    let report = fleet.migrate().report().await?;
    let half_applied = |error: &Error, told: bool| matches!(error, Error::Fleet { source: FleetError::HalfApplied { version: 2, source }, .. } if source.is_some() == told);
    assert_eq!(
        names(report.failed.iter().map(|failed| &failed.database)),
        ["bee"]
    );
    assert!(half_applied(&report.failed[0].error, true), "{report:?}");
    // Nobody tries it again by himself, nor goes past it.
    let report = fleet.migrate().report().await?;
    assert!(half_applied(&report.failed[0].error, false), "{report:?}");
    assert_eq!(stage.versions("bee").await, [1]);
    let found = fleet.verify().await?;
    assert!(
        found.iter().any(|finding| finding.database.name == "bee"
            && matches!(
                &finding.drift,
                FleetDrift::Migration(FleetError::HalfApplied { version: 2, .. })
            )),
        "{found:?}"
    );
    let bee = stage.owner("bee").await;
    let other = fleet.settle(bee, 3, Settled::Undone).await.unwrap_err();
    assert!(
        matches!(
            &other,
            Error::Fleet {
                source: FleetError::NotHalfApplied { version: 3 },
                ..
            }
        ),
        "{other:?}"
    );
    run(
        &mut stage.database("bee").await,
        "drop index notes_body; delete from notes",
    )
    .await;
    fleet.settle(bee, 2, Settled::Undone).await?;
    assert!(fleet.migrate().report().await?.is_complete());
    assert_eq!(stage.versions("bee").await, [1, 2, 3]);
    let valid: bool = one(
        &mut stage.database("bee").await,
        "select indisvalid from pg_index where indexrelid = 'notes_body'::regclass",
    )
    .await;
    assert!(valid);
    // And back, without a transaction as well.
    assert!(fleet.roll_back(1).report().await?.is_complete());
    assert_eq!(stage.versions("bee").await, [1]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_migration_takes_no_longer_than_it_may() -> Outcome {
    let stage = Stage::start().await;
    let slow = host(&[step(2, "select pg_sleep(60)")]);
    let options = FleetOptions::default()
        .migration_timeout(Duration::from_secs(2))
        .at_once(1);
    let report = stage.fleet_with(slow, options).migrate().report().await?;
    assert!(
        matches!(&report.failed[..], [failed]
            if matches!(&failed.error, Error::Fleet { source: FleetError::TimedOut { version: 2, .. }, .. })),
        "{report:?}"
    );
    stage.close().await;
    Ok(())
}
