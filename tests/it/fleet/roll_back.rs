//! The way back, where there is something to take back.

use tenantry::{Error, FleetError, FleetEvent, FleetOptions, MigrationDirection, Ring};

use super::{COLOUR, Outcome, SHAPE, Stage, host, names, step, told};
use crate::sql::{one, run};

#[tokio::test]
async fn what_was_applied_is_taken_back_where_it_was_the_newest_first() -> Outcome {
    let stage = Stage::start().await;
    // Known to be at the base, so that nobody has to ask.
    assert!(stage.fleet(host(&[])).migrate().report().await?.is_complete());
    let both = host(&[COLOUR, SHAPE]);
    let canaries = FleetOptions::default().rings([Ring::named(["pool-1", "ant"])]);
    assert!(
        stage
            .fleet_with(both, canaries)
            .migrate()
            .report()
            .await?
            .is_complete()
    );
    stage.shut(&["pool-2", "bee"], true).await;
    let fleet = stage.fleet(both);
    let plan = fleet.plan_roll_back(1).await?.to_string();
    assert!(
        plan.contains("client ant (at 3): host 3 step 3; host 2 step 2;"),
        "{plan}"
    );
    assert!(plan.ends_with("2 there already"), "{plan}");
    let (events, report) = told(fleet.roll_back(1)).await?;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((names(&report.done), report.current), (vec!["ant", "pool-1"], 2));
    let ants: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            FleetEvent::Migrated {
                database,
                version,
                direction,
                ..
            } if database.name == "ant" => Some((*version, *direction)),
            _ => None,
        })
        .collect();
    assert_eq!(
        ants,
        [(3, MigrationDirection::Down), (2, MigrationDirection::Down)]
    );
    stage.shut(&["pool-2", "bee"], false).await;
    for name in ["pool-1", "ant"] {
        assert_eq!(stage.versions(name).await, [1]);
        let says: Option<i64> = one(
            &mut stage.database(name).await,
            "select host_version from tenantry.installation",
        )
        .await;
        assert_eq!(says, Some(1));
        let log: Vec<_> = stage
            .log(name)
            .await
            .into_iter()
            .map(|(version, way, ..)| (version, way))
            .collect();
        let log: Vec<_> = log
            .iter()
            .map(|(version, way)| (*version, way.as_str()))
            .collect();
        assert_eq!(log, [(1, "up"), (2, "up"), (3, "up"), (3, "down"), (2, "down")]);
    }
    assert!(stage.fleet(host(&[])).verify().await?.is_empty());
    // And forward again.
    assert!(fleet.migrate().report().await?.is_complete());
    for name in super::ALL {
        assert_eq!(stage.versions(name).await, [1, 2, 3]);
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn without_a_way_back_nothing_is_taken_back() -> Outcome {
    let stage = Stage::start().await;
    let stuck = host(&[step(2, "insert into ran (version) values (2)"), SHAPE]);
    let fleet = stage.fleet(stuck);
    assert!(fleet.migrate().report().await?.is_complete());
    for error in [
        fleet.roll_back(1).report().await.unwrap_err(),
        fleet.plan_roll_back(1).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                &error,
                Error::Fleet {
                    source: FleetError::NoWayBack { version: 2 },
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert_eq!(stage.versions("ant").await, [1, 2, 3]);
    assert!(fleet.roll_back(2).report().await?.is_complete());
    assert_eq!(stage.versions("ant").await, [1, 2]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_way_back_that_fails_half_way_leaves_what_it_says() -> Outcome {
    let stage = Stage::start().await;
    let fleet = stage.fleet_with(
        host(&[COLOUR, SHAPE]),
        FleetOptions::default().at_once(1).rings([Ring::named(["ant"])]),
    );
    assert!(fleet.migrate().report().await?.is_complete());
    let mut ant = stage.database("ant").await;
    run(
        &mut ant,
        "create view colours with (security_invoker) as select colour from notes",
    )
    .await;
    let report = fleet.roll_back(1).report().await?;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(stage.versions("ant").await, [1, 2]);
    let says: Option<i64> = one(&mut ant, "select tenantry.host_version()").await;
    assert_eq!(says, Some(2));
    run(&mut ant, "drop view colours").await;
    assert!(fleet.roll_back(1).report().await?.is_complete());
    assert_eq!(stage.versions("ant").await, [1]);
    stage.close().await;
    Ok(())
}
