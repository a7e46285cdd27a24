use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::json_file::sync_folder;
use super::manifest::{Manifest, ManifestFile, digest, files_in};
use crate::error::{Error, JsonError, Result};

/// A copy of a folder of files, with the checksums of all of them: a folder `NAME` that holds the files and
/// `.manifest.json`.
///
/// It gets its name once all files are copied, read again, compared with what was copied, and on the disk. Whatever
/// ends it before leaves a hidden folder `.NAME.unfinished`, which the next backup of that name removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonBackup {
    path: PathBuf,
}

impl JsonBackup {
    /// Copies the files of the folder, and of folders within, into `backups/NAME`: all but hidden ones. Each is copied as
    /// it is at one moment, by writers that put files in place as a whole ([`JsonRepository`](crate::JsonRepository) is one);
    /// what is written behind it is not in it.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) with [`JsonError::AlreadyThere`] where there is something of that name,
    /// [`JsonError::BadName`] where it is none, [`JsonError::Busy`] while another is made in that folder, [`JsonError::Damaged`]
    /// where what was copied is read otherwise, and [`JsonError::Io`]. There is no backup of that name then.
    ///
    /// # Cancel safety
    /// It goes on without anybody who waits.
    pub async fn take(
        folder: impl Into<PathBuf>,
        backups: impl Into<PathBuf>,
        name: impl Into<String>,
    ) -> Result<Self> {
        let (folder, backups, name) = (folder.into(), backups.into(), name.into());
        on_thread(backups.join(&name), move || take(&folder, &backups, &name)).await
    }

    /// The backup in that folder.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) with [`JsonError::NoBackup`] where there is none that was finished, and
    /// [`JsonError::Io`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        on_thread(path.clone(), move || {
            manifest(&path)?;
            Ok(Self { path })
        })
        .await
    }

    /// The folder that it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all of its files, and compares them with their checksums. Returns how many there are.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) with [`JsonError::Damaged`] where files were changed, added or removed, and as
    /// [`open`](Self::open).
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn verify(&self) -> Result<usize> {
        let path = self.path.clone();
        on_thread(path.clone(), move || Ok(verified(&path)?.files.len())).await
    }

    /// Copies its files into a folder that is not there yet, which is there once all are, as they were. To restore
    /// over a folder, move that one away first.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) with [`JsonError::AlreadyThere`]; as [`verify`](Self::verify).
    ///
    /// # Cancel safety
    /// It goes on without anybody who waits.
    pub async fn restore(&self, folder: impl Into<PathBuf>) -> Result<()> {
        let (path, folder) = (self.path.clone(), folder.into());
        on_thread(folder.clone(), move || restore(&path, &folder)).await
    }
}

async fn on_thread<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, JsonError> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| error.of(path)),
        Err(error) => {
            Err::<T, Error>(JsonError::io("waiting for its thread")(io::Error::other(error)).of(path))
        }
    }
}

fn take(folder: &Path, backups: &Path, name: &str) -> Result<JsonBackup, JsonError> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(JsonError::BadName);
    }
    fs::create_dir_all(backups).map_err(JsonError::io("making the folder of backups"))?;
    let _alone = alone_in(backups)?;
    let paths = files_in(folder).map_err(JsonError::io("listing the files"))?;
    let path = backups.join(name);
    copy(folder, &paths, &path, None)?;
    Ok(JsonBackup { path })
}

fn restore(backup: &Path, folder: &Path) -> Result<(), JsonError> {
    let manifest = verified(backup)?;
    let parent = parent_of(folder);
    let _alone = alone_in(parent)?;
    let paths: Vec<String> = manifest.files.iter().map(|file| file.path.clone()).collect();
    copy(backup, &paths, folder, Some(&manifest))
}

/// Copies the files into a folder that gets its name once it is finished. Without a manifest it gets one.
fn copy(from: &Path, paths: &[String], to: &Path, expected: Option<&Manifest>) -> Result<(), JsonError> {
    let there = || match fs::symlink_metadata(to) {
        Ok(_) => Err(JsonError::AlreadyThere),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(JsonError::io("looking for it")(error)),
    };
    there()?;
    let name = to
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or(JsonError::BadName)?;
    let parent = parent_of(to);
    let unfinished = parent.join(format!(".{name}.unfinished"));
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(JsonError::io("removing one that was not finished")(error));
        }
        _ => {}
    }
    fs::create_dir(&unfinished).map_err(JsonError::io("making its folder"))?;
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        files.push(copy_one(from, path, &unfinished).map_err(JsonError::io("copying a file"))?);
    }
    let manifest = Manifest {
        version: Manifest::VERSION,
        files,
    };
    // Read again: what is on its way to the disk is not always what was written.
    let mut wrong = manifest
        .differences(&unfinished)
        .map_err(JsonError::io("reading what was copied"))?;
    if let Some(expected) = expected
        && *expected != manifest
    {
        wrong.push("what was copied is not what was backed up".to_owned());
    }
    if !wrong.is_empty() {
        return Err(JsonError::Damaged { files: wrong });
    }
    if expected.is_none() {
        write_manifest(&unfinished, &manifest).map_err(JsonError::io("writing the manifest"))?;
    }
    sync_folders(&unfinished).map_err(JsonError::io("syncing its folders"))?;
    // Nobody else makes one here; a folder with something in it is never replaced.
    there()?;
    fs::rename(&unfinished, to).map_err(JsonError::io("giving it its name"))?;
    sync_folder(parent).map_err(JsonError::io("syncing its folder"))
}

/// Copies what the file holds now, whatever takes its place meanwhile.
fn copy_one(from: &Path, path: &str, to: &Path) -> io::Result<ManifestFile> {
    let mut source = File::open(from.join(path))?;
    let target = to.join(path);
    fs::create_dir_all(parent_of(&target))?;
    let mut copied = File::options().write(true).create_new(true).open(&target)?;
    let permissions = source.metadata()?.permissions();
    let mut copying = Copying {
        source: &mut source,
        target: &mut copied,
    };
    let (bytes, sha256) = digest(&mut copying)?;
    copied.set_permissions(permissions)?;
    copied.sync_all()?;
    Ok(ManifestFile {
        path: path.to_owned(),
        bytes,
        sha256,
    })
}

/// Writes what is read from it.
struct Copying<'f> {
    source: &'f mut File,
    target: &'f mut File,
}

impl io::Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.target.write_all(&buffer[..read])?;
        Ok(read)
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(folder.join(Manifest::NAME))?;
    serde_json::to_writer_pretty(&mut file, manifest)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

fn manifest(path: &Path) -> Result<Manifest, JsonError> {
    let manifest = Manifest::read(path).map_err(JsonError::io("reading the manifest"))?;
    manifest.ok_or(JsonError::NoBackup {
        reason: "there is no manifest that can be read",
    })
}

fn verified(path: &Path) -> Result<Manifest, JsonError> {
    let manifest = manifest(path)?;
    let wrong = manifest
        .differences(path)
        .map_err(JsonError::io("reading its files"))?;
    if wrong.is_empty() {
        return Ok(manifest);
    }
    Err(JsonError::Damaged { files: wrong })
}

/// Nobody else makes a folder there until it is dropped, or the process ends.
fn alone_in(folder: &Path) -> Result<File, JsonError> {
    let opened = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join(".tenantry.lock"));
    let file = opened.map_err(JsonError::io("opening the lock of its folder"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JsonError::Busy),
        Err(TryLockError::Error(error)) => Err(JsonError::io("locking its folder")(error)),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
