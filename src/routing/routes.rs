use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::future::Cache;

use crate::client::{ClientRecord, ClientRef};
use crate::error::{Error, Result};
use crate::tenant::{Forget, Tenant};

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
    pub(super) async fn get_or_resolve(
        &self,
        client: ClientRef,
        resolve: impl Future<Output = Result<Arc<Tenant>>>,
    ) -> Result<Arc<Tenant>> {
        let forgotten = self
            .shard(&client)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .forgotten;
        let route = self
            .cache
            .try_get_with_by_ref(&client, async {
                let asked = Instant::now();
                Ok(Route {
                    tenant: resolve.await?,
                    asked,
                })
            })
            .await
            .map_err(|error: Arc<Error>| Error::clone(&error))?;
        let tenant = Arc::clone(&route.tenant);
        self.put_forward(client, route, forgotten);
        Ok(tenant)
    }

    /// Copies a route to where it is found first, unless a client of the shard was forgotten meanwhile.
    fn put_forward(&self, client: ClientRef, route: Route, forgotten: u64) {
        let mut shard = self
            .shard(&client)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.forgotten != forgotten || self.shard_capacity == 0 {
            return;
        }
        if shard.by_name.len() >= self.shard_capacity && !shard.by_name.contains_key(&client) {
            shard.by_name.retain(|_, route| route.asked.elapsed() < self.ttl);
            if shard.by_name.len() >= self.shard_capacity {
                // Those still in use come back from the cache.
                shard.by_name.clear();
            }
        }
        shard.by_name.insert(client, route);
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

#[async_trait]
impl Forget for Routes {
    async fn forget(&self, client: &ClientRecord) {
        let names = [
            Some(ClientRef::from(client.id)),
            Some(ClientRef::from(client.slug.clone())),
            client.external_ref.clone().map(ClientRef::from),
            client.domain.clone().map(ClientRef::from),
        ];
        for name in names.iter().flatten() {
            // First the cache, so that nobody finds there what the shard has forgotten already.
            self.cache.invalidate(name).await;
            let mut shard = self.shard(name).write().unwrap_or_else(PoisonError::into_inner);
            shard.by_name.remove(name);
            shard.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use secrecy::{SecretBox, SecretString};
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

    use super::*;
    use crate::client::{ClientId, ClientStatus, Placement};
    use crate::database::{Database, DedicatedPools};
    use crate::plan::{Features, Limits, TierName};
    use crate::secret::{Keyring, SealedFor};

    const HOUR: Duration = Duration::from_hours(1);

    fn tenant(id: ClientId) -> Arc<Tenant> {
        let keyring = Keyring::new(1, SecretBox::new(Box::new([1; 32])));
        let sealed = keyring
            .seal(
                &SecretString::from("secret"),
                SealedFor {
                    owner: id.as_uuid(),
                    column: "connection",
                },
            )
            .unwrap();
        let pools = Arc::new(DedicatedPools::new(1, HOUR, PgPoolOptions::new()));
        let forget: Weak<dyn Forget> = Weak::<Routes>::new();
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
            database: Database::Dedicated(pools.database(id, &sealed, PgConnectOptions::new())),
            routes: forget,
        })
    }

    async fn resolved(routes: &Routes, id: ClientId) -> Arc<Tenant> {
        let tenant = tenant(id);
        routes
            .get_or_resolve(id.into(), async { Ok(tenant) })
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
    async fn a_route_that_was_forgotten_while_it_was_resolved_is_not_put_in_front() {
        let routes = Routes::new(100, HOUR);
        let id = ClientId::new();
        let tenant = tenant(id);
        let resolve = async {
            routes.forget(&tenant.record).await;
            Ok(Arc::clone(&tenant))
        };
        routes.get_or_resolve(id.into(), resolve).await.unwrap();
        assert!(routes.get(&id.into()).is_none());
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
