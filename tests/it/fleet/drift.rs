//! What differs from what it should be is reported by database, and nothing is applied over it.

use sqlx::migrate::Migrator;
use tenantry::{Error, FleetDrift, FleetError, FleetOptions, OnFailure};

use super::{COLOUR, Outcome, SHAPE, Stage, Step, host, names, step};
use crate::sql::run;

const OTHER_COLOUR: Step = step(2, "alter table notes add column colour int");

async fn drifts(stage: &Stage, given: &'static Migrator) -> Vec<String> {
    let found = stage.fleet(given).verify().await.unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_migration_that_was_changed_or_is_not_known_stops_its_database() -> Outcome {
    let stage = Stage::start().await;
    let both = host(&[COLOUR, SHAPE]);
    assert!(stage.fleet(both).migrate().report().await?.is_complete());
    // One database has been changed behind everybody's back; the platform is not to know.
    run(
        &mut stage.database("ant").await,
        "update _sqlx_migrations set checksum = '\\x00' where version = 2",
    )
    .await;
    let found = stage.fleet(both).verify().await?;
    assert!(
        matches!(&found[..], [changed, unnoted] if changed.database.name == "ant"
            && matches!(changed.drift, FleetDrift::Migration(FleetError::Changed { set: "host", version: 2 }))
            && matches!(unnoted.drift, FleetDrift::Unnoted)),
        "{found:?}"
    );
    let more = host(&[
        COLOUR,
        SHAPE,
        step(4, "create table more (a int); select tenantry.share('more')"),
    ]);
    let go_on = FleetOptions::default()
        .on_failure(OnFailure::Continue)
        .pause_above(1.0);
    let report = stage.fleet_with(more, go_on.clone()).migrate().report().await?;
    assert_eq!(
        names(report.failed.iter().map(|failed| &failed.database)),
        ["ant"]
    );
    assert!(
        matches!(
            &report.failed[0].error,
            Error::Fleet {
                source: FleetError::Changed { version: 2, .. },
                ..
            }
        ),
        "{report:?}"
    );
    assert_eq!(stage.versions("ant").await, [1, 2, 3]);
    // What an older program does not know, it does not touch.
    let older = stage.fleet_with(host(&[COLOUR]), go_on.clone());
    let report = older.migrate().report().await?;
    assert_eq!((report.failed.len(), report.done.len()), (4, 0));
    let is_unknown = |error: &Error| {
        matches!(
            error,
            Error::Fleet {
                source: FleetError::Unknown { version: 3 | 4, .. },
                ..
            }
        )
    };
    let unknown = report.failed.iter().filter(|failed| is_unknown(&failed.error));
    assert_eq!(unknown.count(), 3, "{report:?}");
    let other = stage.fleet_with(host(&[OTHER_COLOUR]), go_on);
    let report = other.migrate().report().await?;
    assert_eq!((report.failed.len(), report.done.len()), (4, 0));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn tables_that_were_changed_by_hand_and_migrations_past_the_fleet_are_found() -> Outcome {
    let stage = Stage::start().await;
    let newest = host(&[COLOUR]);
    assert!(stage.fleet(newest).migrate().report().await?.is_complete());
    assert_eq!(drifts(&stage, newest).await, Vec::<String>::new());
    for by_hand in [
        "alter table notes alter column body drop not null",
        "create index by_hand on notes (client_id, body)",
        "create function by_hand() returns int language sql return 1",
        "alter table notes no force row level security",
    ] {
        let mut pool = stage.database("pool-2").await;
        run(&mut pool, by_hand).await;
        assert_eq!(
            drifts(&stage, newest).await,
            ["pool pool-2: its tables are not those that its last migration left"],
            "{by_hand}"
        );
        let undo = match by_hand {
            by_hand if by_hand.contains("index") => "drop index by_hand",
            by_hand if by_hand.contains("function") => "drop function by_hand()",
            by_hand if by_hand.contains("force") => "alter table notes force row level security",
            _ => "alter table notes alter column body set not null",
        };
        run(&mut pool, undo).await;
    }
    // By sqlx itself.
    host(&[COLOUR, SHAPE])
        .run(&mut stage.database("bee").await)
        .await?;
    let found = drifts(&stage, host(&[COLOUR, SHAPE])).await;
    assert!(
        found.contains(&"client bee: it says that it is at version 2 and is at 3".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"client bee: it was migrated past the fleet".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"pool pool-1: the host migrations 3 are not applied".to_owned()),
        "{found:?}"
    );
    // The next run takes note of it.
    assert!(
        stage
            .fleet(host(&[COLOUR, SHAPE]))
            .migrate()
            .report()
            .await?
            .is_complete()
    );
    assert_eq!(drifts(&stage, host(&[COLOUR, SHAPE])).await, Vec::<String>::new());
    assert_eq!(
        stage
            .log("bee")
            .await
            .last()
            .map(|(version, _, actor, _)| (*version, actor.clone())),
        Some((3, None))
    );
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_migration_that_came_late_is_told_and_applied() -> Outcome {
    let stage = Stage::start().await;
    assert!(
        stage
            .fleet(host(&[SHAPE]))
            .migrate()
            .report()
            .await?
            .is_complete()
    );
    let late = host(&[COLOUR, SHAPE]);
    let found = drifts(&stage, late).await;
    assert!(
        found.contains(&"client ant: migration 2 is not applied, and 3 is".to_owned()),
        "{found:?}"
    );
    assert!(stage.fleet(late).migrate().report().await?.is_complete());
    assert_eq!(stage.versions("ant").await, [1, 2, 3]);
    stage.close().await;
    Ok(())
}
