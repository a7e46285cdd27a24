//! A database is opened once for all who ask; where it cannot be, its own clients are told why.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use sqlx::postgres::PgPoolOptions;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientRecord, ClientRef, ConnectionOptions, Directory, Error, ErrorKind,
    ManagerOptions, NewClient, NewPool, PlatformDirectory, PoolId, PoolRecord, Result,
};

use super::{Outcome, connected, deserted, keyring, sessions, watcher};
use crate::sql::{connect, one, until};
use crate::support::HOST;

#[tokio::test]
async fn a_database_is_opened_once_under_concurrency() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut clients = vec![fixture.dedicated_client("vast").await?];
    for number in 0..4 {
        clients.push(fixture.shared_client(&format!("acme-{number}")).await?);
    }
    // Which keeps connections for a while that clients were set up on.
    fixture.platform().close().await;
    let mut watcher = watcher(&fixture).await;
    let databases = [fixture.database("pool-1"), fixture.database("vast")];
    let quiet = format!(
        "select not exists (select from pg_stat_activity where datname in ('{}', '{}'))",
        databases[0], databases[1]
    );
    // Sessions are counted when they have ended.
    until(&mut watcher, &quiet).await;
    let mut began = async || {
        let mut counts = Vec::new();
        for database in &databases {
            let sql = format!("select sessions from pg_stat_database where datname = '{database}'");
            counts.push(one::<i64>(&mut watcher, &sql).await);
        }
        counts
    };
    let before = began().await;
    let manager = connected(
        fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().max_connections(2))
            .dedicated_pool(PgPoolOptions::new().max_connections(2)),
    )
    .await;
    let asked = join_all((0..100).map(|number| {
        let (manager, client) = (&manager, &clients[number % clients.len()]);
        async move {
            let name = match number % 2 {
                0 => ClientRef::Id(client.id),
                _ => ClientRef::Slug(client.slug.clone()),
            };
            manager.tenant(name).await?.query("agents").count().await
        }
    }))
    .await;
    for outcome in asked {
        assert_eq!(outcome?, 0);
    }
    assert_eq!(manager.open_dedicated_pools(), 1);
    manager.close().await;
    drop(manager);
    let mut watcher = connect(fixture.server().connect_options("postgres")).await;
    until(&mut watcher, &quiet).await;
    let after = began().await;
    // A pool database is found safe by a session of its own.
    let most = [3, 2];
    for (database, (most, (before, after))) in databases
        .iter()
        .zip(most.into_iter().zip(before.iter().zip(&after)))
    {
        let opened = after - before;
        assert!((1..=most).contains(&opened), "{database}: {opened} sessions");
    }
    Ok(())
}

#[tokio::test]
async fn all_names_of_a_client_share_one_pool() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?;
    let manager = connected(
        fixture
            .manager_options()
            .dedicated_pool(PgPoolOptions::new().max_connections(1)),
    )
    .await;
    let by_id = manager.tenant(vast.id).await?;
    let by_slug = manager.tenant(vast.slug.clone()).await?;
    assert_eq!(manager.open_dedicated_pools(), 0, "opened before its first use");
    for db in [&by_id, &by_slug] {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    assert_eq!(manager.open_dedicated_pools(), 1);
    let mut watcher = watcher(&fixture).await;
    assert_eq!(sessions(&mut watcher, &fixture, "vast").await, 1);
    manager.close().await;
    Ok(())
}

/// A directory of the host's own that has lost what the platform's rules would have kept.
#[derive(Debug)]
struct Forgetful(PlatformDirectory);

#[async_trait]
impl Directory for Forgetful {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        let mut record = self.0.client(client).await?;
        if let Some(record) = &mut record {
            record.connection = None;
        }
        Ok(record)
    }

    async fn pool(&self, _: PoolId) -> Result<Option<PoolRecord>> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_missing_credential_or_pool_is_named() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let acme = fixture.shared_client("acme").await?.id;
    let directory = Arc::new(Forgetful(fixture.platform().clone()));
    let manager = ClientConnectionManager::with_directory(directory, fixture.manager_options());
    for (client, owner, what) in [
        (vast, format!("client {vast}"), "clients.app_connection"),
        (acme, format!("pool {}", fixture.pool()), "record"),
    ] {
        let error = manager.tenant(client).await.unwrap_err();
        assert!(
            matches!(&error, Error::MissingCredential { owner: o, what: w } if *o == owner && w == what),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Installation);
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_manager_with_another_key_opens_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let acme = fixture.shared_client("acme").await?.id;
    let platform = fixture.admin_url(&fixture.database("platform"));
    let manager = connected(ManagerOptions::new(platform, keyring(9))).await;
    for (client, owner) in [
        (vast, format!("client {vast}")),
        (acme, format!("pool {}", fixture.pool())),
    ] {
        let error = manager.tenant(client).await.unwrap_err();
        assert!(
            matches!(&error, Error::WrongKey { owner: o, .. } if *o == owner),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Installation);
    }
    let mut watcher = watcher(&fixture).await;
    assert_eq!(sessions(&mut watcher, &fixture, "pool-1").await, 0);
    assert_eq!(sessions(&mut watcher, &fixture, "vast").await, 0);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_affects_its_own_clients_alone() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let near = [
        fixture.shared_client("acme").await?.id,
        fixture.dedicated_client("vast").await?.id,
    ];
    // A port that nobody listens on, a socket that is not there, a database that is not.
    let gone = fixture.app_url(&fixture.database("gone"));
    let urls = [
        "postgres://app:planted@127.0.0.1:1/x",
        "postgres://app:planted@localhost/x?host=/nowhere",
        gone.as_str(),
    ];
    let mut far = Vec::new();
    for (number, url) in urls.into_iter().enumerate() {
        let client = NewClient::new("Far", format!("far-{number}").parse()?, "champion").dedicated(url, url);
        let id = platform.create_client(client).await?.id;
        far.push((id, format!("dedicated database of client {id}")));

        platform.set_pool_active(fixture.pool(), false).await?;
        let admin = fixture.admin_url(&fixture.database("pool-1"));
        let name = format!("lost-{number}");
        let pool = platform.register_pool(NewPool::new(&name, url, admin)).await?;
        let id = fixture.shared_client(&name).await?.id;
        far.push((id, format!("pool database {name} ({pool})")));
        platform.set_pool_active(pool, false).await?;
    }
    let manager = connected(
        fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().connect_timeout(Duration::from_secs(5)))
            .dedicated_pool(PgPoolOptions::new().acquire_timeout(Duration::from_secs(5))),
    )
    .await;
    let ask = async |id| manager.tenant(id).await?.query("agents").count().await;
    let (unreachable, reachable) = tokio::join!(
        join_all(far.iter().map(|(id, _)| ask(*id))),
        join_all(near.iter().map(|id| ask(*id)))
    );
    for (outcome, (_, named)) in unreachable.into_iter().zip(&far) {
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { database, .. } if database == named),
            "{named}: {error:?}"
        );
        assert!(error.is_retryable());
        assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
    }
    for outcome in reachable {
        assert_eq!(outcome?, 0);
    }
    // What failed holds no room.
    assert_eq!(manager.open_dedicated_pools(), 1);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_pool_that_could_not_be_opened_is_tried_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let database = fixture.database("pool-1");
    let manager = fixture.manager().await?;
    let platform = fixture.platform();
    let admin = fixture.admin_url(&database).into();
    let nowhere = fixture.app_url(&fixture.database("nowhere")).into();
    platform
        .set_pool_connections(fixture.pool(), &nowhere, &admin)
        .await?;
    let error = manager.tenant(acme).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let app = fixture.app_url(&database).into();
    platform
        .set_pool_connections(fixture.pool(), &app, &admin)
        .await?;
    assert_eq!(manager.tenant(acme).await?.query("agents").count().await?, 0);
    manager.close().await;

    let nobody = PoolId::new();
    for refused in [
        platform.set_pool_connections(nobody, &app, &admin).await,
        platform.set_pool_active(nobody, false).await,
    ] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_that_is_opened_while_the_manager_is_closed_does_not_stay_open() -> Outcome {
    let fixture = Fixture::start_proxied(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let proxy = fixture.proxy().unwrap();
    let manager = connected(fixture.manager_options()).await;
    proxy.pause();
    let before = proxy.bytes_up();
    let mut opening = Box::pin(manager.tenant(acme));
    while proxy.bytes_up() == before {
        tokio::select! {
            opened = &mut opening => panic!("not held up: {opened:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    manager.close().await;
    proxy.resume();
    assert!(matches!(opening.await, Err(Error::Closed)));
    let mut watcher = watcher(&fixture).await;
    deserted(&mut watcher, &fixture, "pool-1").await;
    Ok(())
}
