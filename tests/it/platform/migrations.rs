//! The platform database is brought up to date once, by whoever comes first.

use futures_util::future::join_all;
use secrecy::SecretString;
use tenantry::testing::Fixture;
use tenantry::{Error, PlatformDirectory};

use super::{Outcome, keyring, platform_connection};
use crate::sql::{connect, one, run};
use crate::support::HOST;

#[tokio::test]
async fn migrating_the_platform_again_and_at_once_changes_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let count = "select count(*) from platform.migrations";
    let before: i64 = one(&mut conn, count).await;
    for outcome in join_all((0..3).map(|_| fixture.platform().migrate())).await {
        outcome?;
    }
    assert_eq!(one::<i64>(&mut conn, count).await, before);

    // On an empty database, by several processes.
    let empty = fixture.database("empty");
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    run(
        &mut superuser,
        &format!("create database \"{empty}\" owner {}", fixture.admin_role()),
    )
    .await;
    let url = SecretString::from(fixture.admin_url(&empty));
    let directories = join_all((0..3).map(|_| PlatformDirectory::connect(&url, keyring(1)))).await;
    let directories: Vec<_> = directories.into_iter().collect::<Result<_, _>>()?;
    for outcome in join_all(directories.iter().map(PlatformDirectory::migrate)).await {
        outcome?;
    }
    let mut fresh = connect(fixture.admin_options(&empty)).await;
    assert_eq!(one::<i64>(&mut fresh, count).await, before);

    // A migration that was changed after it was applied is drift.
    run(
        &mut fresh,
        "update platform.migrations set checksum = '\\x00' where version = 3",
    )
    .await;
    let error = directories[0].migrate().await.unwrap_err();
    assert!(
        matches!(&error, Error::Migration { set: "platform", .. }),
        "{error:?}"
    );
    // And keeps nobody else waiting.
    let error = directories[1].migrate().await.unwrap_err();
    assert!(matches!(&error, Error::Migration { .. }), "{error:?}");
    for directory in &directories {
        directory.close().await;
    }
    drop(fresh);
    run(&mut superuser, &format!("drop database \"{empty}\" with (force)")).await;
    Ok(())
}
