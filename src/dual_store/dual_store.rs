use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::divergence::{ComparisonStatistics, Counts};
use super::hold::{Became, Hold, Let};
use super::journal::Journal;
use super::memory::Memory;
use super::options::DualStoreOptions;
use super::owed::Owed;
use super::phase::{Side, StorePhase};
use super::queue::Queue;
use super::record::Record as _;
use super::repository::Repository;
use super::worker::Worker;
use crate::client::ClientId;
use crate::directory::PlatformDirectory;
use crate::error::{DualStoreError, RepositoryError, Result};

/// Two stores of the same records of one client, of which one decides: the way from an old store into PostgreSQL, and
/// back as far as nothing is lost. Cheap to clone.
///
/// How far it is, the platform database says, to every process. Every process that writes these records does so through
/// this type, from the setup until the old store is gone.
///
/// A task of its own compares what is read and repairs what the second store did not take, until the last clone is
/// dropped or [`close`](Self::close) is called.
pub struct DualStore<O: Repository, N: Repository<Record = O::Record>> {
    pub(super) inner: Arc<Inner<O, N>>,
    worker: Arc<Worker>,
}

/// What the handles and the task share.
pub(super) struct Inner<O, N> {
    pub(super) journal: Journal,
    old: O,
    new: N,
    pub(super) options: DualStoreOptions,
    pub(super) memory: Memory,
    pub(super) owed: Arc<Owed>,
    pub(super) queue: Queue,
    pub(super) counts: Counts,
    /// Keys that were seen to differ.
    pub(super) differ: Mutex<HashSet<String>>,
}

/// A write as it was asked for.
enum Write<'r, R> {
    Create(&'r R),
    Update(&'r R),
    Delete(&'r str),
}

/// Any of the two stores.
pub(super) type Store<R> = dyn Repository<Record = R>;

impl<O: Repository, N: Repository<Record = O::Record>> DualStore<O, N> {
    /// The store of that name of a client, in whatever phase it is. The first to open it begins with its setup.
    ///
    /// To be called within a runtime of tokio.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) where there is no such client, or the name is blank;
    /// [`Error::Platform`](crate::Error::Platform).
    ///
    /// # Cancel safety
    /// Dropped, there may be an entry of the store, in its setup.
    pub async fn open(
        platform: PlatformDirectory,
        client: ClientId,
        name: impl Into<String>,
        old: O,
        new: N,
        options: DualStoreOptions,
    ) -> Result<Self> {
        let journal = Journal {
            platform,
            client,
            name: name.into().into(),
            key_wait: options.key_wait,
            settled_after: options.settled_after,
            keep_divergences: i32::try_from(options.keep_divergences).unwrap_or(i32::MAX),
        };
        journal.open().await?;
        let inner = Arc::new(Inner {
            journal,
            old,
            new,
            queue: Queue::new(options.compare_queue),
            options,
            memory: Memory::default(),
            owed: Arc::default(),
            counts: Counts::default(),
            differ: Mutex::default(),
        });
        let worker = Arc::new(Worker::start(Arc::clone(&inner)));
        Ok(Self { inner, worker })
    }

    /// The client whose records they are.
    pub fn client(&self) -> ClientId {
        self.inner.journal.client
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.inner.journal.name
    }

    /// The phase. It is remembered for at most a second, and not while a change of the truth is announced.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform); [`DualStoreError::Gone`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn phase(&self) -> Result<StorePhase> {
        self.inner.phase().await
    }

    /// Adds a record. It is acknowledged once the store that decides has it; the other one has it as well by then, or
    /// will have, once it can be repaired.
    ///
    /// # Errors
    /// [`DualStoreError::Repository`] with [`RepositoryError::Exists`] where its key is there already, and whatever else
    /// the store that decides says; [`DualStoreError::NoAnswer`] where it may have been written;
    /// [`DualStoreError::Busy`] and [`Error::Platform`](crate::Error::Platform) where nothing was.
    ///
    /// # Cancel safety
    /// Dropped, the record may be there or not. In both stores alike, after a while.
    pub async fn create(&self, record: &O::Record) -> Result<()> {
        self.inner.write(Write::Create(record)).await
    }

    /// Puts the record in the place of the one of its key.
    ///
    /// # Errors
    /// As [`create`](Self::create), with [`RepositoryError::Missing`] where there is none.
    ///
    /// # Cancel safety
    /// As [`create`](Self::create).
    pub async fn update(&self, record: &O::Record) -> Result<()> {
        self.inner.write(Write::Update(record)).await
    }

    /// Removes the record of that key.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    ///
    /// # Cancel safety
    /// As [`create`](Self::create).
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.inner.write(Write::Delete(key)).await
    }

    /// The record of that key, from the store that decides.
    ///
    /// # Errors
    /// [`DualStoreError::Repository`], [`DualStoreError::NoAnswer`]; as [`phase`](Self::phase).
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn get(&self, key: &str) -> Result<Option<O::Record>> {
        let phase = self.phase().await?;
        let found = self.inner.answered(phase.truth(), |store| store.get(key)).await;
        let found = found.map_err(self.inner.journal.failed("getting a record"))?;
        if phase == StorePhase::DualRead {
            self.inner.compare_later(key);
        }
        Ok(found)
    }

    /// Up to so many records after that key, from the store that decides and in its order, which is another once it is
    /// cut over: begin anew then. Fewer than were asked for are the last.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<O::Record>> {
        let phase = self.phase().await?;
        let found = self
            .inner
            .answered(phase.truth(), |store| store.list(after, limit))
            .await;
        let found = found.map_err(self.inner.journal.failed("listing records"))?;
        if phase == StorePhase::DualRead {
            for record in &found {
                self.inner.compare_later(&record.key());
            }
        }
        Ok(found)
    }

    /// How the comparisons of what this process read came out.
    pub fn comparisons(&self) -> ComparisonStatistics {
        self.inner.counts.read()
    }

    /// Waits until what was read so far is compared.
    ///
    /// # Cancel safety
    /// It goes on without anybody who waits.
    pub async fn compared(&self) {
        self.inner.queue.emptied().await;
    }

    /// Ends the task that compares and repairs, and waits for what it is at. Comparisons that wait are dropped; what is
    /// to be repaired stays noted. Records are read and written as before.
    ///
    /// # Cancel safety
    /// Call it again to wait.
    pub async fn close(&self) {
        self.worker.close().await;
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> Inner<O, N> {
    pub(super) async fn phase(&self) -> Result<StorePhase> {
        if let Some(phase) = self.memory.phase() {
            return Ok(phase);
        }
        let asked = Instant::now();
        let entry = self.journal.entry().await?;
        self.memory
            .keep(&entry, asked)
            .map_err(self.journal.failed("reading the phase"))
    }

    pub(super) fn store(&self, side: Side) -> &Store<O::Record> {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// What one of the stores says, if it does in time.
    pub(super) async fn answered<'s, T>(
        &'s self,
        side: Side,
        ask: impl FnOnce(&'s Store<O::Record>) -> futures_core::future::BoxFuture<'s, Result<T, RepositoryError>>,
    ) -> Result<T, DualStoreError> {
        let waited: Duration = self.options.answer_wait;
        let side_name = side.as_str();
        match timeout(waited, ask(self.store(side))).await {
            Ok(answer) => answer.map_err(|source| DualStoreError::Repository {
                side: side_name,
                source,
            }),
            Err(_elapsed) => Err(DualStoreError::NoAnswer {
                side: side_name,
                waited,
            }),
        }
    }

    /// Holds the records, and tells the phase as it is.
    pub(super) async fn hold(&self, keys: Vec<String>) -> Result<Hold> {
        let hold = Hold::take(&self.journal, &self.owed, keys).await?;
        if hold.phase == StorePhase::CleanUp {
            self.memory.keep_last();
        } else if self.memory.phase().is_some_and(|known| known != hold.phase) {
            self.memory.forget();
        }
        Ok(hold)
    }

    async fn write(&self, write: Write<'_, O::Record>) -> Result<()> {
        if self.memory.phase() == Some(StorePhase::CleanUp) {
            // For good: there is nothing to wait for, and nothing to note.
            return self
                .apply(Side::New, &write)
                .await
                .map_err(self.journal.failed(write.step()));
        }
        let hold = self.hold(vec![write.key()]).await?;
        let (phase, key) = (hold.phase, write.key());
        if let Err(error) = self.apply(phase.truth(), &write).await {
            let error_is_refusal =
                matches!(&error, DualStoreError::Repository { source, .. } if source.is_refusal());
            if error_is_refusal {
                // Where that cannot be said, the note is repaired by what the truth has.
                let _ = hold.end(Became::Unchanged, None).await;
            }
            // Else it may be there, or may yet come to be: dropped, the hold leaves the note.
            return Err(self.journal.failed(write.step())(error));
        }
        // Acknowledged, from here on.
        let left = match phase.second() {
            None => hold.end(Became::Alone, None).await,
            Some(second) => match self.follow(second, &write).await {
                Ok(()) => hold.end(Became::Done, None).await,
                Err(error) => {
                    tracing::warn!(
                        target: "tenantry::dual_store", client = %self.journal.client, store = &*self.journal.name,
                        key, %error, "the second store did not take a write, which is to be repaired"
                    );
                    hold.end(Became::Failed, Some(&error.to_string())).await
                }
            },
        };
        match left {
            Ok(Let::Noted) => {}
            // Others may have copied the record before it was written.
            Ok(Let::Overtaken) => self.owed.add([key]),
            // The note stays, and is due before long.
            Err(error) => {
                tracing::warn!(
                    target: "tenantry::dual_store", client = %self.journal.client, store = &*self.journal.name,
                    key, %error, "a write stays noted as being under way"
                );
                self.owed.add([key]);
            }
        }
        Ok(())
    }

    /// The write, as it was asked for.
    async fn apply(&self, side: Side, write: &Write<'_, O::Record>) -> Result<(), DualStoreError> {
        match *write {
            Write::Create(record) => self.answered(side, |store| store.create(record)).await,
            Write::Update(record) => self.answered(side, |store| store.update(record)).await,
            Write::Delete(key) => self.answered(side, |store| store.delete(key)).await,
        }
    }

    /// The write in the second store, whatever that had before.
    async fn follow(&self, side: Side, write: &Write<'_, O::Record>) -> Result<(), DualStoreError> {
        let first = self.apply(side, write).await;
        match (write, first) {
            (
                Write::Create(record),
                Err(DualStoreError::Repository {
                    source: RepositoryError::Exists { .. },
                    ..
                }),
            ) => self.answered(side, |store| store.update(record)).await,
            (
                Write::Update(record),
                Err(DualStoreError::Repository {
                    source: RepositoryError::Missing { .. },
                    ..
                }),
            ) => self.answered(side, |store| store.create(record)).await,
            (
                Write::Delete(_),
                Err(DualStoreError::Repository {
                    source: RepositoryError::Missing { .. },
                    ..
                }),
            ) => Ok(()),
            (_, outcome) => outcome,
        }
    }
}

impl<R: super::record::Record> Write<'_, R> {
    fn key(&self) -> String {
        match self {
            Self::Create(record) | Self::Update(record) => record.key().into_owned(),
            Self::Delete(key) => (*key).to_owned(),
        }
    }

    const fn step(&self) -> &'static str {
        match self {
            Self::Create(_) => "creating a record",
            Self::Update(_) => "updating a record",
            Self::Delete(_) => "deleting a record",
        }
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> Clone for DualStore<O, N> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            worker: Arc::clone(&self.worker),
        }
    }
}

impl<O: Repository, N: Repository<Record = O::Record>> fmt::Debug for DualStore<O, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DualStore")
            .field("client", &self.inner.journal.client)
            .field("name", &self.inner.journal.name)
            .finish_non_exhaustive()
    }
}
