use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::RepositoryError;

/// A file that is read and written as a whole. What blocks is called from threads that may.
#[derive(Clone, Debug)]
pub(super) struct JsonFile {
    pub(super) path: PathBuf,
    pub(super) largest: u64,
}

/// Nobody else writes the file until it is dropped, or the process ends.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
}

/// A step before the new content took the place of the old one: nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("{} failed at {step}", path.display())]
struct NotWritten {
    path: PathBuf,
    step: &'static str,
    source: io::Error,
}

/// How often others are asked whether they are done. The system tells nobody.
const LOOK: Duration = Duration::from_millis(2);

impl JsonFile {
    /// What is in it; `None` where there is none in its folder.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, RepositoryError> {
        let failed = |step| move |source| self.io(step, source);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder().is_dir() => {
                return Ok(None);
            }
            Err(error) => return Err(failed("opening it")(error)),
        };
        let mut content = Vec::new();
        let read = file
            .take(self.largest.saturating_add(1))
            .read_to_end(&mut content);
        if u64::try_from(read.map_err(failed("reading it"))?).unwrap_or(u64::MAX) > self.largest {
            return Err(RepositoryError::Damaged {
                place: self.path.display().to_string(),
                reason: format!("it is larger than {} bytes", self.largest),
            });
        }
        Ok(Some(content))
    }

    /// Waits until nobody else writes it, in any process.
    pub(super) fn lock(&self, wait: Duration) -> Result<FileLock, RepositoryError> {
        // Not the file itself, which another takes the place of at every write. It stays: whoever removed it would
        // have two lock two files of one name.
        let path = self.beside(".lock")?;
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = opened.map_err(|source| self.refused("opening its lock", source))?;
        let until = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(FileLock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    return Err(RepositoryError::Busy {
                        what: self.path.display().to_string(),
                        waited: wait,
                    });
                }
                Err(TryLockError::Error(source)) => return Err(self.refused("locking it", source)),
            }
        }
    }

    /// Has the file hold that, as a whole or not at all, and on the disk. Under its lock.
    pub(super) fn write(&self, _lock: &FileLock, content: &[u8]) -> Result<(), RepositoryError> {
        // A link stays one.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let file = Self {
            path: target.clone(),
            largest: self.largest,
        };
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > self.largest {
            let reason = format!("it would be larger than {} bytes", self.largest);
            return Err(self.refused("writing it", io::Error::other(reason)));
        }
        // In the same folder: a rename within one is atomic. Whoever died with it had the lock.
        let beside = file.beside(".tmp")?;
        let refused = |step| move |source| self.refused(step, source);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.refused("removing what was left of another write", error));
            }
            _ => {}
        }
        let written =
            write_new(&beside, content, &target).map_err(refused("writing what is to take its place"));
        let renamed = written.and_then(|()| {
            fs::rename(&beside, &target).map_err(refused("putting what was written in its place"))
        });
        if let Err(error) = renamed {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        // It is there for all to read from here on; that it still is after the power failed is not sure before this.
        sync_folder(file.folder()).map_err(|source| self.io("syncing its folder", source))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// A hidden file in the same folder.
    fn beside(&self, suffix: &str) -> Result<PathBuf, RepositoryError> {
        let Some(name) = self.path.file_name() else {
            let error = io::Error::from(io::ErrorKind::InvalidFilename);
            return Err(self.refused("reading its name", error));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(suffix);
        Ok(self.folder().join(hidden))
    }

    fn io(&self, step: &'static str, source: io::Error) -> RepositoryError {
        RepositoryError::Io {
            path: self.path.clone(),
            step,
            source: Arc::new(source),
        }
    }

    fn refused(&self, step: &'static str, source: io::Error) -> RepositoryError {
        RepositoryError::refused(NotWritten {
            path: self.path.clone(),
            step,
            source,
        })
    }
}

/// A file that was not there, with the rights of the one that it is to replace.
fn write_new(path: &Path, content: &[u8], like: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    if let Ok(metadata) = fs::metadata(like) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(content)?;
    file.sync_all()
}

/// Has what the names in a folder lead to survive a loss of power.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere folders cannot be opened as files.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on Unix it can fail")]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
