use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::client::{ClientRecord, ClientRef};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// The routes that were resolved, by each name that a client was asked for by.
#[derive(Debug)]
pub(super) struct Routes {
    cache: Cache<ClientRef, Arc<Tenant>>,
}

impl Routes {
    pub(super) fn new(capacity: u64, ttl: Duration) -> Self {
        Self {
            cache: Cache::builder().max_capacity(capacity).time_to_live(ttl).build(),
        }
    }

    /// The route, resolved if it is not remembered: once under concurrency. Errors are not remembered.
    pub(super) async fn get_or_resolve(
        &self,
        client: ClientRef,
        resolve: impl Future<Output = Result<Arc<Tenant>>>,
    ) -> Result<Arc<Tenant>> {
        self.cache
            .try_get_with(client, resolve)
            .await
            .map_err(|error| Error::clone(&error))
    }

    pub(super) async fn get(&self, client: &ClientRef) -> Option<Arc<Tenant>> {
        self.cache.get(client).await
    }

    pub(super) async fn forget(&self, client: &ClientRecord) {
        let names = [
            Some(ClientRef::from(client.id)),
            Some(ClientRef::from(client.slug.clone())),
            client.external_ref.clone().map(ClientRef::from),
            client.domain.clone().map(ClientRef::from),
        ];
        for name in names.iter().flatten() {
            self.cache.invalidate(name).await;
        }
    }
}
