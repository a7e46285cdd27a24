//! Canaries first, then a part, then all; and no further where too many fail.
#![expect(clippy::disallowed_methods, reason = "has tasks of its own, which it awaits")]

use tenantry::{Error, FleetEnd, FleetError, FleetEvent, FleetOptions, OnFailure, Ring};

use super::{ALL, COLOUR, Outcome, Stage, host, names, told};
use crate::sql::{connect, one, run, until};

#[tokio::test]
async fn a_ring_begins_once_the_one_before_it_ended() -> Outcome {
    let stage = Stage::start().await;
    let rings = [Ring::named(["pool-2", "bee"]), Ring::percent(75), Ring::all()];
    let fleet = stage.fleet_with(host(&[COLOUR]), FleetOptions::default().rings(rings));
    let (events, report) = told(fleet.migrate()).await?;
    assert!(report.is_complete(), "{report:?}");
    let mut order = Vec::new();
    for event in &events {
        match event {
            FleetEvent::RingBegan { ring, pending } => order.push(format!("{ring} {pending}")),
            FleetEvent::DatabaseBegan { .. } => order.push("+".to_owned()),
            FleetEvent::DatabaseDone { .. } => order.push("-".to_owned()),
            _ => {}
        }
    }
    let under_way = |order: &[String]| {
        order.iter().filter(|line| *line == "+").count() - order.iter().filter(|line| *line == "-").count()
    };
    for (at, line) in order.iter().enumerate() {
        if line.contains(' ') {
            assert_eq!(under_way(&order[..at]), 0, "{order:?}");
        }
    }
    let rings: Vec<_> = order.iter().filter(|line| line.contains(' ')).collect();
    assert_eq!(rings, ["canaries 2", "75 % 1", "all 1"]);
    assert_eq!(names(&report.done[..2]), ["bee", "pool-2"]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_canary_that_fails_keeps_the_rest_as_it_is() -> Outcome {
    let stage = Stage::start().await;
    run(
        &mut stage.database("ant").await,
        "alter table notes add column colour int",
    )
    .await;
    for on_failure in [OnFailure::Stop, OnFailure::Continue] {
        let rings = [Ring::named(["ant"]), Ring::all()];
        let options = FleetOptions::default().rings(rings).on_failure(on_failure);
        let report = stage
            .fleet_with(host(&[COLOUR]), options)
            .migrate()
            .report()
            .await?;
        let paused = FleetEnd::Paused {
            ring: "canaries".to_owned(),
        };
        let end = if on_failure == OnFailure::Stop {
            FleetEnd::Stopped
        } else {
            paused
        };
        assert_eq!((report.end, report.not_begun, report.failed.len()), (end, 3, 1));
    }
    for name in ALL {
        assert_eq!(stage.versions(name).await, [1], "{name}");
    }
    // Without the rest, it is not touched either where all goes well.
    run(
        &mut stage.database("ant").await,
        "alter table notes drop column colour",
    )
    .await;
    let options = FleetOptions::default().rings([Ring::named(["ant"])]);
    let report = stage
        .fleet_with(host(&[COLOUR]), options)
        .migrate()
        .report()
        .await?;
    assert!(
        report.is_complete() && names(&report.done) == ["ant"],
        "{report:?}"
    );
    let options = FleetOptions::default().rings([Ring::named(["asp"])]);
    let error = stage
        .fleet_with(host(&[COLOUR]), options)
        .migrate()
        .report()
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Fleet { source: FleetError::UnknownDatabase { name }, .. } if name == "asp"),
        "{error:?}"
    );
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn as_many_may_fail_as_is_allowed_and_no_more() -> Outcome {
    let stage = Stage::start().await;
    for name in ["ant", "bee"] {
        run(
            &mut stage.database(name).await,
            "alter table notes add column colour int",
        )
        .await;
    }
    let options = |part| {
        FleetOptions::default()
            .on_failure(OnFailure::Continue)
            .at_once(1)
            .pause_above(part)
    };
    let half = stage
        .fleet_with(host(&[COLOUR]), options(0.5))
        .migrate()
        .report()
        .await?;
    assert_eq!(
        (
            half.end,
            half.done.len(),
            names(half.failed.iter().map(|failed| &failed.database))
        ),
        (FleetEnd::Completed, 2, vec!["ant", "bee"])
    );
    // Those that failed come first.
    let less = stage
        .fleet_with(host(&[COLOUR]), options(0.4))
        .migrate()
        .report()
        .await?;
    assert!(matches!(less.end, FleetEnd::Paused { .. }), "{less:?}");
    assert_eq!((less.failed.len(), less.not_begun, less.current), (1, 1, 2));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn no_more_databases_are_connected_to_than_are_allowed_at_once() -> Outcome {
    let stage = Stage::start().await;
    let mut blockers = Vec::new();
    for name in ALL {
        let mut blocker = connect(stage.fixture.admin_options(&stage.fixture.database(name))).await;
        run(&mut blocker, "begin; lock table notes").await;
        blockers.push(blocker);
    }
    let fleet = stage.fleet_with(host(&[COLOUR]), FleetOptions::default().at_once(3));
    let running = tokio::spawn(async move { told(fleet.migrate()).await });
    let mut superuser = stage.superuser().await;
    let prefix = stage.fixture.database("");
    let sessions = format!(
        "from pg_stat_activity where application_name = 'tenantry fleet' and starts_with(datname, '{prefix}')"
    );
    until(
        &mut superuser,
        &format!("select count(*) = 3 {sessions} and wait_event_type = 'Lock'"),
    )
    .await;
    assert_eq!(
        one::<i64>(&mut superuser, &format!("select count(*) {sessions}")).await,
        3
    );
    drop(blockers);
    let (events, report) = running.await??;
    assert!(report.is_complete(), "{report:?}");
    let (mut now, mut most) = (0_i32, 0);
    for event in &events {
        match event {
            FleetEvent::DatabaseBegan { .. } => now += 1,
            FleetEvent::DatabaseDone { .. } => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    assert_eq!(most, 3);
    stage.close().await;
    Ok(())
}
