use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::future::Cache;

use crate::client::ClientRef;
use crate::error::{Error, Result};
use crate::tenant::{Asked, Freshness, Tenant};

/// The routes that were resolved, by each name that a client was asked for by.
///
/// The cache decides what is remembered and lets one resolve for all who wait. In front of it is a copy of the
/// routes in use, in shards: looking at the cache writes to a log that all clients share, looking at a shard
/// touches nothing but the shard. Whether a route still holds is its own matter: one that does not is replaced when
/// it is asked for.
#[derive(Debug)]
pub(super) struct Routes {
    freshness: Arc<Freshness>,
    cache: Cache<ClientRef, Found>,
    shards: Box<[Shard]>,
    /// How many routes a shard has at most.
    shard_capacity: usize,
    time_to_live: Duration,
    unknown_time_to_live: Duration,
}

/// What a name led to.
#[derive(Clone, Debug)]
enum Found {
    Tenant(Arc<Tenant>),
    /// To nobody, when it was asked for.
    Nobody(Asked),
    /// Told to all who waited, and not remembered.
    Failed(Box<Error>),
}

/// On cache lines of its own, so that two clients in different shards do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    routes: RwLock<HashMap<ClientRef, Arc<Tenant>>>,
}

/// So many that two clients in use at once rarely meet in one; an empty one takes 128 bytes.
const SHARDS: usize = 256;

/// How often a route is resolved again because its client changed meanwhile.
const RESOLVE_AGAIN: usize = 5;

impl Routes {
    /// Remembers so many names at most, each for so long, and that a name leads to nobody for so long.
    pub(super) fn new(
        freshness: Arc<Freshness>,
        capacity: u64,
        time_to_live: Duration,
        unknown_time_to_live: Duration,
    ) -> Self {
        Self {
            freshness,
            cache: Cache::builder()
                .max_capacity(capacity)
                .time_to_live(time_to_live)
                .build(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            shard_capacity: usize::try_from(capacity).unwrap_or(usize::MAX).div_ceil(SHARDS),
            time_to_live,
            unknown_time_to_live,
        }
    }

    /// The route, if it is in use and still holds. No I/O and no lock but the shard's.
    pub(super) fn get(&self, client: &ClientRef) -> Option<Arc<Tenant>> {
        let shard = self.shard(client).read().unwrap_or_else(PoisonError::into_inner);
        let tenant = shard.get(client)?;
        self.holds(tenant).then(|| Arc::clone(tenant))
    }

    /// The route, resolved if it is not remembered: once under concurrency. What failed is not remembered.
    ///
    /// Who waits for a resolution that began before the client changed does not have its answer.
    pub(super) async fn get_or_resolve<F>(
        &self,
        client: &ClientRef,
        resolve: impl Fn(Asked) -> F + Send + Sync,
    ) -> Result<Arc<Tenant>>
    where
        F: Future<Output = Result<Option<Arc<Tenant>>>> + Send,
    {
        for _ in 0..RESOLVE_AGAIN {
            let resolved = async {
                let asked = self.freshness.ask();
                match resolve(asked).await {
                    Ok(Some(tenant)) => Found::Tenant(self.shared(tenant)),
                    Ok(None) => Found::Nobody(asked),
                    Err(error) => Found::Failed(error.into()),
                }
            };
            let found = self
                .cache
                .entry_by_ref(client)
                .or_insert_with_if(resolved, |found| !self.is_true(found))
                .await
                .into_value();
            match found {
                Found::Tenant(tenant) if self.holds(&tenant) => {
                    self.put_forward(client, &tenant);
                    return Ok(tenant);
                }
                Found::Nobody(asked) if self.freshness.is_unchanged(asked, self.unknown_time_to_live) => {
                    return Err(Error::UnknownClient {
                        client: client.clone(),
                    });
                }
                Found::Failed(error) => return Err(*error),
                Found::Tenant(_) | Found::Nobody(_) => {}
            }
        }
        // Where so much changes, or nothing may be remembered, what was found just now is as good as can be.
        resolve(self.freshness.ask())
            .await?
            .ok_or_else(|| Error::UnknownClient {
                client: client.clone(),
            })
    }

    /// The route of the same client that is remembered by its id, so that all its names share one.
    fn shared(&self, tenant: Arc<Tenant>) -> Arc<Tenant> {
        let id = ClientRef::Id(tenant.record.id);
        if let Some(known) = self.get(&id) {
            return known;
        }
        self.put_forward(&id, &tenant);
        tenant
    }

    fn holds(&self, tenant: &Tenant) -> bool {
        tenant.fresh.is_within(self.time_to_live)
    }

    fn is_true(&self, found: &Found) -> bool {
        match found {
            Found::Tenant(tenant) => self.holds(tenant),
            Found::Nobody(asked) => self.freshness.is_unchanged(*asked, self.unknown_time_to_live),
            Found::Failed(_) => false,
        }
    }

    /// Copies a route to where it is found first.
    fn put_forward(&self, client: &ClientRef, tenant: &Arc<Tenant>) {
        if self.shard_capacity == 0 {
            return;
        }
        let mut shard = self.shard(client).write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= self.shard_capacity && !shard.contains_key(client) {
            shard.retain(|_, tenant| self.holds(tenant));
            if shard.len() >= self.shard_capacity {
                // Those still in use come back from the cache.
                shard.clear();
            }
        }
        shard.insert(client.clone(), Arc::clone(tenant));
    }

    /// Only spreads the names; what withstands names made to collide is the map of the shard.
    fn shard(&self, client: &ClientRef) -> &RwLock<HashMap<ClientRef, Arc<Tenant>>> {
        let id;
        let bytes = match client {
            ClientRef::Id(client) => {
                id = client.as_uuid();
                id.as_bytes().as_slice()
            }
            ClientRef::Slug(slug) => slug.as_bytes(),
            ClientRef::External(reference) => reference.as_bytes(),
            ClientRef::Domain(domain) => domain.as_bytes(),
            ClientRef::Key(key) => key.key().as_bytes(),
        };
        let mut mixed = 0_u64;
        let mut mix = |eight: [u8; 8]| {
            mixed = (mixed ^ u64::from_le_bytes(eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 32;
        };
        let (eights, rest) = bytes.as_chunks();
        eights.iter().copied().for_each(&mut mix);
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix(last);
        let [low, ..] = mixed.to_le_bytes();
        &self.shards[usize::from(low) % SHARDS].routes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures_util::FutureExt;
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

    use super::*;
    use crate::client::{ClientId, ClientRecord, ClientSlug, ClientStatus, Placement};
    use crate::database::{Database, DedicatedPools};
    use crate::directory::Change;
    use crate::plan::{Features, Grace, Guards, Limits, Settings, TierName};
    use crate::tenant::Router;

    const HOUR: Duration = Duration::from_hours(1);

    #[derive(Debug)]
    struct Nowhere;

    #[async_trait]
    impl Router for Nowhere {
        fn relocation_wait(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }

        fn forget(&self, _client: ClientId) {}

        async fn resolve(&self, _client: ClientId, _served: ClientStatus) -> Result<Arc<Tenant>> {
            Err(Error::Closed)
        }
    }

    fn routes(capacity: u64, time_to_live: Duration) -> Routes {
        let freshness = Arc::new(Freshness::new(HOUR));
        freshness.heard();
        Routes::new(freshness, capacity, time_to_live, HOUR)
    }

    fn tenant(routes: &Routes, asked: Asked, id: ClientId) -> Arc<Tenant> {
        let pools = Arc::new(DedicatedPools::new(1, HOUR, PgPoolOptions::new(), None));
        let subjects = [Some(Change::Client(id)), None, None];
        Arc::new(Tenant {
            record: ClientRecord {
                id,
                name: "Acme".to_owned(),
                slug: "acme".parse().unwrap(),
                external_ref: None,
                domain: None,
                status: ClientStatus::Active,
                tier: TierName::from("champion"),
                limits: Limits::default(),
                grace: Grace::default(),
                features: Features::default(),
                settings: Settings::default(),
                retention_days: None,
                grace_days: 0,
                placement: Placement::Dedicated,
                epoch: 1,
                connection: None,
            },
            guards: Guards::default(),
            database: Database::Dedicated(pools.database(id, &"".into(), PgConnectOptions::new())),
            fresh: routes.freshness.found(asked, subjects),
            plans: Arc::default(),
            router: Weak::<Nowhere>::new(),
        })
    }

    async fn resolved(routes: &Routes, name: impl Into<ClientRef>, id: ClientId) -> Arc<Tenant> {
        routes
            .get_or_resolve(&name.into(), async |asked| Ok(Some(tenant(routes, asked, id))))
            .await
            .unwrap()
    }

    fn change(routes: &Routes, id: ClientId) {
        routes.freshness.note(Change::Client(id));
    }

    #[tokio::test]
    async fn a_route_is_found_in_front_until_its_client_changes() {
        let routes = routes(100, HOUR);
        let id = ClientId::new();
        assert!(routes.get(&id.into()).is_none());
        let tenant = resolved(&routes, id, id).await;
        assert!(Arc::ptr_eq(&routes.get(&id.into()).unwrap(), &tenant));
        change(&routes, ClientId::new());
        assert!(routes.get(&id.into()).is_some());
        change(&routes, id);
        assert!(routes.get(&id.into()).is_none());
        let again = resolved(&routes, id, id).await;
        assert!(!Arc::ptr_eq(&again, &tenant));
    }

    #[tokio::test]
    async fn all_names_of_a_client_share_one_route() {
        let routes = routes(100, HOUR);
        let id = ClientId::new();
        let slug: ClientSlug = "acme".parse().unwrap();
        let by_slug = resolved(&routes, slug.clone(), id).await;
        assert!(Arc::ptr_eq(&routes.get(&id.into()).unwrap(), &by_slug));
        let key = crate::client::ClientKey::new("agent", "guide").unwrap();
        assert!(Arc::ptr_eq(&resolved(&routes, key.clone(), id).await, &by_slug));
        change(&routes, id);
        assert!(routes.get(&slug.into()).is_none() && routes.get(&key.into()).is_none());
    }

    #[tokio::test]
    async fn a_route_that_is_too_old_is_not_found() {
        let routes = routes(100, Duration::from_nanos(1));
        let id = ClientId::new();
        resolved(&routes, id, id).await;
        assert!(routes.get(&id.into()).is_none());
    }

    #[tokio::test]
    async fn a_client_that_changed_while_it_was_resolved_is_resolved_again() {
        let routes = routes(100, HOUR);
        let id = ClientId::new();
        let times = AtomicUsize::new(0);
        let found = routes
            .get_or_resolve(&id.into(), async |asked| {
                let tenant = tenant(&routes, asked, id);
                if times.fetch_add(1, Ordering::Relaxed) == 0 {
                    change(&routes, id);
                }
                Ok(Some(tenant))
            })
            .await
            .unwrap();
        assert_eq!(times.into_inner(), 2);
        assert!(found.fresh.is());
        assert!(Arc::ptr_eq(&routes.get(&id.into()).unwrap(), &found));
    }

    #[tokio::test]
    async fn who_waits_for_a_resolution_that_is_too_old_does_not_have_it() {
        let routes = routes(100, HOUR);
        let id = ClientId::new();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let gone = tokio::sync::Mutex::new(Some(gone));
        let name = id.into();
        let mut first = Box::pin(routes.get_or_resolve(&name, async |asked| {
            let tenant = tenant(&routes, asked, id);
            if let Some(gone) = gone.lock().await.take() {
                gone.await.map_err(|_| Error::Closed)?;
            }
            Ok(Some(tenant))
        }));
        assert!(first.as_mut().now_or_never().is_none());
        change(&routes, id);
        let mut second =
            Box::pin(routes.get_or_resolve(&name, async |asked| Ok(Some(tenant(&routes, asked, id)))));
        assert!(second.as_mut().now_or_never().is_none());
        go.send(()).unwrap();
        let (first, second) = tokio::join!(first, second);
        assert!(first.unwrap().fresh.is() && second.unwrap().fresh.is());
    }

    #[tokio::test]
    async fn that_a_name_leads_to_nobody_is_remembered_until_anything_changes() {
        let routes = routes(100, HOUR);
        let slug: ClientRef = "acme".parse::<ClientSlug>().unwrap().into();
        let times = AtomicUsize::new(0);
        let ask = async || {
            let asking = routes.get_or_resolve(&slug, async |_| {
                times.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            });
            assert!(matches!(asking.await, Err(Error::UnknownClient { .. })));
            times.load(Ordering::Relaxed)
        };
        assert_eq!((ask().await, ask().await), (1, 1));
        change(&routes, ClientId::new());
        assert_eq!((ask().await, ask().await), (2, 2));
        let id = ClientId::new();
        change(&routes, id);
        assert_eq!(resolved(&routes, slug.clone(), id).await.record.id, id);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_remembered() {
        let routes = routes(100, HOUR);
        let id = ClientId::new();
        let failed = routes
            .get_or_resolve(&id.into(), async |_| Err(Error::Closed))
            .await;
        assert!(matches!(failed, Err(Error::Closed)));
        resolved(&routes, id, id).await;
    }

    #[tokio::test]
    async fn no_more_routes_than_asked_for_are_in_front() {
        let some = routes(SHARDS as u64, HOUR);
        for _ in 0..4 * SHARDS {
            let id = ClientId::new();
            resolved(&some, id, id).await;
        }
        let most = some
            .shards
            .iter()
            .map(|shard| shard.routes.read().unwrap().len())
            .max();
        assert_eq!(most, Some(1));
        let none = routes(0, HOUR);
        let id = ClientId::new();
        resolved(&none, id, id).await;
        assert!(none.get(&id.into()).is_none());
    }

    #[test]
    fn names_are_spread_over_the_shards() {
        let routes = routes(100, HOUR);
        let mut seen: Vec<_> = (0..10_000)
            .map(|number| {
                std::ptr::from_ref(
                    routes.shard(&ClientRef::Slug(format!("client-{number}").parse().unwrap())),
                )
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), SHARDS);
    }
}
