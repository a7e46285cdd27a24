use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::connection_url::{Fingerprint, connect_options};
use crate::client::PoolId;
use crate::error::Result;

/// The connections that clients are set up on. Opening one takes longer than all that is done on it, so it is kept
/// for a short time for whoever is next.
#[derive(Clone)]
pub(super) struct Idle {
    inner: Arc<Inner>,
}

struct Inner {
    /// To pool databases as their admin roles.
    admins: Mutex<HashMap<PoolId, (Fingerprint, PgPool)>>,
    /// To the platform database, each for as long as a client is set up.
    locks: PgPool,
    /// To the platform database, each for as long as records of a dual store are written.
    keys: PgPool,
}

/// How long a connection is kept that nobody uses.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// How many connections of a process place clients in a pool database at once.
const MOST_ADMINS: u32 = 4;

/// How many clients a process sets up at once; more wait.
const MOST_LOCKS: u32 = 16;

/// How many writes of dual stores a process is at, at once; more wait.
const MOST_KEYS: u32 = 16;

impl Idle {
    pub(super) fn new(platform: PgConnectOptions, wait: Duration) -> Self {
        let locks = pool(MOST_LOCKS, wait).connect_lazy_with(platform.clone());
        let keys = pool(MOST_KEYS, wait).connect_lazy_with(platform);
        let inner = Inner {
            admins: Mutex::default(),
            locks,
            keys,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(super) fn locks(&self) -> &PgPool {
        &self.inner.locks
    }

    pub(super) fn keys(&self) -> &PgPool {
        &self.inner.keys
    }

    /// The connections to a pool database by that URL. Those by another are not used any more.
    pub(super) fn admins(&self, id: PoolId, url: &SecretString, wait: Duration) -> Result<PgPool> {
        let fingerprint = Fingerprint::of(url, "admin");
        let mut admins = self.inner.admins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, pool)) = admins.get(&id)
            && *known == fingerprint
        {
            return Ok(pool.clone());
        }
        let options = connect_options(url, &format!("pool {id}"))?.application_name("tenantry");
        let pool = pool(MOST_ADMINS, wait).connect_lazy_with(options);
        admins.insert(id, (fingerprint, pool.clone()));
        Ok(pool)
    }

    /// Closes them all, and waits for those in use.
    pub(super) async fn close(&self) {
        let admins = {
            let mut admins = self.inner.admins.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *admins)
        };
        join_all(admins.values().map(|(_, pool)| pool.close())).await;
        self.inner.locks.close().await;
        self.inner.keys.close().await;
    }
}

fn pool(most: u32, wait: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(wait)
        .idle_timeout(IDLE_FOR)
}

impl fmt::Debug for Idle {
    // Not the options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}
