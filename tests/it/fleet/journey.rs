//! A fleet that is behind is brought up, and one that is not is left alone.

use tenantry::{
    DatabaseProvisioner as _, FleetEnd, FleetEvent, MigrationDirection, NewClient, Provisioning,
    ServerDatabases,
};

use super::{ALL, COLOUR, Outcome, SHAPE, Stage, host, names, told};
use crate::sql::{one, rows, run};

#[tokio::test]
async fn every_database_gets_what_it_lacks_and_the_platform_says_who_did_it() -> Outcome {
    let stage = Stage::start().await;
    let fleet = stage.fleet(host(&[COLOUR, SHAPE]));

    // What would run where, and nothing is done.
    let plan = fleet.plan().await?;
    let text = plan.to_string();
    for name in ALL {
        let kind = if name.starts_with("pool") {
            "pool"
        } else {
            "client"
        };
        let line = format!("  {kind} {name} (at 1): host 2 step 2; host 3 step 3;");
        assert!(text.contains(&line), "{text}");
        assert_eq!(stage.versions(name).await, [1]);
    }
    assert!(
        text.starts_with("all:\n") && text.ends_with("0 there already"),
        "{text}"
    );

    let (events, report) = told(fleet.migrate()).await?;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(names(&report.done), {
        let mut all = ALL;
        all.sort_unstable();
        all
    });
    let migrated = events
        .iter()
        .filter(|event| matches!(event, FleetEvent::Migrated { .. }));
    assert_eq!(migrated.count(), 8);
    for name in ALL {
        assert_eq!(stage.versions(name).await, [1, 2, 3]);
        let log = stage.log(name).await;
        let deploy = Some("deploy".to_owned());
        let up = |version, actor| (version, "up".to_owned(), actor, true);
        assert_eq!(log, [up(1, None), up(2, deploy.clone()), up(3, deploy)], "{name}");
    }
    let history = fleet.history(stage.owner("ant").await, 1).await?;
    assert_eq!(
        (history[0].version, history[0].direction, history[0].run),
        (3, MigrationDirection::Up, report.run)
    );
    let checksum: Vec<(Vec<u8>,)> = rows(
        &mut stage.database("ant").await,
        "select checksum from _sqlx_migrations where version = 3",
    )
    .await;
    assert_eq!(history[0].checksum.as_ref(), Some(&checksum[0].0));
    assert!(history[0].elapsed.is_some());
    let runs: Vec<(String, String, i64, String, i32, i32)> = rows(
        &mut stage.platform().await,
        "select actor, direction, target, outcome, databases, migrated from platform.fleet_runs",
    )
    .await;
    assert_eq!(
        runs,
        [(
            "deploy".to_owned(),
            "up".to_owned(),
            3,
            "completed".to_owned(),
            4,
            4
        )]
    );
    assert_eq!(fleet.status().await?.behind(), 0);
    assert!(fleet.verify().await?.is_empty(), "{:?}", fleet.verify().await?);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn an_older_kernel_is_brought_up_before_the_host() -> Outcome {
    let stage = Stage::start().await;
    let older = [("pool-1", 7), ("ant", 5)];
    for (name, newest) in older {
        let without = format!(
            "drop function tenantry.host_version(); delete from tenantry.migrations where version = {newest}"
        );
        run(&mut stage.database(name).await, &without).await;
    }
    run(&mut stage.platform().await, "delete from platform.known_schemas").await;
    let (events, report) = told(stage.fleet(host(&[COLOUR])).migrate()).await?;
    assert!(report.is_complete(), "{report:?}");
    for (name, newest) in older {
        let steps: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                FleetEvent::Migrated {
                    database,
                    set,
                    version,
                    ..
                } if database.name == name => Some((*set, *version)),
                _ => None,
            })
            .collect();
        assert_eq!(steps, [("kernel", newest), ("host", 2)]);
        let says: Option<i64> = one(&mut stage.database(name).await, "select tenantry.host_version()").await;
        assert_eq!(says, Some(2));
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_fleet_that_is_there_is_not_connected_to() -> Outcome {
    let stage = Stage::start().await;
    let fleet = stage.fleet(host(&[COLOUR]));
    assert!(fleet.migrate().report().await?.is_complete());
    stage.shut(&ALL, true).await;
    let report = fleet.migrate().report().await?;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.current, report.run), (4, None));
    let plan = fleet.plan().await?;
    assert!(plan.is_empty() && plan.current == 4, "{plan}");
    // One that is to be looked at is named.
    let more = stage.fleet(host(&[COLOUR, SHAPE]));
    let report = more.migrate().report().await?;
    assert_eq!(report.end, FleetEnd::Stopped);
    assert!(!report.failed.is_empty());
    stage.shut(&ALL, false).await;
    assert!(more.migrate().report().await?.is_complete());
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn new_databases_come_up_at_the_current_version_and_are_known_to() -> Outcome {
    let stage = Stage::start().await;
    let newest = host(&[COLOUR]);
    let fleet = stage.fleet(newest);
    assert!(fleet.migrate().report().await?.is_complete());
    let manager = stage.fixture.manager().await?;
    let unique = stage.fixture.database("x").split('_').nth(1).unwrap()[..8].to_owned();
    let databases =
        ServerDatabases::new(stage.fixture.server().url("postgres")).prefix(format!("f{unique}_"));
    let provisioning = Provisioning::new(stage.fixture.platform().clone(), manager.clone(), newest)
        .databases(databases.clone());
    let cat = provisioning
        .provision(NewClient::new("Cat", "cat".parse()?, "champion"))
        .await?;
    let mut superuser = stage.superuser().await;
    let made: Vec<(String,)> = rows(
        &mut superuser,
        &format!("select datname::text from pg_database where starts_with(datname, 'f{unique}_')"),
    )
    .await;
    assert_eq!(made.len(), 1);
    // It is not asked.
    let sql = format!("alter database \"{}\" with allow_connections false", made[0].0);
    run(&mut superuser, &sql).await;
    let report = fleet.migrate().report().await?;
    assert!(report.is_complete() && report.current == 5, "{report:?}");
    // Another connection may lead elsewhere: nothing is known of that.
    let sql = "select count(*) from platform.known_schemas k join platform.clients c on c.id = k.id where c.slug = 'cat'";
    let mut platform = stage.platform().await;
    assert_eq!(one::<i64>(&mut platform, sql).await, 1);
    run(
        &mut platform,
        "update platform.clients set admin_connection = app_connection where slug = 'cat'",
    )
    .await;
    assert_eq!(one::<i64>(&mut platform, sql).await, 0);
    manager.close().await;
    databases.remove(cat.id).await.unwrap();
    stage.close().await;
    Ok(())
}
