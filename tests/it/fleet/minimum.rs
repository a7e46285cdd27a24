//! A program is not served from a database that is older than it needs.
#![expect(clippy::disallowed_methods, reason = "has tasks of its own, which it awaits")]

use std::time::{Duration, Instant};

use tenantry::{ClientConnectionManager, ClientRef, Error, FleetOptions, TenantDb};

use super::{COLOUR, Outcome, SHAPE, Stage, host};
use crate::sql::{PATIENCE, run};

/// Asks a client's data until the answer is as expected: a change is in force in milliseconds, not at once.
async fn until_answered(
    db: impl AsyncFn() -> tenantry::Result<i64>,
    expected: impl Fn(&tenantry::Result<i64>) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = db().await;
        if expected(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "still {answer:?}");
        tokio::task::yield_now().await;
    }
}

async fn ask(manager: &ClientConnectionManager, client: impl Into<ClientRef>) -> tenantry::Result<i64> {
    count(&manager.tenant(client).await?).await
}

async fn count(db: &TenantDb) -> tenantry::Result<i64> {
    Ok(i64::try_from(db.query("notes").count().await?).unwrap())
}

fn is_too_old(answer: &tenantry::Result<i64>, found: Option<i64>) -> bool {
    matches!(answer, Err(Error::SchemaTooOld { version, minimum: 3, .. }) if *version == found)
}

#[tokio::test]
async fn a_client_of_an_older_database_is_refused_until_it_is_migrated_and_again_once_it_is_rolled_back()
-> Outcome {
    let stage = Stage::start().await;
    let dog = stage.fixture.shared_client("dog").await?;
    let ant = stage.client("ant").await;
    let manager =
        ClientConnectionManager::connect(stage.fixture.manager_options().minimum_host_version(3)).await?;
    manager.hears_changes().await;
    let fleet = stage.fleet(host(&[COLOUR, SHAPE]));
    for (client, kind) in [(dog.id, "pool database"), (ant, "dedicated database")] {
        let refused = ask(&manager, client).await.unwrap_err();
        assert!(
            matches!(&refused, Error::SchemaTooOld { client: named, database, version: Some(1), minimum: 3 }
                if *named == client && database.starts_with(kind)),
            "{refused:?}"
        );
    }
    assert!(
        stage
            .fleet(host(&[COLOUR]))
            .migrate()
            .report()
            .await?
            .is_complete()
    );
    until_answered(
        async || ask(&manager, dog.id).await,
        |answer| is_too_old(answer, Some(2)),
    )
    .await;

    assert!(fleet.migrate().report().await?.is_complete());
    until_answered(async || ask(&manager, dog.id).await, Result::is_ok).await;
    until_answered(async || ask(&manager, ant).await, Result::is_ok).await;
    let held = [manager.tenant(dog.id).await?, manager.tenant(ant).await?];
    // Databases that are open, and handles that are held.
    assert!(fleet.roll_back(2).report().await?.is_complete());
    for db in &held {
        until_answered(async || count(db).await, |answer| is_too_old(answer, Some(2))).await;
    }
    // Whoever needs less is served all the while.
    let other = stage.fixture.manager().await?;
    assert_eq!(ask(&other, dog.id).await?, 0);
    other.close().await;
    assert!(fleet.migrate().report().await?.is_complete());
    for db in &held {
        until_answered(async || count(db).await, Result::is_ok).await;
    }
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn who_needs_more_is_refused_before_anything_is_taken_back() -> Outcome {
    let stage = Stage::start().await;
    let dog = stage.fixture.shared_client("dog").await?;
    let ant = stage.client("ant").await;
    let fleet = stage.fleet_with(
        host(&[COLOUR, SHAPE]),
        FleetOptions::default()
            .lock_timeout(Duration::from_millis(50))
            .lock_attempts(1000),
    );
    assert!(fleet.migrate().report().await?.is_complete());
    let manager =
        ClientConnectionManager::connect(stage.fixture.manager_options().minimum_host_version(3)).await?;
    manager.hears_changes().await;
    let held = [manager.tenant(dog.id).await?, manager.tenant(ant).await?];
    let mut readers = Vec::new();
    for (db, name) in held.iter().zip(["pool-1", "ant"]) {
        assert_eq!(count(db).await?, 0);
        let mut reader = stage.database(name).await;
        run(&mut reader, "begin; lock table notes in access share mode").await;
        readers.push(reader);
    }
    let rolling_back = tokio::spawn(fleet.roll_back(2).report());
    for db in &held {
        until_answered(async || count(db).await, |answer| is_too_old(answer, Some(2))).await;
    }
    for (reader, name) in readers.iter_mut().zip(["pool-1", "ant"]) {
        assert_eq!(stage.versions(name).await, [1, 2, 3]);
        run(reader, "rollback").await;
    }
    assert!(rolling_back.await??.is_complete());
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_says_no_version_is_refused() -> Outcome {
    let stage = Stage::start().await;
    let elk = stage
        .fixture
        .legacy_client("elk", "create table notes (id int)")
        .await?;
    let manager =
        ClientConnectionManager::connect(stage.fixture.manager_options().minimum_host_version(3)).await?;
    let refused = ask(&manager, elk.id).await;
    assert!(is_too_old(&refused, None), "{refused:?}");
    manager.close().await;
    stage.close().await;
    Ok(())
}
