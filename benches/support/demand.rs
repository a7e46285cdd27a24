use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use secrecy::SecretString;
use tenantry::testing::{DelayProxy, Fixture};
use tenantry::{
    Changes, ClientConnectionManager, ClientRecord, ClientRef, ClientSlug, Directory, Following,
    ManagerOptions, PlatformDirectory, PoolId, PoolRecord, Result,
};

use super::board::line;
use super::town::{HOST, HOUR};

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

/// How often the directory is asked by 10,000 who ask at once for a client that is not remembered.
pub(crate) async fn one_look_up() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.shared_client("acme").await.unwrap();
    let directory = Arc::new(Counting(fixture.platform().clone(), AtomicUsize::new(0)));
    let manager = ClientConnectionManager::with_directory(Arc::clone(&directory) as _, trusting(&fixture));
    let acme: ClientSlug = "acme".parse().unwrap();
    manager.hears_changes().await;
    let asked = (0..10_000).map(|_| {
        let (manager, acme) = (manager.clone(), acme.clone());
        async move { manager.tenant(acme).await.map(drop) }
    });
    for answer in join_all(asked.map(spawned)).await {
        answer.unwrap().unwrap();
    }
    let times = directory.1.load(Ordering::Relaxed);
    line(
        "look-ups of 10,000 first requests at once",
        &times.to_string(),
        "1",
        times == 1,
    );
    manager.close().await;
    fixture.close().await;
}

/// How often the platform database is waited for by one who asks for a client that is not remembered.
pub(crate) async fn one_round_trip() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    for slug in ["acme", "bolt"] {
        fixture.shared_client(slug).await.unwrap();
    }
    let options = fixture.server().connect_options("postgres");
    let proxy = DelayProxy::start(&options).await.unwrap();
    let database = fixture.database("platform");
    let direct = url::Url::parse(&fixture.admin_url(&database)).unwrap();
    let password = direct.password().unwrap_or_default();
    let url = proxy.url_as(fixture.admin_role(), password, &database);
    // The check of the listener talks, too.
    let directory = PlatformDirectory::connect(&SecretString::from(url), fixture.keyring())
        .await
        .unwrap()
        .following(Following::default().check_every(HOUR));
    let manager = ClientConnectionManager::with_directory(Arc::new(directory.clone()), trusting(&fixture));
    manager.hears_changes().await;
    let slug = |slug: &str| slug.parse::<ClientSlug>().unwrap();
    // The first prepares the statement and opens the pool.
    manager.tenant(slug("acme")).await.unwrap();
    let before = proxy.round_trips();
    manager.tenant(slug("bolt")).await.unwrap();
    let trips = proxy.round_trips() - before;
    line(
        "round trips of a cold resolution",
        &trips.to_string(),
        "1",
        trips == 1,
    );
    manager.close().await;
    directory.close().await;
    fixture.close().await;
}

fn trusting(fixture: &Fixture) -> ManagerOptions {
    fixture
        .manager_options()
        .record_ttl(HOUR)
        .unknown_ttl(HOUR)
        .max_staleness(HOUR)
}

#[expect(clippy::disallowed_methods, reason = "awaited by whoever spawns")]
fn spawned<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
