//! Look-ups that a change overtakes: nobody who asked after the change has their answer.

use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tenantry::testing::Fixture;
use tenantry::{
    Changes, ClientConnectionManager, ClientRecord, ClientRef, ClientSlug, ClientUpdate, Directory,
    PlatformDirectory, PoolId, PoolRecord, Result,
};
use tokio::sync::Semaphore;

use super::{Outcome, trusting, until};
use crate::support::HOST;

/// Keeps its first answer about one name to itself, until it is let.
#[derive(Debug)]
struct Slow {
    platform: PlatformDirectory,
    name: ClientRef,
    first: Semaphore,
    found: Semaphore,
    may_tell: Semaphore,
}

#[async_trait]
impl Directory for Slow {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        let found = self.platform.client(client).await;
        if *client == self.name
            && let Ok(first) = self.first.try_acquire()
        {
            first.forget();
            self.found.add_permits(1);
            self.may_tell.acquire().await.unwrap().forget();
        }
        found
    }

    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>> {
        self.platform.pool(pool).await
    }

    async fn changes(&self) -> Result<Option<Changes>> {
        self.platform.changes().await
    }
}

#[tokio::test]
async fn a_client_that_was_created_while_its_name_was_looked_up_is_found_by_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let name = ClientRef::Slug("bolt".parse::<ClientSlug>()?);
    let slow = Arc::new(Slow {
        platform: fixture.platform().clone(),
        name: name.clone(),
        first: Semaphore::new(1),
        found: Semaphore::new(0),
        may_tell: Semaphore::new(0),
    });
    let manager = ClientConnectionManager::with_directory(Arc::clone(&slow) as _, trusting(&fixture));
    manager.hears_changes().await;
    manager.tenant(acme).await?;
    let mut before = pin!(manager.tenant(&name));
    tokio::select! {
        told = &mut before => panic!("not held up: {told:?}"),
        found = slow.found.acquire() => found?.forget(),
    }
    let bolt = fixture.shared_client("bolt").await?.id;
    // Changes are heard in their order: once this one is, the other was.
    let update = ClientUpdate::default().name("Heard");
    fixture.platform().update_client(acme, &update).await?;
    until("a later change", async || {
        manager.tenant(acme).await.unwrap().client().name == "Heard"
    })
    .await;
    let mut after = pin!(manager.tenant(&name));
    assert!(after.as_mut().now_or_never().is_none());
    slow.may_tell.add_permits(1);
    let (before, after) = tokio::join!(before, after);
    assert_eq!((before?.client().id, after?.client().id), (bolt, bolt));
    manager.close().await;
    Ok(())
}
