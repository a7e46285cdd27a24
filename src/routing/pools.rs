use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::client::PoolId;
use crate::database::PoolDatabase;
use crate::directory::Fingerprint;
use crate::error::{Error, Result};
use crate::tenant::Fresh;

/// The pool databases that are open, one a pool: as many as there are, with no bound of their own.
#[derive(Debug, Default)]
pub(super) struct Pools {
    known: Mutex<HashMap<PoolId, Arc<Known>>>,
    /// Those that were replaced, while their last work ends.
    closing: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Known {
    open: RwLock<Option<Open>>,
    /// Held while opening, so that concurrent first uses open once, or fail once.
    opening: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

#[derive(Debug)]
struct Open {
    database: Arc<PoolDatabase>,
    fingerprint: Fingerprint,
    fresh: Fresh,
}

/// A pool as the directory has it now.
pub(super) trait Described: Send {
    /// Tells it from another connection or binding.
    fn fingerprint(&self) -> Fingerprint;

    /// Sees what may have changed in a database that is open.
    fn look_again(&self, database: &PoolDatabase) -> impl Future<Output = Result<()>> + Send;

    /// Whether it still holds.
    fn into_fresh(self) -> Fresh;

    fn open(self) -> impl Future<Output = Result<(PoolDatabase, Fresh)>> + Send;
}

impl Pools {
    /// The open database of the pool. Described again where it may have changed, and opened again where it did.
    pub(super) async fn get_or_open<D: Described, F>(
        &self,
        id: PoolId,
        describe: impl FnOnce() -> F + Send,
    ) -> Result<Arc<PoolDatabase>>
    where
        F: Future<Output = Result<D>> + Send,
    {
        let known = {
            let mut pools = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pools.entry(id).or_default())
        };
        if let Some(open) = known.fresh() {
            return Ok(open);
        }
        let asked = Instant::now();
        let mut last_failure = known.opening.lock().await;
        if let Some(open) = known.fresh() {
            return Ok(open);
        }
        if let Some((failed, error)) = &*last_failure
            && *failed > asked
        {
            return Err(error.clone());
        }
        let opened = self.open(&known, describe).await;
        *last_failure = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        opened
    }

    async fn open<D: Described, F>(
        &self,
        known: &Known,
        describe: impl FnOnce() -> F + Send,
    ) -> Result<Arc<PoolDatabase>>
    where
        F: Future<Output = Result<D>> + Send,
    {
        let described = describe().await?;
        let fingerprint = described.fingerprint();
        if let Some(database) = known.open_as(fingerprint) {
            described.look_again(&database).await?;
            if let Some(open) = &mut *known.open.write().unwrap_or_else(PoisonError::into_inner)
                && open.fingerprint == fingerprint
            {
                open.fresh = described.into_fresh();
            }
            return Ok(database);
        }
        let (database, fresh) = described.open().await?;
        let database = Arc::new(database);
        let open = Open {
            database: Arc::clone(&database),
            fingerprint,
            fresh,
        };
        let replaced = known
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(open);
        if let Some(replaced) = replaced {
            let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
            while closing.try_join_next().is_some() {}
            // What is under way on it ends there.
            closing.spawn(async move { replaced.database.close().await });
        }
        Ok(database)
    }

    pub(super) fn open_count(&self) -> usize {
        self.open_databases().len()
    }

    /// Closes them all at once, and waits for the work under way.
    pub(super) async fn close(&self) {
        let open = self.open_databases();
        let mut closing = std::mem::take(&mut *self.closing.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(open.iter().map(|database| database.close())).await;
        while closing.join_next().await.is_some() {}
    }

    fn open_databases(&self) -> Vec<Arc<PoolDatabase>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |known: &Arc<Known>| {
            let open = known.open.read().unwrap_or_else(PoisonError::into_inner);
            open.as_ref().map(|open| Arc::clone(&open.database))
        };
        known.values().filter_map(open).collect()
    }
}

impl Known {
    /// The open database, where it is open as that.
    fn open_as(&self, fingerprint: Fingerprint) -> Option<Arc<PoolDatabase>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref()
            .filter(|open| open.fingerprint == fingerprint)
            .map(|open| Arc::clone(&open.database))
    }

    fn fresh(&self) -> Option<Arc<PoolDatabase>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref()
            .filter(|open| open.fresh.is())
            .map(|open| Arc::clone(&open.database))
    }
}
