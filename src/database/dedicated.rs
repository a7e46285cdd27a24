#![expect(clippy::disallowed_methods, reason = "opens the pools of dedicated databases")]

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::catalogue_cell::CatalogueCell;
use super::own_indexes::OwnIndexCell;
use super::pool_database::expect_version;
use crate::client::ClientId;
use crate::directory::Fingerprint;
use crate::error::{Error, Result};
use crate::schema::{Catalogue, host_version};

/// The open pools of dedicated databases: bounded in number, the least recently used idle one makes room.
#[derive(Debug)]
pub(crate) struct DedicatedPools {
    pool_options: PgPoolOptions,
    max_pools: u32,
    wait: Duration,
    minimum_host_version: Option<i64>,
    room: Arc<Semaphore>,
    /// The slot of every client that is routed to or open, so that all its routes share one pool.
    known: Mutex<HashMap<ClientId, Weak<Slot>>>,
    /// By number, not by client: one whose credential changed has two for as long as both are in use.
    open: Mutex<HashMap<u64, Arc<Slot>>>,
    /// Told when a pool has come out of use while somebody waits for room.
    idle: Notify,
    waiting: AtomicUsize,
    /// Orders the uses of all pools.
    clock: AtomicU64,
    closed: AtomicBool,
}

/// A dedicated database. Its pool opens on first use, and again after it made room for another.
pub(crate) struct DedicatedDatabase {
    pub(crate) client: ClientId,
    slot: Arc<Slot>,
    pools: Arc<DedicatedPools>,
}

/// The place of a database's pool. It does not know the pools that it is one of, so that dropping the last
/// handle on those closes all.
struct Slot {
    number: u64,
    /// The digest of its URL: another one means another database or role. The sealed URL changes with its key.
    credential: Fingerprint,
    connect: PgConnectOptions,
    /// As it was read under the credential before this one: reading it is most of what opening a pool takes.
    catalogue: Option<Arc<CatalogueCell>>,
    open: RwLock<Option<Arc<OpenPool>>>,
    /// Held while opening, so that concurrent first uses open once, or fail once.
    opening: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

#[derive(Debug)]
struct OpenPool {
    pool: PgPool,
    catalogue: Arc<CatalogueCell>,
    own_indexes: Arc<OwnIndexCell>,
    last_used: AtomicU64,
    _room: OwnedSemaphorePermit,
}

/// The pool of a dedicated database, kept open as long as this value lives.
///
/// Clone the inner [`PgPool`] only for as long as you hold this: once dropped, the pool may be closed to
/// make room for another client's.
pub struct DedicatedPool {
    // `Some` until dropped.
    open: Option<Arc<OpenPool>>,
    pools: Arc<DedicatedPools>,
}

impl DedicatedPools {
    pub(crate) fn new(
        max_pools: u32,
        wait: Duration,
        pool_options: PgPoolOptions,
        minimum_host_version: Option<i64>,
    ) -> Self {
        Self {
            pool_options,
            max_pools,
            wait,
            minimum_host_version,
            room: Arc::new(Semaphore::new(max_pools as usize)),
            known: Mutex::default(),
            open: Mutex::default(),
            idle: Notify::new(),
            waiting: AtomicUsize::new(0),
            clock: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// The one database of the client, as long as its credential is the same.
    pub(crate) fn database(
        self: &Arc<Self>,
        client: ClientId,
        url: &SecretString,
        connect: PgConnectOptions,
    ) -> Arc<DedicatedDatabase> {
        let credential = Fingerprint::of(url, "dedicated");
        let handle = |slot| {
            Arc::new(DedicatedDatabase {
                client,
                slot,
                pools: Arc::clone(self),
            })
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalogue = None;
        if let Some(slot) = known.get(&client).and_then(Weak::upgrade) {
            if slot.credential == credential {
                return handle(slot);
            }
            if is_same_session(&slot.connect, &connect) {
                catalogue = slot.catalogue();
            }
            self.retire(&slot);
        }
        if known.len() == known.capacity() {
            known.retain(|_, slot| slot.strong_count() > 0);
        }
        let slot = Arc::new(Slot {
            number: self.tick(),
            credential,
            connect: connect.application_name("tenantry"),
            catalogue,
            open: RwLock::new(None),
            opening: tokio::sync::Mutex::new(None),
        });
        known.insert(client, Arc::downgrade(&slot));
        handle(slot)
    }

    /// How many pools are open.
    pub(crate) fn open_count(&self) -> usize {
        self.max_pools as usize - self.room.available_permits()
    }

    /// Refuses to open more, closes every pool and waits for the connections in use.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let slots = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        // All are taken before the first is waited for: none goes on for as long as another is in use.
        let open: Vec<_> = slots.into_values().filter_map(|slot| slot.take()).collect();
        join_all(open.iter().map(|open| open.pool.close())).await;
        self.room.close();
    }

    /// Closes the pool of a credential that was replaced, unless it is in use; then it is the next to make
    /// room once it is not.
    fn retire(&self, slot: &Slot) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped, its connections close.
        if slot.take_idle().is_some() {
            open.remove(&slot.number);
        } else if let Some(open) = slot.read().as_ref() {
            open.last_used.store(0, Ordering::Relaxed);
        }
    }

    /// The next moment of the clock that orders uses.
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Room for one more pool: free, made by closing the least recently used idle one, or waited for.
    async fn room(&self, client: ClientId) -> Result<OwnedSemaphorePermit> {
        let started = Instant::now();
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            // Registered before looking, so that a pool that comes out of use in between is not missed.
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            let _waiting = Waiting::new(&self.waiting);
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                return Ok(room);
            }
            if let Some(open) = self.evict_one() {
                tracing::debug!(for_client = %client, "a dedicated pool was closed to make room");
                // A host that kept a clone of the pool can keep its connections; it is not waited for.
                let _ = tokio::time::timeout(self.wait, open.pool.close()).await;
                drop(open);
                continue;
            }
            let left = self.wait.saturating_sub(started.elapsed());
            let freed = async {
                tokio::select! {
                    () = idle => None,
                    room = Arc::clone(&self.room).acquire_owned() => Some(room),
                }
            };
            match tokio::time::timeout(left, freed).await {
                Ok(Some(Ok(room))) => return Ok(room),
                Ok(Some(Err(_closed))) => return Err(Error::Closed),
                Ok(None) => {}
                Err(_elapsed) => {
                    return Err(Error::Busy {
                        client,
                        what: "room for its dedicated pool",
                        waited: self.wait,
                    });
                }
            }
        }
    }

    /// Takes the pool that was used longest ago, among those that nobody holds.
    fn evict_one(&self) -> Option<Arc<OpenPool>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_age: Vec<(u64, u64)> = open
            .values()
            .filter_map(|slot| {
                let last_used = slot.read().as_ref()?.last_used.load(Ordering::Relaxed);
                Some((last_used, slot.number))
            })
            .collect();
        by_age.sort_unstable();
        by_age.into_iter().find_map(|(_, number)| {
            let evicted = open.get(&number)?.take_idle()?;
            open.remove(&number);
            Some(evicted)
        })
    }
}

impl Slot {
    fn read(&self) -> RwLockReadGuard<'_, Option<Arc<OpenPool>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Arc<OpenPool>>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The catalogue, where it was read.
    fn catalogue(&self) -> Option<Arc<CatalogueCell>> {
        let open = self.read();
        let read = open.as_ref().map(|open| &open.catalogue);
        read.or(self.catalogue.as_ref()).map(Arc::clone)
    }

    fn take(&self) -> Option<Arc<OpenPool>> {
        self.write().take()
    }

    /// Takes the pool if nobody else holds it. Holders clone the Arc under the lock of the slot, so a count
    /// of one stays one while we have it.
    fn take_idle(&self) -> Option<Arc<OpenPool>> {
        let mut slot = self.write();
        let idle = slot.as_ref().is_some_and(|open| Arc::strong_count(open) == 1);
        if idle { slot.take() } else { None }
    }
}

impl DedicatedDatabase {
    /// The pool, opened if it is not open. It is not closed while the value lives.
    pub(crate) async fn pool(&self) -> Result<DedicatedPool> {
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        // Boxed, so that a pool that is open does not move the state of one that is not.
        Box::pin(self.open_once()).await
    }

    /// Refuses the client where its database is older than it may be. One that is not open is asked as it opens.
    pub(crate) async fn expect_version(&self) -> Result<()> {
        if self.pools.minimum_host_version.is_none() {
            return Ok(());
        }
        let Some(open) = self.opened() else { return Ok(()) };
        self.check_version(&open, &self.label()).await
    }

    async fn check_version(&self, pool: &PgPool, label: &str) -> Result<()> {
        let minimum = self.pools.minimum_host_version;
        if minimum.is_none() {
            return Ok(());
        }
        let version = async { host_version(&mut *pool.acquire().await?).await };
        let version = version.await.map_err(|source| Error::Unreachable {
            database: label.to_owned(),
            step: "reading its version",
            source: source.into(),
        })?;
        expect_version(self.client, label, version, minimum)
    }

    fn label(&self) -> String {
        format!("dedicated database of client {}", self.client)
    }

    async fn open_once(&self) -> Result<DedicatedPool> {
        let asked = Instant::now();
        let mut last_failure = self.slot.opening.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        if let Some((failed, error)) = &*last_failure
            && *failed > asked
        {
            return Err(error.clone());
        }
        let opened = self.open().await;
        *last_failure = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        opened
    }

    async fn open(&self) -> Result<DedicatedPool> {
        let room = self.pools.room(self.client).await?;
        let label = self.label();
        let unreachable = |step| {
            let database = label.clone();
            move |source: sqlx::Error| Error::Unreachable {
                database,
                step,
                source: source.into(),
            }
        };
        let pool = self
            .pools
            .pool_options
            .clone()
            .connect_with(self.slot.connect.clone())
            .await
            .map_err(unreachable("connecting"))?;
        self.check_version(&pool, &label).await?;
        let catalogue = if let Some(known) = &self.slot.catalogue {
            Arc::clone(known)
        } else {
            let read = load(&pool).await.map_err(unreachable("reading its catalogue"))?;
            Arc::new(CatalogueCell::new(read))
        };
        let open = Arc::new(OpenPool {
            pool,
            catalogue,
            own_indexes: Arc::default(),
            last_used: AtomicU64::new(self.pools.tick()),
            _room: room,
        });
        let held = DedicatedPool {
            open: Some(Arc::clone(&open)),
            pools: Arc::clone(&self.pools),
        };
        let mut all = self.pools.open.lock().unwrap_or_else(PoisonError::into_inner);
        if self.pools.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        *self.slot.write() = Some(open);
        all.insert(self.slot.number, Arc::clone(&self.slot));
        drop(all);
        tracing::info!(client = %self.client, "a dedicated pool was opened");
        Ok(held)
    }

    fn opened(&self) -> Option<DedicatedPool> {
        let slot = self.slot.read();
        let open = slot.as_ref()?;
        open.last_used.store(self.pools.tick(), Ordering::Relaxed);
        Some(DedicatedPool {
            open: Some(Arc::clone(open)),
            pools: Arc::clone(&self.pools),
        })
    }
}

impl fmt::Debug for Slot {
    // Not the connect options, which hold the password, and no digest to try passwords against.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DedicatedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedicatedDatabase")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl DedicatedPool {
    /// Another hold on the same pool.
    pub(crate) fn again(&self) -> Self {
        Self {
            open: self.open.clone(),
            pools: Arc::clone(&self.pools),
        }
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.open
            .as_ref()
            .map(|open| open.catalogue.current())
            .unwrap_or_default()
    }

    pub(crate) fn own_indexes(&self) -> Arc<OwnIndexCell> {
        self.open
            .as_ref()
            .map(|open| Arc::clone(&open.own_indexes))
            .unwrap_or_default()
    }

    pub(crate) async fn refresh_catalogue(&self, client: ClientId) -> Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        open.catalogue
            .refresh(|| async {
                load(&open.pool).await.map_err(|source| Error::Unreachable {
                    database: format!("dedicated database of client {client}"),
                    step: "reading its catalogue",
                    source: source.into(),
                })
            })
            .await
    }
}

impl Deref for DedicatedPool {
    type Target = PgPool;

    #[expect(clippy::expect_used, reason = "the pool is taken by Drop alone")]
    fn deref(&self) -> &PgPool {
        &self
            .open
            .as_ref()
            .expect("a pool is held until it is dropped")
            .pool
    }
}

impl fmt::Debug for DedicatedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedicatedPool").finish_non_exhaustive()
    }
}

impl Drop for DedicatedPool {
    fn drop(&mut self) {
        drop(self.open.take());
        if self.pools.waiting.load(Ordering::Acquire) > 0 {
            self.pools.idle.notify_one();
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether a session there sees the same, under whatever credential: as the same role, in the same database, with the
/// same settings.
fn is_same_session(one: &PgConnectOptions, other: &PgConnectOptions) -> bool {
    let seen = |of: &PgConnectOptions| {
        let place = (of.get_host().to_owned(), of.get_socket().cloned(), of.get_port());
        let role = of.get_username().to_owned();
        let of = (
            of.get_database().map(str::to_owned),
            of.get_options().map(str::to_owned),
        );
        (place, role, of)
    };
    seen(one) == seen(other)
}

async fn load(pool: &PgPool) -> sqlx::Result<Catalogue> {
    Catalogue::load(&mut *pool.acquire().await?).await
}

#[cfg(test)]
mod tests;
