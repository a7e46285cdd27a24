use std::fmt;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::super::record::Record;
use super::super::repository::Repository;
use super::contents::Contents;
use super::json_file::JsonFile;
use super::layout::JsonLayout;
use crate::error::{BadRecord, RepositoryError};

/// The records of a client in a JSON file, as older systems keep them: a file for each client and collection, such as
/// `data/acme/roles.json`, in one of the [layouts](JsonLayout). Cheap to clone.
///
/// A write takes the place of the whole file, by a rename within its folder, and is on the disk before it is
/// acknowledged: whoever reads meanwhile, or after a crash, sees the file as it was before or after. Records that
/// were not written stay byte for byte what they were, with fields that nobody knows. Writers of all processes wait for
/// each other, by a lock on the file `.roles.json.lock` beside it; an older program that writes past that lock has to be
/// stopped before. Each call reads the file as a whole, on a thread that may block.
///
/// A record that cannot be read is an error of whatever would have to know it: of a list, and of a key that is none
/// of the others'. [`set_aside`](Self::set_aside) moves such records into a file of their own.
pub struct JsonRepository<R> {
    inner: Arc<Inner>,
    record: PhantomData<fn() -> R>,
}

#[derive(Debug, Clone)]
struct Inner {
    file: JsonFile,
    layout: JsonLayout,
    lock_wait: Duration,
    /// Those who write by this handle wait here, in their order.
    turn: Arc<Mutex<()>>,
}

impl<R: Record> JsonRepository<R> {
    /// Of that file. Where there is none it has no record, and the first one that is created makes it; the folder has to
    /// be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let file = JsonFile {
            path: path.into(),
            largest: 64 << 20,
        };
        let inner = Inner {
            file,
            layout: JsonLayout::default(),
            lock_wait: Duration::from_secs(5),
            turn: Arc::default(),
        };
        Self {
            inner: Arc::new(inner),
            record: PhantomData,
        }
    }

    /// How a file is laid out that is not there yet; one that is stays as it is. Defaults to [`JsonLayout::List`].
    #[must_use]
    pub fn layout(mut self, layout: JsonLayout) -> Self {
        Arc::make_mut(&mut self.inner).layout = layout;
        self
    }

    /// How long a write waits for others. Defaults to 5 seconds. In a [`DualStore`](crate::DualStore) it is shorter than
    /// [`answer_wait`](crate::DualStoreOptions::answer_wait).
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        Arc::make_mut(&mut self.inner).lock_wait = wait;
        self
    }

    /// How large the file may be, in bytes: it is read as a whole. Defaults to 64 MiB.
    #[must_use]
    pub fn largest_file(mut self, bytes: u64) -> Self {
        Arc::make_mut(&mut self.inner).file.largest = bytes;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.file.path
    }

    /// Moves the records that cannot be read, and all that share a key, to the end of a file beside it, of its name and
    /// `.bad`, byte for byte: for each a line that says where it was and what is wrong, and the record behind it. Returns
    /// what is wrong.
    ///
    /// # Errors
    /// [`RepositoryError::BadFile`] where it cannot be told where a record ends: such a file is mended by hand. Otherwise as
    /// for writes.
    ///
    /// # Cancel safety
    /// It goes on without anybody who waits. Killed in between, a record may be in both files.
    pub async fn set_aside(&self) -> Result<Vec<BadRecord>, RepositoryError> {
        let path = self.inner.file.path.clone();
        self.change(move |contents| {
            let (records, bad) = contents.take_bad();
            if records.is_empty() {
                return Ok((false, bad));
            }
            let mut text = Vec::new();
            for one in &bad {
                writeln!(text, "# {one}").map_err(RepositoryError::refused)?;
            }
            for record in records {
                text.extend_from_slice(&record);
                text.push(b'\n');
            }
            append(&path, &text).map_err(RepositoryError::refused)?;
            Ok((true, bad))
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Contents<R>) -> Result<T, RepositoryError> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let inner = Arc::clone(&self.inner);
        let read = tokio::task::spawn_blocking(move || ask(Contents::read(&inner.file, inner.layout)?));
        read.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Changes the file, if the closure says that something is changed.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Contents<R>) -> Result<(bool, T), RepositoryError> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let inner = Arc::clone(&self.inner);
        // Held by the thread, which goes on where nobody waits any more.
        let turn = Arc::clone(&inner.turn).lock_owned().await;
        let write = tokio::task::spawn_blocking(move || {
            let lock = inner.file.lock(inner.lock_wait)?;
            let mut contents = Contents::read(&inner.file, inner.layout)?;
            let (is_changed, outcome) = change(&mut contents)?;
            if is_changed {
                inner.file.write(&lock, &contents.to_bytes())?;
            }
            drop(turn);
            Ok(outcome)
        });
        write.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// The runtime was shut down: whether the thread came to it, nobody says.
fn stopped() -> RepositoryError {
    RepositoryError::unknown(io::Error::other("the thread was stopped"))
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".bad");
    let mut file = std::fs::File::options().create(true).append(true).open(name)?;
    file.write_all(text)?;
    file.sync_all()
}

#[async_trait]
impl<R: Record> Repository for JsonRepository<R> {
    type Record = R;

    async fn create(&self, record: &R) -> Result<(), RepositoryError> {
        let record = record.clone();
        self.change(move |contents| {
            let key = record.key();
            if contents.get(&key)?.is_some() {
                let key = key.into_owned();
                return Err(RepositoryError::Exists { key });
            }
            contents.put(&record)?;
            Ok((true, ()))
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<R>, RepositoryError> {
        let key = key.to_owned();
        self.read(move |contents| Ok(contents.get(&key)?.cloned())).await
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<R>, RepositoryError> {
        let (after, limit) = (
            after.map(str::to_owned),
            usize::try_from(limit).unwrap_or(usize::MAX),
        );
        self.read(move |contents| contents.list(after.as_deref(), limit))
            .await
    }

    async fn update(&self, record: &R) -> Result<(), RepositoryError> {
        let record = record.clone();
        self.change(move |contents| {
            let key = record.key();
            if contents.get(&key)?.is_none() {
                let key = key.into_owned();
                return Err(RepositoryError::Missing { key });
            }
            contents.put(&record)?;
            Ok((true, ()))
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), RepositoryError> {
        let key = key.to_owned();
        self.change(move |contents| {
            if contents.get(&key)?.is_none() {
                return Err(RepositoryError::Missing { key });
            }
            contents.remove(&key);
            Ok((true, ()))
        })
        .await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<R>, RepositoryError> {
        let keys = keys.to_vec();
        self.read(move |contents| {
            let mut found = Vec::with_capacity(keys.len());
            for key in &keys {
                found.extend(contents.get(key)?.cloned());
            }
            Ok(found)
        })
        .await
    }

    async fn put_many(&self, records: &[R]) -> Result<(), RepositoryError> {
        let records = records.to_vec();
        self.change(move |contents| {
            for record in &records {
                contents.get(&record.key())?;
                contents.put(record)?;
            }
            Ok((true, ()))
        })
        .await
    }
}

impl<R> Clone for JsonRepository<R> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            record: PhantomData,
        }
    }
}

impl<R> fmt::Debug for JsonRepository<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonRepository")
            .field(&self.inner.file.path)
            .finish()
    }
}
