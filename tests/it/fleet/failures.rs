//! What fails is named, left whole, begun with the next time, and nobody else's matter.

use std::time::Duration;

use tenantry::{ClientStatus, Deferral, Error, Fleet, FleetError, FleetEvent, FleetOptions, OnFailure};

use super::{ALL, COLOUR, Outcome, SHAPE, Stage, host, names, step, told};
use crate::sql::{one, run};

/// All go on, whatever fails.
fn go_on() -> FleetOptions {
    FleetOptions::default()
        .on_failure(OnFailure::Continue)
        .pause_above(1.0)
        .at_once(1)
}

#[tokio::test]
async fn a_database_that_fails_is_whole_and_comes_first_the_next_time() -> Outcome {
    let stage = Stage::start().await;
    run(
        &mut stage.database("bee").await,
        "alter table notes add column shape int",
    )
    .await;
    let both = host(&[COLOUR, SHAPE]);
    let report = stage.fleet_with(both, go_on()).migrate().report().await?;
    assert_eq!((report.done.len(), report.failed.len()), (3, 1));
    let failed = &report.failed[0];
    assert_eq!(failed.database.to_string(), "client bee");
    assert!(
        matches!(&failed.error, Error::Fleet { database, source: FleetError::Failed { set: "host", version: 3, .. }, .. }
            if database == "client bee"),
        "{failed:?}"
    );
    // The one before it stays, and is what it says that it has.
    assert_eq!(stage.versions("bee").await, [1, 2]);
    let says: Option<i64> = one(
        &mut stage.database("bee").await,
        "select host_version from tenantry.installation",
    )
    .await;
    assert_eq!(says, Some(2));
    let log = stage.log("bee").await;
    assert_eq!(log.len(), 3, "{log:?}");
    assert_eq!(log[2], (3, "up".to_owned(), Some("deploy".to_owned()), false));
    let status = stage.fleet(both).status().await?;
    let bee = status
        .databases
        .iter()
        .find(|database| database.database.name == "bee")
        .unwrap();
    assert!(
        bee.failure.as_ref().is_some_and(|why| why.contains("shape")),
        "{bee:?}"
    );
    assert_eq!(
        (bee.host_version, bee.is_current, status.behind()),
        (Some(2), false, 1)
    );

    run(
        &mut stage.database("bee").await,
        "alter table notes drop column shape",
    )
    .await;
    let more = host(&[
        COLOUR,
        SHAPE,
        step(4, "create table more (a int); select tenantry.share('more')"),
    ]);
    let (events, report) = told(stage.fleet_with(more, go_on()).migrate()).await?;
    assert!(report.is_complete(), "{report:?}");
    let first = events.iter().find_map(|event| match event {
        FleetEvent::DatabaseBegan { database } => Some(database.name.as_str()),
        _ => None,
    });
    assert_eq!(first, Some("bee"));
    assert_eq!(stage.versions("bee").await, [1, 2, 3, 4]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_told_of_a_failure_holds_no_value_of_a_row() -> Outcome {
    let stage = Stage::start().await;
    let ant = stage.client("ant").await;
    let row = format!("insert into notes (client_id, body) values ('{ant}', 'plantedsecretf00d')");
    run(&mut stage.database("ant").await, &row).await;
    let fleet = stage.fleet_with(
        host(&[step(
            2,
            "alter table notes alter column body type int using body::int",
        )]),
        go_on(),
    );
    let report = fleet.migrate().report().await?;
    let [failed] = &report.failed[..] else {
        panic!("{report:?}")
    };
    assert_eq!(failed.error.sqlstate().as_deref(), Some("22P02"));
    let told: String = one(
        &mut stage.platform().await,
        "select string_agg(t, ' ') from (select failure from platform.fleet_log union all
         select failure from platform.known_schemas union all select after::text from platform.audit_log) f(t)",
    )
    .await;
    assert!(told.contains("22P02") && !told.contains("f00d"), "{told}");
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_without_credentials_or_answer_fails_alone() -> Outcome {
    let stage = Stage::start().await;
    let platform = stage.fixture.platform();
    // One that takes the connection and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("postgres://admin@{}/bee", silent.local_addr()?);
    let bee = stage.client("bee").await;
    platform
        .set_dedicated(
            bee,
            &stage.fixture.app_url(&stage.fixture.database("bee")).into(),
            &url.into(),
        )
        .await?;
    run(
        &mut stage.platform().await,
        "update platform.clients set admin_connection = null where slug = 'ant'",
    )
    .await;
    stage.shut(&["pool-2"], true).await;
    let options = go_on().connect_timeout(Duration::from_secs(5));
    let report = stage
        .fleet_with(host(&[COLOUR]), options.clone())
        .migrate()
        .report()
        .await?;
    assert_eq!(names(&report.done), ["pool-1"]);
    for failed in &report.failed {
        let named = match failed.database.name.as_str() {
            "ant" => matches!(&failed.error, Error::MissingCredential { owner, .. } if owner == "client ant"),
            "bee" => matches!(&failed.error, Error::Unreachable { database, .. } if database == "client bee"),
            "pool-2" => {
                matches!(&failed.error, Error::Unreachable { database, .. } if database == "pool pool-2")
            }
            _ => false,
        };
        assert!(named, "{failed:?}");
    }
    assert_eq!(report.failed.len(), 3);
    let found = stage.fleet_with(host(&[COLOUR]), options).verify().await?;
    assert_eq!(
        names(found.iter().map(|finding| &finding.database)),
        ["ant", "bee", "pool-2"]
    );
    stage.shut(&["pool-2"], false).await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn who_is_not_served_now_is_part_of_the_fleet_and_who_is_not_set_up_is_not() -> Outcome {
    let stage = Stage::start().await;
    let platform = stage.fixture.platform();
    let (ant, bee) = (stage.client("ant").await, stage.client("bee").await);
    platform.set_status(ant, ClientStatus::Suspended).await?;
    platform.set_status(bee, ClientStatus::Archived).await?;
    let cat = stage.fixture.dedicated_client("cat").await?;
    platform.delete_client(cat.id).await?;
    let report = stage.fleet(host(&[COLOUR])).migrate().report().await?;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(names(&report.done), ["ant", "bee", "pool-1", "pool-2"]);
    // Undeleted, it is brought there.
    platform.undelete_client(cat.id).await?;
    let report = stage.fleet(host(&[COLOUR])).migrate().report().await?;
    assert_eq!((names(&report.done), report.current), (vec!["cat"], 4));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_a_client_moves_from_or_was_made_elsewhere_waits() -> Outcome {
    let stage = Stage::start().await;
    let dog = stage.fixture.shared_client("dog").await?;
    let elk = stage
        .fixture
        .legacy_client("elk", "create table notes (id int)")
        .await?;
    let relocation = format!(
        "insert into platform.relocations (client_id, source_tier, source_pool, fingerprint)
         select id, tier, pool_id, 'x' from platform.clients where id = '{}'",
        dog.id
    );
    run(&mut stage.platform().await, &relocation).await;
    let fleet: Fleet = stage.fleet(host(&[COLOUR]));
    let plan = fleet.plan().await?;
    let report = fleet.migrate().report().await?;
    assert_eq!(plan.deferred.len(), 2, "{plan}");
    let mut deferred = report.deferred.clone();
    deferred.sort_by_key(|deferred| deferred.database.name.clone());
    assert_eq!(deferred[0].database.to_string(), "client elk");
    assert_eq!(deferred[0].why, Deferral::NotInstalled);
    assert_eq!(deferred[1].database.to_string(), "pool pool-1");
    assert_eq!(deferred[1].why, Deferral::Relocating { client: dog.id });
    assert!(!report.is_complete() && report.failed.is_empty(), "{report:?}");
    assert_eq!(stage.versions("pool-1").await, [1]);
    let mut elks = stage.database("elk").await;
    let kernels: i64 = one(
        &mut elks,
        "select count(*) from pg_namespace where nspname = 'tenantry'",
    )
    .await;
    assert_eq!(kernels, 0, "{elk:?}");
    run(&mut stage.platform().await, "delete from platform.relocations").await;
    let report = fleet.migrate().report().await?;
    assert_eq!(
        (names(&report.done), report.current),
        (vec!["pool-1"], ALL.len() - 1)
    );
    stage.close().await;
    Ok(())
}
