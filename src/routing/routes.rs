use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::future::Cache;

use crate::client::{ClientRecord, ClientRef};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// The routes that were resolved, by each name that a client was asked for by.
///
/// The cache decides what is remembered and lets one resolve for all who wait. In front of it is a copy of the
/// routes in use, in shards: looking at the cache writes to a log that all clients share, looking at a shard
/// touches nothing but the shard.
#[derive(Debug)]
pub(super) struct Routes {
    cache: Cache<ClientRef, Route>,
    shards: Box<[Shard]>,
    /// How many routes a shard has at most.
    shard_capacity: usize,
    ttl: Duration,
}

#[derive(Clone, Debug)]
struct Route {
    tenant: Arc<Tenant>,
    /// When its resolution began: nothing in it is older.
    asked: Instant,
    /// What the shard had counted then.
    forgotten: u64,
}

/// On cache lines of its own, so that two clients in different shards do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    routes: RwLock<ShardRoutes>,
}

#[derive(Debug, Default)]
struct ShardRoutes {
    by_name: HashMap<ClientRef, Route>,
    /// Counts what was forgotten, so that a route that was resolved before is not put back after.
    forgotten: u64,
}

const SHARDS: usize = 64;

/// How often a route is resolved again because a client was forgotten meanwhile.
const RESOLVE_AGAIN: usize = 3;

impl Routes {
    pub(super) fn new(capacity: u64, ttl: Duration) -> Self {
        Self {
            cache: Cache::builder().max_capacity(capacity).time_to_live(ttl).build(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            shard_capacity: usize::try_from(capacity).unwrap_or(usize::MAX).div_ceil(SHARDS),
            ttl,
        }
    }

    /// The route, if it is in use and young enough. No I/O and no lock but the shard's.
    pub(super) fn get(&self, client: &ClientRef) -> Option<Arc<Tenant>> {
        let shard = self.shard(client).read().unwrap_or_else(PoisonError::into_inner);
        let route = shard.by_name.get(client)?;
        (route.asked.elapsed() < self.ttl).then(|| Arc::clone(&route.tenant))
    }

    /// The route, resolved if it is not remembered: once under concurrency. Errors are not remembered.
    ///
    /// Whoever resolves may have begun before the client was forgotten, and then finds what was true before:
    /// that is not remembered, and resolved again.
    pub(super) async fn get_or_resolve<F>(
        &self,
        client: &ClientRef,
        resolve: impl Fn() -> F + Send + Sync,
    ) -> Result<Arc<Tenant>>
    where
        F: Future<Output = Result<Arc<Tenant>>> + Send,
    {
        let mut again = 0;
        loop {
            let route = self
                .cache
                .try_get_with_by_ref(client, async {
                    let asked = Instant::now();
                    let forgotten = self.forgotten(client);
                    Ok(Route {
                        tenant: resolve().await?,
                        asked,
                        forgotten,
                    })
                })
                .await
                .map_err(|error: Arc<Error>| Error::clone(&error))?;
            let tenant = Arc::clone(&route.tenant);
            // Where clients are forgotten all the time, it need not be this one.
            if self.put_forward(client, route) || again == RESOLVE_AGAIN {
                return Ok(tenant);
            }
            self.cache.invalidate(client).await;
            again += 1;
        }
    }

    fn forgotten(&self, client: &ClientRef) -> u64 {
        self.shard(client)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .forgotten
    }

    /// Copies a route to where it is found first, unless a client of the shard was forgotten since its
    /// resolution began. Says whether nobody was.
    fn put_forward(&self, client: &ClientRef, route: Route) -> bool {
        let mut shard = self.shard(client).write().unwrap_or_else(PoisonError::into_inner);
        if shard.forgotten != route.forgotten {
            return false;
        }
        if self.shard_capacity == 0 {
            return true;
        }
        if shard.by_name.len() >= self.shard_capacity && !shard.by_name.contains_key(client) {
            shard.by_name.retain(|_, route| route.asked.elapsed() < self.ttl);
            if shard.by_name.len() >= self.shard_capacity {
                // Those still in use come back from the cache.
                shard.by_name.clear();
            }
        }
        shard.by_name.insert(client.clone(), route);
        true
    }

    /// Drops the routes of a client, by whatever name it was asked for.
    pub(super) async fn forget(&self, client: &ClientRecord) {
        let names = [
            Some(ClientRef::from(client.id)),
            Some(ClientRef::from(client.slug.clone())),
            client.external_ref.clone().map(ClientRef::from),
            client.domain.clone().map(ClientRef::from),
        ];
        for name in names.iter().flatten() {
            {
                let mut shard = self.shard(name).write().unwrap_or_else(PoisonError::into_inner);
                shard.by_name.remove(name);
                shard.forgotten += 1;
            }
            self.cache.invalidate(name).await;
        }
    }

    /// Only spreads the names; what withstands names made to collide is the map of the shard.
    fn shard(&self, client: &ClientRef) -> &RwLock<ShardRoutes> {
        let id;
        let bytes = match client {
            ClientRef::Id(client) => {
                id = client.as_uuid();
                id.as_bytes().as_slice()
            }
            ClientRef::Slug(slug) => slug.as_str().as_bytes(),
            ClientRef::External(reference) => reference.as_str().as_bytes(),
            ClientRef::Domain(domain) => domain.as_str().as_bytes(),
        };
        let mixed = bytes.iter().fold(0_u32, |mixed, byte| {
            mixed.wrapping_mul(31).wrapping_add((*byte).into())
        });
        &self.shards[mixed as usize % SHARDS].routes
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
    use crate::client::{ClientId, ClientStatus, Placement};
    use crate::database::{Database, DedicatedPools};
    use crate::plan::{Features, Guards, Limits, TierName};
    use crate::tenant::Router;

    const HOUR: Duration = Duration::from_hours(1);

    #[derive(Debug)]
    struct Nowhere;

    #[async_trait]
    impl Router for Nowhere {
        async fn forget(&self, _client: &ClientRecord) {}

        async fn resolve(&self, _client: ClientId) -> Result<Arc<Tenant>> {
            Err(Error::Closed)
        }
    }

    fn tenant(id: ClientId) -> Arc<Tenant> {
        let pools = Arc::new(DedicatedPools::new(1, HOUR, PgPoolOptions::new()));
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
                features: Features::default(),
                placement: Placement::Dedicated,
                epoch: 1,
                connection: None,
            },
            guards: Guards::default(),
            database: Database::Dedicated(pools.database(id, &"".into(), PgConnectOptions::new())),
            router: Weak::<Nowhere>::new(),
        })
    }

    async fn resolved(routes: &Routes, id: ClientId) -> Arc<Tenant> {
        let tenant = tenant(id);
        routes
            .get_or_resolve(&id.into(), || async { Ok(Arc::clone(&tenant)) })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_route_is_found_in_front_until_it_is_forgotten() {
        let routes = Routes::new(100, HOUR);
        let id = ClientId::new();
        assert!(routes.get(&id.into()).is_none());
        let tenant = resolved(&routes, id).await;
        assert!(Arc::ptr_eq(&routes.get(&id.into()).unwrap(), &tenant));
        routes.forget(&tenant.record).await;
        assert!(routes.get(&id.into()).is_none());
    }

    #[tokio::test]
    async fn a_route_that_is_too_old_is_not_found() {
        let routes = Routes::new(100, Duration::from_nanos(1));
        let id = ClientId::new();
        resolved(&routes, id).await;
        assert!(routes.get(&id.into()).is_none());
    }

    #[tokio::test]
    async fn a_route_that_was_forgotten_while_it_was_resolved_is_resolved_again() {
        let routes = Routes::new(100, HOUR);
        let id = ClientId::new();
        let (stale, fresh) = (tenant(id), tenant(id));
        let asked = AtomicUsize::new(0);
        let resolve = || async {
            if asked.fetch_add(1, Ordering::Relaxed) > 0 {
                return Ok(Arc::clone(&fresh));
            }
            routes.forget(&stale.record).await;
            Ok(Arc::clone(&stale))
        };
        let resolved = routes.get_or_resolve(&id.into(), resolve).await.unwrap();
        assert!(Arc::ptr_eq(&resolved, &fresh));
        assert!(Arc::ptr_eq(&routes.get(&id.into()).unwrap(), &fresh));
    }

    #[tokio::test]
    async fn who_waits_for_a_resolution_that_is_too_old_does_not_have_it() {
        let routes = Routes::new(100, HOUR);
        let id = ClientId::new();
        let (stale, fresh) = (tenant(id), tenant(id));
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let gone = tokio::sync::Mutex::new(Some(gone));
        let name = id.into();
        let mut first = Box::pin(routes.get_or_resolve(&name, || async {
            match gone.lock().await.take() {
                Some(gone) => gone.await.map(|()| Arc::clone(&stale)).map_err(|_| Error::Closed),
                None => Ok(Arc::clone(&fresh)),
            }
        }));
        assert!(first.as_mut().now_or_never().is_none());
        routes.forget(&stale.record).await;
        let mut second = Box::pin(routes.get_or_resolve(&name, || async { Ok(Arc::clone(&fresh)) }));
        assert!(second.as_mut().now_or_never().is_none());
        go.send(()).unwrap();
        let (first, second) = tokio::join!(first, second);
        assert!(Arc::ptr_eq(&first.unwrap(), &fresh));
        assert!(Arc::ptr_eq(&second.unwrap(), &fresh));
    }

    #[tokio::test]
    async fn no_more_routes_than_asked_for_are_in_front() {
        let routes = Routes::new(SHARDS as u64, HOUR);
        for _ in 0..4 * SHARDS {
            resolved(&routes, ClientId::new()).await;
        }
        let most = routes
            .shards
            .iter()
            .map(|shard| shard.routes.read().unwrap().by_name.len())
            .max();
        assert_eq!(most, Some(1));
        let none = Routes::new(0, HOUR);
        let id = ClientId::new();
        resolved(&none, id).await;
        assert!(none.get(&id.into()).is_none());
    }

    #[test]
    fn names_are_spread_over_the_shards() {
        let routes = Routes::new(100, HOUR);
        let mut seen: Vec<_> = (0..1_000)
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
