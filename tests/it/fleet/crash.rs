//! Cut off anywhere, the next run goes on: nothing runs twice, nothing is lost.

use futures_util::StreamExt;
use tenantry::{FleetDrift, FleetEvent, FleetOptions};

use super::{ALL, COLOUR, Outcome, SHAPE, Stage, host};
use crate::sql::{one, run, until};

/// What every database ends with: each migration once, and each in the log once.
async fn assert_whole(stage: &Stage) {
    for name in ALL {
        assert_eq!(stage.versions(name).await, [1, 2, 3], "{name}");
        let applied: Vec<_> = stage
            .log(name)
            .await
            .into_iter()
            .filter(|(.., whole)| *whole)
            .collect();
        let versions: Vec<_> = applied.iter().map(|(version, ..)| *version).collect();
        assert_eq!(versions, [1, 2, 3], "{name}: {applied:?}");
    }
}

#[tokio::test]
async fn dropped_after_any_event_the_next_run_goes_on() -> Outcome {
    let newest = host(&[COLOUR, SHAPE]);
    for dropped_after in [2, 4, 6, 9, 13] {
        let stage = Stage::start().await;
        let fleet = stage.fleet_with(newest, FleetOptions::default().at_once(2));
        let events: Vec<_> = fleet.migrate().take(dropped_after).collect().await;
        assert!(events.iter().all(Result::is_ok), "{events:?}");
        // What the platform says that it knows is so.
        let found = fleet.verify().await?;
        assert!(
            !found
                .iter()
                .any(|finding| matches!(finding.drift, FleetDrift::Unnoted)),
            "{found:?}"
        );
        let report = fleet
            .clone()
            .options(FleetOptions::default().wait(crate::sql::PATIENCE))
            .migrate()
            .report()
            .await?;
        assert!(report.is_complete(), "{dropped_after}: {report:?}");
        assert_whole(&stage).await;
        let open: i64 = one(
            &mut stage.platform().await,
            "select count(*) from platform.fleet_runs where ended_at is null",
        )
        .await;
        assert_eq!(open, 0);
        stage.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn with_its_sessions_killed_in_the_middle_the_next_run_goes_on() -> Outcome {
    let stage = Stage::start().await;
    let mut blocker = stage.database("ant").await;
    run(&mut blocker, "begin; lock table notes").await;
    let newest = host(&[COLOUR, SHAPE]);
    let fleet = stage.fleet_with(newest, FleetOptions::default().lock_timeout(crate::sql::PATIENCE));
    let mut watcher = stage.database("ant").await;
    let mut events = fleet.migrate();
    let mut failed = 0;
    let mut killed = false;
    while let Some(event) = events.next().await {
        match event? {
            FleetEvent::DatabaseDone { .. } if !killed => {
                until(
                    &mut watcher,
                    "select exists (select from pg_stat_activity where application_name = 'tenantry fleet'
                     and datname = current_database() and wait_event_type = 'Lock')",
                )
                .await;
                stage.kill().await;
                killed = true;
            }
            FleetEvent::Ended(report) => failed = report.failed.len(),
            _ => {}
        }
    }
    assert!(failed > 0);
    run(&mut blocker, "rollback").await;
    assert!(fleet.migrate().report().await?.is_complete());
    assert_whole(&stage).await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_got_further_than_the_platform_knows_is_looked_at() -> Outcome {
    let stage = Stage::start().await;
    let older = host(&[COLOUR]);
    assert!(stage.fleet(older).migrate().report().await?.is_complete());
    // A run of newer migrations is cut off once a database began.
    let newer = stage.fleet_with(host(&[COLOUR, SHAPE]), FleetOptions::default().at_once(1));
    let mut events = newer.migrate();
    while let Some(event) = events.next().await {
        if matches!(event?, FleetEvent::Migrated { .. }) {
            break;
        }
    }
    drop(events);
    // Whoever has the older ones only does not take it for current: it says that it does not know what is there.
    let fleet = stage.fleet_with(older, FleetOptions::default().wait(crate::sql::PATIENCE));
    let report = fleet.migrate().report().await?;
    assert_eq!((report.current, report.failed.len()), (3, 1), "{report:?}");
    stage.close().await;
    Ok(())
}
