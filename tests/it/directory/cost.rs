//! How often the platform database is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use tenantry::testing::{DelayProxy, Fixture};
use tenantry::{
    Changes, ClientConnectionManager, ClientKey, ClientRecord, ClientRef, ClientSlug, Directory, Error,
    Following, PlatformDirectory, PoolId, PoolRecord, Result,
};

use super::outage::proxied;
use super::{HOUR, Outcome, trusting};
use crate::support::HOST;

/// Counts how often a client is looked up.
#[derive(Debug)]
struct Counting(PlatformDirectory, AtomicUsize);

#[async_trait]
impl Directory for Counting {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.client(client).await
    }

    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>> {
        self.0.pool(pool).await
    }

    async fn changes(&self) -> Result<Option<Changes>> {
        self.0.changes().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_first_requests_for_one_client_look_it_up_once() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    fixture.shared_client("acme").await?;
    let directory = Arc::new(Counting(fixture.platform().clone(), AtomicUsize::new(0)));
    let manager = ClientConnectionManager::with_directory(Arc::clone(&directory) as _, trusting(&fixture));
    manager.hears_changes().await;
    let acme: ClientSlug = "acme".parse()?;
    let asked = join_all((0..10_000).map(|_| {
        let (manager, acme) = (manager.clone(), acme.clone());
        tokio::spawn(async move { manager.tenant(acme).await.map(drop) })
    }));
    for answer in asked.await {
        answer??;
    }
    assert_eq!(directory.1.load(Ordering::Relaxed), 1);
    // Nobody is looked up once, too, for as long as nothing changes.
    let nobody: ClientSlug = "nobody".parse()?;
    for _ in 0..100 {
        let unknown = manager.tenant(nobody.clone()).await.unwrap_err();
        assert!(matches!(unknown, Error::UnknownClient { .. }), "{unknown:?}");
    }
    assert_eq!(directory.1.load(Ordering::Relaxed), 2);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_remembered_costs_one_round_trip_by_any_name() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let proxy = DelayProxy::start(&fixture.server().connect_options("postgres")).await?;
    // The check of the listener talks, too.
    let directory = proxied(&fixture, &proxy)
        .await
        .following(Following::default().check_every(HOUR));
    let clients = ["acme", "bolt", "cove"];
    for slug in clients {
        let id = fixture.shared_client(slug).await?.id;
        fixture
            .platform()
            .add_key(id, &ClientKey::new("agent", slug)?)
            .await?;
    }
    let manager = ClientConnectionManager::with_directory(Arc::new(directory.clone()), trusting(&fixture));
    let by_slug = |slug: &str| ClientRef::Slug(slug.parse().unwrap());
    let by_key = |slug: &str| ClientRef::Key(ClientKey::new("agent", slug).unwrap());
    manager.hears_changes().await;
    // The first prepares the statement and opens the pool.
    manager.tenant(by_slug("acme")).await?;
    manager.tenant(by_key("acme")).await?;
    for name in [by_slug("bolt"), by_key("cove")] {
        let before = proxy.round_trips();
        manager.tenant(&name).await?;
        assert_eq!(proxy.round_trips() - before, 1, "{name}");
        let before = proxy.round_trips();
        manager.tenant(&name).await?;
        assert_eq!(proxy.round_trips() - before, 0, "{name}");
    }
    // One that is not used for so long that its connection died costs no error.
    proxy.reset_all();
    let id = fixture.shared_client("dove").await?.id;
    manager.tenant(id).await?;
    manager.close().await;
    directory.close().await;
    Ok(())
}
