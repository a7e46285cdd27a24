//! A platform database that does not answer, or whose word does not arrive.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use secrecy::{SecretBox, SecretString};
use tenantry::testing::{DelayProxy, Fixture};
use tenantry::{
    ClientConnectionManager, ClientRecord, ClientRef, Directory, ErrorKind, Following, Keyring, Limits,
    ManagerOptions, PlatformDirectory, PoolId, PoolRecord, Result,
};

use super::feed::Muffled;
use super::{Outcome, documents_limit, hearing, operator, platform, trusting, until};
use crate::sql::{connect, run};
use crate::support::HOST;

/// A directory that tells of no change.
#[derive(Debug)]
struct Silent(PlatformDirectory);

#[async_trait]
impl Directory for Silent {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        self.0.client(client).await
    }

    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>> {
        self.0.pool(pool).await
    }
}

/// The platform database through a proxy, to look up alone.
pub(crate) async fn proxied(fixture: &Fixture, proxy: &DelayProxy) -> PlatformDirectory {
    let direct = url::Url::parse(&fixture.admin_url(&fixture.database("platform"))).unwrap();
    let url = proxy.url_as(
        fixture.admin_role(),
        direct.password().unwrap_or_default(),
        &fixture.database("platform"),
    );
    let keyring = Keyring::new(1, SecretBox::new(Box::new([0; 32])));
    PlatformDirectory::connect(&SecretString::from(url), keyring)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_not_heard_of_is_trusted_for_so_long_and_no_longer() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let silent = |options: ManagerOptions| {
        let directory = Arc::new(Silent(fixture.platform().clone()));
        ClientConnectionManager::with_directory(directory, options)
    };
    let trusting_manager = silent(trusting(&fixture));
    let wary = silent(trusting(&fixture).max_staleness(Duration::from_millis(50)));
    let (trusted, held) = (trusting_manager.tenant(acme).await?, wary.tenant(acme).await?);
    let mut conn = platform(&fixture).await;
    // In the platform database alone: the pool database refuses nobody.
    run(&mut conn, "update platform.clients set status = 'suspended'").await;
    until("its age", async || held.query("agents").count().await.is_err()).await;
    assert_eq!(
        held.query("agents").count().await.unwrap_err().kind(),
        ErrorKind::Client
    );
    assert_eq!(wary.tenant(acme).await.unwrap_err().kind(), ErrorKind::Client);
    assert_eq!(trusted.query("agents").count().await?, 0);
    trusting_manager.tenant(acme).await?;
    // That a name leads to nobody as well.
    let forgetful = silent(trusting(&fixture).unknown_ttl(Duration::from_millis(50)));
    let bolt = ClientRef::Slug("bolt".parse()?);
    assert_eq!(
        forgetful.tenant(&bolt).await.unwrap_err().kind(),
        ErrorKind::Client
    );
    fixture.shared_client("bolt").await?;
    until("its age", async || forgetful.tenant(&bolt).await.is_ok()).await;
    forgetful.close().await;
    // A handle outlives its manager for so long, too.
    drop(wary);
    assert_eq!(
        held.query("agents").count().await.unwrap_err().kind(),
        ErrorKind::Usage
    );
    trusting_manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_listener_that_died_without_a_word_is_noticed_and_replaced() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let proxy = DelayProxy::start(&fixture.server().connect_options("postgres")).await?;
    let directory = proxied(&fixture, &proxy)
        .await
        .following(Following::default().check_every(Duration::from_millis(100)));
    let manager = ClientConnectionManager::with_directory(
        Arc::new(directory.clone()),
        trusting(&fixture).max_staleness(Duration::ZERO),
    );
    manager.hears_changes().await;
    let held = manager.tenant(acme).await?;
    // Nothing arrives any more, and nobody says so.
    proxy.pause();
    fixture
        .platform()
        .set_limits(acme, &Limits::default().with(documents_limit(), Some(5)))
        .await?;
    until("that nothing is heard", async || !manager.is_hearing_changes()).await;
    assert!(manager.hears_changes().now_or_never().is_none());
    proxy.reset_all();
    proxy.resume();
    manager.hears_changes().await;
    let limits = &manager.tenant(acme).await?.client().limits.clone();
    assert_eq!(limits.get(&documents_limit()), Some(Some(5)));
    assert_eq!(held.query("agents").count().await?, 0);
    manager.close().await;
    directory.close().await;
    Ok(())
}

#[tokio::test]
async fn clients_in_use_are_served_while_the_platform_database_is_away() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    let vast = fixture.dedicated_client("vast").await?.id;
    let manager = hearing(trusting(&fixture)).await;
    let held = [manager.tenant(acme).await?, manager.tenant(vast).await?];
    let database = fixture.database("platform");
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    run(
        &mut superuser,
        &format!("alter database {database} allow_connections false"),
    )
    .await;
    run(
        &mut superuser,
        &format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"),
    )
    .await;
    until("that nothing is heard", async || !manager.is_hearing_changes()).await;
    for db in &held {
        assert_eq!(db.query("agents").count().await?, 0);
        assert_eq!(
            manager
                .tenant(db.client().id)
                .await?
                .query("agents")
                .count()
                .await?,
            0
        );
    }
    let refused = manager.tenant(bolt).await.unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::Temporary | ErrorKind::Ambiguous | ErrorKind::Database
        ),
        "{refused:?}"
    );
    run(
        &mut superuser,
        &format!("alter database {database} allow_connections true"),
    )
    .await;
    manager.hears_changes().await;
    for id in [acme, bolt, vast] {
        assert_eq!(manager.tenant(id).await?.query("agents").count().await?, 0);
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn where_notifications_do_not_arrive_the_log_is_read_instead() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    // Its word to itself is swallowed, as others' words are by a transaction pooler.
    let muffled = Muffled::speaking(&fixture, "select").await;
    let following = Following::default()
        .check_every(Duration::from_millis(200))
        .poll_every(Duration::from_millis(20));
    let directory = muffled.directory(&fixture, following).await;
    let manager = ClientConnectionManager::with_directory(Arc::new(directory.clone()), trusting(&fixture));
    manager.hears_changes().await;
    manager.tenant(acme).await?;
    fixture
        .platform()
        .set_limits(acme, &Limits::default().with(documents_limit(), Some(5)))
        .await?;
    until("a change past the notifications", async || {
        let db = manager.tenant(acme).await.unwrap();
        db.client().limits.get(&documents_limit()) == Some(Some(5))
    })
    .await;
    manager.close().await;
    muffled.end(directory).await;
    Ok(())
}

#[tokio::test]
async fn nothing_is_heard_where_the_runtime_that_heard_has_ended() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let options = trusting(&fixture);
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(hearing(options))
    });
    let manager = elsewhere.join().unwrap();
    assert!(!manager.is_hearing_changes());
    Ok(())
}

#[tokio::test]
async fn a_look_up_that_is_answered_after_the_directory_was_closed_leaves_no_connection() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database())";

    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let url = SecretString::from(fixture.admin_url(&fixture.database("platform")));
    let directory = PlatformDirectory::connect(&url, fixture.keyring()).await?;
    let mut operator = operator(&fixture).await;
    let mut blocker = platform(&fixture).await;
    run(&mut blocker, "begin; lock table platform.clients").await;
    let name = ClientRef::Id(acme);
    let mut look_up = Box::pin(directory.client(&name));
    tokio::select! {
        found = &mut look_up => panic!("not held up: {found:?}"),
        () = crate::sql::until(&mut operator, WAITING) => {}
    }
    directory.close().await;
    run(&mut blocker, "rollback").await;
    assert!(look_up.await?.is_some());
    fixture.platform().close().await;
    // The blocker's is there yet.
    let only = "select count(*) = 1 from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    crate::sql::until(&mut operator, only).await;
    Ok(())
}
