//! Set-ups under way, which are nobody else's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;
use tenantry::{ClientSetup, ClientStatus, Error, HookError, PlatformDirectory, Provisioning, TenantTx};
use tokio::sync::Semaphore;

use super::{Outcome, Platform, shared};
use crate::sql::{connect, one};
use crate::support::HOST;

/// Tells that it has begun, and ends when it may.
#[derive(Clone, Debug)]
struct Held {
    began: Arc<Semaphore>,
    may_end: Arc<Semaphore>,
}

#[async_trait]
impl ClientSetup for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn set_up(&self, _tx: &mut TenantTx) -> Result<(), HookError> {
        self.began.add_permits(1);
        self.may_end.acquire().await?.forget();
        Ok(())
    }
}

#[tokio::test]
async fn a_set_up_under_way_is_nobody_elses_and_is_let_go_of_at_once_when_it_is_dropped() -> Outcome {
    // A connection that is given back and holds the lock would close later than that.
    const AT_ONCE: Duration = Duration::from_secs(10);

    let platform = Platform::start().await;
    let held = Held {
        began: Arc::new(Semaphore::new(0)),
        may_end: Arc::new(Semaphore::new(0)),
    };
    let here = platform.provisioning().setup(held.clone());
    // Another process, with connections of its own.
    let url = SecretString::from(platform.fixture.admin_url(&platform.fixture.database("platform")));
    let directory = PlatformDirectory::connect(&url, platform.fixture.keyring()).await?;
    let manager = platform.fixture.manager().await?;
    let there = Provisioning::new(directory.clone(), manager.clone(), &HOST).setup(held.clone());

    let mut under_way = Box::pin(here.provision(shared("acme")));
    tokio::select! {
        ended = &mut under_way => panic!("not held up: {ended:?}"),
        began = held.began.acquire() => began?.forget(),
    }
    let id = there.unfinished().await?[0].client;
    for busy in [there.resume(id).await.map(drop), there.abandon(id).await] {
        assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    }
    held.may_end.add_permits(10);
    drop(under_way);
    let dropped = Instant::now();
    let resumed = loop {
        match there.resume(id).await {
            Err(Error::Busy { .. }) if dropped.elapsed() < AT_ONCE => tokio::task::yield_now().await,
            resumed => break resumed?,
        }
    };
    assert_eq!(resumed.status, ClientStatus::Active);
    let mut catalogue = platform.catalogue().await;
    let journal = "select count(*) from platform.provisions";
    assert_eq!(one::<i64>(&mut catalogue, journal).await, 0);

    // Whoever was suspended since is not set up again, which would have it served.
    directory.set_status(id, ClientStatus::Suspended).await?;
    let refused = there.resume(id).await.unwrap_err();
    assert!(matches!(refused, Error::NotServed { .. }), "{refused:?}");
    let pool = platform.fixture.database("pool-1");
    let mut pool = connect(platform.fixture.admin_options(&pool)).await;
    assert!(one::<bool>(&mut pool, "select suspended from tenantry.placement").await);
    manager.close().await;
    directory.close().await;
    platform.close().await;
    Ok(())
}
