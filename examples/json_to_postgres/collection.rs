//! One collection of one client on its way, with those who write and read it.
#![expect(
    clippy::disallowed_methods,
    reason = "has tasks that write and read until it ends them"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use tenantry::{
    Comparison, DualStore, DualStoreOptions, DualStoreStatus, JsonImport, JsonImported, JsonRepository,
    PlatformDirectory, PostgresRepository, Repository, StorePhase, TenantDb,
};
use tokio::task::JoinHandle;

use super::Outcome;
use super::records::MadeUp;

pub(crate) type Moving<R> = DualStore<JsonRepository<R>, PostgresRepository<R>>;

/// A collection, whatever its records are.
#[async_trait]
pub(crate) trait Collection: Send + Sync {
    fn name(&self) -> &str;
    async fn change_phase(&self, to: StorePhase) -> tenantry::Result<()>;
    async fn import(&self) -> tenantry::Result<JsonImported>;
    async fn verify(&self) -> tenantry::Result<Comparison>;
    async fn status(&self) -> tenantry::Result<DualStoreStatus>;
    /// How many writes and reads were acknowledged so far.
    fn traffic(&self) -> (u64, u64);
    /// Ends those who write and read, and says what of all that was acknowledged is not in the table.
    async fn lost(&self) -> Outcome<Vec<String>>;
}

/// Until it is waited for.
type Task<T> = tokio::sync::Mutex<Option<JoinHandle<Outcome<T>>>>;

pub(crate) struct Moved<R: MadeUp + for<'r> FromRow<'r, PgRow> + Unpin> {
    name: String,
    pub(crate) store: Moving<R>,
    pub(crate) file: JsonRepository<R>,
    table: PostgresRepository<R>,
    at_first: BTreeMap<String, R>,
    traffic: Arc<Traffic>,
    writer: Task<BTreeMap<String, R>>,
    reader: Task<()>,
    /// What is written beside the writer, once it was acknowledged.
    pub(crate) beside: std::sync::Mutex<BTreeMap<String, R>>,
}

#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    written: AtomicU64,
    read: AtomicU64,
}

/// How many records a writer creates, changes and deletes in turns.
const RECORDS: usize = 8;

impl<R: MadeUp + for<'r> FromRow<'r, PgRow> + Unpin> Moved<R> {
    pub(crate) async fn begin(
        platform: &PlatformDirectory,
        db: TenantDb,
        client: &str,
        path: PathBuf,
    ) -> Outcome<Self> {
        let file = JsonRepository::new(path);
        let table = || PostgresRepository::new(db.clone(), R::TABLE, R::KEY);
        let at_first = by_key(file.list(None, u32::MAX).await?);
        let id = db.client().id;
        let options = DualStoreOptions::default();
        let store = DualStore::open(platform.clone(), id, R::TABLE, file.clone(), table(), options).await?;
        let traffic = Arc::new(Traffic::default());
        let writer = tokio::spawn(write(store.clone(), Arc::clone(&traffic)));
        let reader = tokio::spawn(read(store.clone(), Arc::clone(&traffic)));
        Ok(Self {
            name: format!("{client}/{}", R::TABLE),
            table: table(),
            store,
            file,
            at_first,
            traffic,
            writer: tokio::sync::Mutex::new(Some(writer)),
            reader: tokio::sync::Mutex::new(Some(reader)),
            beside: std::sync::Mutex::default(),
        })
    }

    /// Writes a record and remembers that it was acknowledged.
    pub(crate) async fn create(&self, record: R) -> tenantry::Result<()> {
        self.store.create(&record).await?;
        let mut beside = self
            .beside
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        beside.insert(record.key().into_owned(), record);
        Ok(())
    }

    /// Writes past the dual store, as nobody should.
    pub(crate) async fn plant(&self, record: &R) -> Outcome<()> {
        Ok(self.table.update(record).await?)
    }
}

fn by_key<R: MadeUp>(records: Vec<R>) -> BTreeMap<String, R> {
    let keyed = |record: R| (record.key().into_owned(), record);
    records.into_iter().map(keyed).collect()
}

#[async_trait]
impl<R: MadeUp + for<'r> FromRow<'r, PgRow> + Unpin> Collection for Moved<R> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn change_phase(&self, to: StorePhase) -> tenantry::Result<()> {
        self.store.change_phase(to).await
    }

    async fn import(&self) -> tenantry::Result<JsonImported> {
        let import = JsonImport::<R>::new([self.file.path()]);
        import.into_dual_store(&self.store).await
    }

    async fn verify(&self) -> tenantry::Result<Comparison> {
        self.store.verify().await
    }

    async fn status(&self) -> tenantry::Result<DualStoreStatus> {
        self.store.status().await
    }

    fn traffic(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Acquire);
        (of(&self.traffic.written), of(&self.traffic.read))
    }

    async fn lost(&self) -> Outcome<Vec<String>> {
        self.traffic.stop.store(true, Ordering::Release);
        let mut expected = self.at_first.clone();
        if let Some(writer) = self.writer.lock().await.take() {
            expected.extend(writer.await??);
        }
        if let Some(reader) = self.reader.lock().await.take() {
            reader.await??;
        }
        self.store.close().await;
        let beside = self
            .beside
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        expected.extend(beside);
        let there = by_key(self.table.list(None, u32::MAX).await?);
        let mut lost = Vec::new();
        for (key, record) in &expected {
            if there.get(key) != Some(record) {
                lost.push(format!("{}: {key} is not as it was written last", self.name));
            }
        }
        for key in there.keys().filter(|key| !expected.contains_key(*key)) {
            lost.push(format!("{}: {key} was deleted, and is back", self.name));
        }
        Ok(lost)
    }
}

/// Creates, changes and deletes, one after the other; returns what it left.
async fn write<R: MadeUp + for<'r> FromRow<'r, PgRow> + Unpin>(
    store: Moving<R>,
    traffic: Arc<Traffic>,
) -> Outcome<BTreeMap<String, R>> {
    let mut there: BTreeMap<String, R> = BTreeMap::new();
    let mut time = 0;
    while !traffic.stop.load(Ordering::Acquire) {
        let record = R::made_up(time % RECORDS, time);
        let key = record.key().into_owned();
        let is_there = there.contains_key(&key);
        if !is_there {
            store.create(&record).await?;
            there.insert(key, record);
        } else if time % 5 == 4 {
            store.delete(&key).await?;
            there.remove(&key);
        } else {
            store.update(&record).await?;
            there.insert(key, record);
        }
        traffic.written.fetch_add(1, Ordering::AcqRel);
        time += 1;
    }
    Ok(there)
}

async fn read<R: MadeUp + for<'r> FromRow<'r, PgRow> + Unpin>(
    store: Moving<R>,
    traffic: Arc<Traffic>,
) -> Outcome<()> {
    let mut number = 0;
    while !traffic.stop.load(Ordering::Acquire) {
        let key = R::made_up(number % RECORDS, 0).key().into_owned();
        store.get(&key).await?;
        traffic.read.fetch_add(1, Ordering::AcqRel);
        number += 1;
        // As those do who have more to do than to read.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Ok(())
}
