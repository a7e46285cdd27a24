use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::super::copying::Outcome;
use super::super::dual_store::DualStore;
use super::super::record::{Record, same};
use super::super::repository::Repository;
use super::imported::{ImportedFile, JsonImported, Verified};
use super::reading::{Batch, Reading, Seen};
use crate::error::{BadRecord, BadRecordKind, FilePosition, JsonError, RepositoryError, Result};

/// What becomes of the import when a record cannot be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadRecord {
    /// It is told with its file and position, and the others are imported.
    #[default]
    Tell,
    /// The import ends before the batch that it is in.
    Stop,
}

/// What becomes of a record that the target has otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChanged {
    /// The target gets what the file has.
    #[default]
    Update,
    /// It is counted as changed, and stays as it is.
    Keep,
}

/// JSON files of records on their way into a [`Repository`], or into the second store of a [`DualStore`] under traffic.
///
/// A file is read record by record, whatever its size: the memory that is used is that of a batch, and some 50 bytes for
/// each key. Each batch is one [`put_many`](Repository::put_many), which is one transaction in PostgreSQL; where one of its
/// records is refused the others go one by one. A record that is there as it is is not written, so that whoever runs it
/// again, after an end or in the middle, goes on where it was.
pub struct JsonImport<R> {
    files: Vec<PathBuf>,
    batch: usize,
    largest_record: usize,
    on_bad: OnBadRecord,
    on_changed: OnChanged,
    told: usize,
    record: PhantomData<fn() -> R>,
}

/// How many records of a dual store are held at once.
const MOST_HELD: usize = 500;

/// What became of one record of a batch.
enum Became {
    /// Nothing: it was read alone.
    Read,
    Created,
    Unchanged,
    Changed,
    Gone,
    Refused(String),
}

impl<R: Record> JsonImport<R> {
    /// Of these files, each in one of the [layouts](crate::JsonLayout). No two of their records have the same key.
    pub fn new<P: Into<PathBuf>>(files: impl IntoIterator<Item = P>) -> Self {
        Self {
            files: files.into_iter().map(Into::into).collect(),
            batch: 100,
            largest_record: 1 << 20,
            on_bad: OnBadRecord::default(),
            on_changed: OnChanged::default(),
            told: 20,
            record: PhantomData,
        }
    }

    /// How many records are read, compared and written at once. From 1 to 10,000; of a [`DualStore`], which holds them
    /// meanwhile, no more than 500. Defaults to 100.
    #[must_use]
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = records.clamp(1, 10_000);
        self
    }

    /// How large a record may be, in bytes; a larger one is bad. Defaults to 1 MiB.
    #[must_use]
    pub fn largest_record(mut self, bytes: usize) -> Self {
        self.largest_record = bytes.max(2);
        self
    }

    /// What becomes of the import when a record cannot be taken. Defaults to [`OnBadRecord::Tell`].
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBadRecord) -> Self {
        self.on_bad = on_bad;
        self
    }

    /// What becomes of a record that a repository has otherwise. Defaults to [`OnChanged::Update`]. No matter of a
    /// [`DualStore`], whose second store gets what the first has.
    #[must_use]
    pub fn on_changed(mut self, on_changed: OnChanged) -> Self {
        self.on_changed = on_changed;
        self
    }

    /// How many bad records of each file, and records that a verification finds to differ, are told one by one; all are
    /// counted. Defaults to 20.
    #[must_use]
    pub fn tell_at_most(mut self, each: usize) -> Self {
        self.told = each;
        self
    }

    /// Reads the files, and tells what is bad. Nothing is written.
    ///
    /// # Errors
    /// As [`into_repository`](Self::into_repository).
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn check(&self) -> Result<JsonImported> {
        Ok(JsonImported {
            files: self.each_batch(&Nowhere).await?,
            verified: None,
        })
    }

    /// Imports the files into a repository that nobody else writes meanwhile, then reads both again and compares them:
    /// [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) with [`JsonError::Io`]; [`JsonError::Target`] where the repository fails, but for
    /// records that it refuses, which are told as bad; [`JsonError::BadRecord`] where
    /// [`OnBadRecord::Stop`] is asked for.
    ///
    /// # Cancel safety
    /// What was imported so far is there; run it again to go on.
    pub async fn into_repository<T: Repository<Record = R>>(&self, target: &T) -> Result<JsonImported> {
        let on_changed = self.on_changed;
        let files = self.each_batch(&Alone { target, on_changed }).await?;
        let verified = self.verify(target).await?;
        Ok(JsonImported {
            files,
            verified: Some(verified),
        })
    }

    /// Imports the records that the files name into the second store of a dual store, under traffic, as the store that
    /// decides has them: what was written since a file was read is not undone. Begins a store that is written twice, from
    /// [`DualWrite`](crate::StorePhase::DualWrite) on; [`DualStore::verify`] compares both in full then.
    ///
    /// # Errors
    /// As [`into_repository`](Self::into_repository); [`DualStoreError::OutOfPhase`](crate::DualStoreError::OutOfPhase) where
    /// there is no second store, [`DualStoreError::Busy`](crate::DualStoreError::Busy),
    /// [`Error::Platform`](crate::Error::Platform).
    ///
    /// # Cancel safety
    /// As [`into_repository`](Self::into_repository).
    pub async fn into_dual_store<O, N>(&self, store: &DualStore<O, N>) -> Result<JsonImported>
    where
        O: Repository<Record = R>,
        N: Repository<Record = R>,
    {
        store.expect_second("importing").await?;
        let files = self.each_batch(&Second(store)).await?;
        Ok(JsonImported {
            files,
            verified: None,
        })
    }

    /// Reads the files and the repository, and compares them by count and content. Nothing is written.
    ///
    /// # Errors
    /// As [`into_repository`](Self::into_repository).
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn verify<T: Repository<Record = R>>(&self, target: &T) -> Result<Verified> {
        let mut verified = Verified::default();
        let mut seen = Seen::default();
        for path in &self.files {
            let failed = |source| JsonError::Target(source).of(path);
            let mut reading = Reading::open(path.clone(), self.largest_record).await?;
            loop {
                let (next, keys, batch): (_, _, Batch<R>) = reading.batch(self.batch, seen).await?;
                (reading, seen) = (next, keys);
                let mut found = found_in(target, &batch.records).await.map_err(failed)?;
                for (at, record) in &batch.records {
                    verified.records += 1;
                    match found.remove(&*record.key()) {
                        Some(there) if same(Some(record), Some(&there)) => verified.agreed += 1,
                        Some(_) => verified.differs(at, self.told),
                        None => verified.missing += 1,
                    }
                }
                verified.bad += u64::try_from(batch.bad.len()).unwrap_or(u64::MAX);
                if batch.is_last {
                    break;
                }
            }
        }
        let of_target =
            |source| JsonError::Target(source).of(self.files.first().cloned().unwrap_or_default());
        let limit = u32::try_from(self.batch).unwrap_or(u32::MAX);
        let mut after: Option<String> = None;
        loop {
            let page = target.list(after.as_deref(), limit).await.map_err(of_target)?;
            verified.target += u64::try_from(page.len()).unwrap_or(u64::MAX);
            let unknown = page.iter().filter(|record| !seen.has(&record.key())).count();
            verified.extra += u64::try_from(unknown).unwrap_or(u64::MAX);
            match page.last() {
                Some(last) if page.len() == self.batch => after = Some(last.key().into_owned()),
                _ => break,
            }
        }
        Ok(verified)
    }

    /// Takes the files batch by batch, and counts what becomes of the records.
    async fn each_batch(&self, target: &dyn Target<R>) -> Result<Vec<ImportedFile>> {
        let mut files = Vec::with_capacity(self.files.len());
        let mut seen = Seen::default();
        for path in &self.files {
            let mut file = ImportedFile::new(path);
            let mut reading = Reading::open(path.clone(), self.largest_record).await?;
            loop {
                let (next, keys, batch): (_, _, Batch<R>) = reading.batch(self.batch, seen).await?;
                (reading, seen) = (next, keys);
                for bad in batch.bad {
                    file.count_bad(self.unless_to_stop(bad)?, self.told);
                }
                if !batch.records.is_empty() {
                    for (at, key, became) in target.take(path, batch.records).await? {
                        file.records += 1;
                        match became {
                            Became::Read => {}
                            Became::Created => file.created += 1,
                            Became::Unchanged => file.unchanged += 1,
                            Became::Changed => file.changed += 1,
                            Became::Gone => file.gone += 1,
                            Became::Refused(failure) => {
                                let kind = BadRecordKind::Refused { key, failure };
                                let bad = self.unless_to_stop(BadRecord { at, kind })?;
                                file.records -= 1;
                                file.count_bad(bad, self.told);
                            }
                        }
                    }
                }
                if batch.is_last {
                    break;
                }
            }
            files.push(file);
        }
        Ok(files)
    }

    fn unless_to_stop(&self, bad: BadRecord) -> Result<BadRecord> {
        match self.on_bad {
            OnBadRecord::Tell => Ok(bad),
            OnBadRecord::Stop => {
                let path = bad.at.file.clone();
                Err(JsonError::BadRecord(Box::new(bad)).of(path))
            }
        }
    }
}

/// Where records are imported into.
#[async_trait]
trait Target<R>: Sync {
    async fn take(&self, path: &Path, records: Vec<(FilePosition, R)>) -> Result<Vec<Taken>>;
}

/// A record by its place and key, and what became of it.
type Taken = (FilePosition, String, Became);

struct Nowhere;

struct Alone<'t, T> {
    target: &'t T,
    on_changed: OnChanged,
}

struct Second<'t, O: Repository, N: Repository<Record = O::Record>>(&'t DualStore<O, N>);

#[async_trait]
impl<R: Record> Target<R> for Nowhere {
    async fn take(&self, _path: &Path, records: Vec<(FilePosition, R)>) -> Result<Vec<Taken>> {
        let read = |(at, record): (FilePosition, R)| (at, record.key().into_owned(), Became::Read);
        Ok(records.into_iter().map(read).collect())
    }
}

#[async_trait]
impl<T: Repository> Target<T::Record> for Alone<'_, T> {
    async fn take(&self, path: &Path, records: Vec<(FilePosition, T::Record)>) -> Result<Vec<Taken>> {
        self.put(records)
            .await
            .map_err(|source| JsonError::Target(source).of(path))
    }
}

impl<T: Repository> Alone<'_, T> {
    async fn put(&self, records: Vec<(FilePosition, T::Record)>) -> Result<Vec<Taken>, RepositoryError> {
        let there = found_in(self.target, &records).await?;
        let (mut taken, mut places, mut differing) =
            (Vec::with_capacity(records.len()), Vec::new(), Vec::new());
        for (at, record) in records {
            let key = record.key().into_owned();
            let became = match there.get(&key) {
                Some(there) if same(Some(&record), Some(there)) => Became::Unchanged,
                Some(_) if self.on_changed == OnChanged::Keep => Became::Changed,
                _ => {
                    places.push((at, key));
                    differing.push(record);
                    continue;
                }
            };
            taken.push((at, key, became));
        }
        let at_once = if differing.is_empty() {
            Ok(())
        } else {
            self.target.put_many(&differing).await
        };
        let became = |key: &str| {
            if there.contains_key(key) {
                Became::Changed
            } else {
                Became::Created
            }
        };
        match at_once {
            Ok(()) => taken.extend(places.into_iter().map(|(at, key)| {
                let became = became(&key);
                (at, key, became)
            })),
            // One of them stands in the way of the others.
            Err(error) if error.is_refusal() => {
                for ((at, key), record) in places.into_iter().zip(differing) {
                    let became = match self.target.put_many(&[record]).await {
                        Ok(()) => became(&key),
                        Err(error) if error.is_refusal() => Became::Refused(error.to_string()),
                        Err(error) => return Err(error),
                    };
                    taken.push((at, key, became));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(taken)
    }
}

#[async_trait]
impl<O: Repository, N: Repository<Record = O::Record>> Target<O::Record> for Second<'_, O, N> {
    async fn take(&self, _path: &Path, records: Vec<(FilePosition, O::Record)>) -> Result<Vec<Taken>> {
        let mut places: HashMap<String, FilePosition> = HashMap::with_capacity(records.len());
        let mut keys = Vec::with_capacity(records.len());
        for (at, record) in records {
            let key = record.key().into_owned();
            places.insert(key.clone(), at);
            keys.push(key);
        }
        let mut taken = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST_HELD) {
            for (key, outcome) in self.0.inner.copy_each(keys.to_vec()).await? {
                let became = match outcome {
                    Outcome::Unchanged => Became::Unchanged,
                    Outcome::Created => Became::Created,
                    Outcome::Changed => Became::Changed,
                    Outcome::Removed | Outcome::Gone => Became::Gone,
                    Outcome::Failed(failure) => Became::Refused(failure),
                };
                if let Some(at) = places.remove(&key) {
                    taken.push((at, key, became));
                }
            }
        }
        Ok(taken)
    }
}

async fn found_in<T: Repository>(
    target: &T,
    records: &[(FilePosition, T::Record)],
) -> Result<HashMap<String, T::Record>, RepositoryError> {
    let keys: Vec<String> = records
        .iter()
        .map(|(_, record)| record.key().into_owned())
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found = target.get_many(&keys).await?;
    Ok(found
        .into_iter()
        .map(|record| (record.key().into_owned(), record))
        .collect())
}

impl<R> fmt::Debug for JsonImport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonImport")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
