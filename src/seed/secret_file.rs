use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::secret_source::SecretSource;
use crate::error::{Error, Result, SeedError};
use crate::provision::HookError;

/// Secrets from a file of lines `NAME=value`. Empty lines, and those that begin with `#`, are passed over; a value is
/// what stands behind the first `=`, as it is.
///
/// On Unix the file must belong to nobody's eyes but its owner's: mode 600 or less.
pub struct SecretFile(BTreeMap<String, SecretString>);

const LARGEST_FILE: u64 = 1024 * 1024;

impl SecretFile {
    /// Reads the file, of 1 MiB at most, once.
    ///
    /// # Errors
    /// [`Error::Seed`] with [`SeedError::File`] where it cannot be read, and [`SeedError::WrongFile`] where others may
    /// read it, or a line is not of that form. It tells nothing of what is in it.
    ///
    /// # Cancel safety
    /// Dropped, nothing has changed.
    pub async fn read(path: impl AsRef<Path> + Send) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let failed = |source| Error::Seed {
            of: format!("the file of secrets {}", path.display()),
            step: "reading",
            source: Box::new(source),
        };
        let text = text_of(path.clone(), LARGEST_FILE, private)
            .await
            .map_err(failed)?;
        let mut secrets = BTreeMap::new();
        for line in text.lines() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why| failed(SeedError::WrongFile(why));
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| wrong("a line is not of the form NAME=value"))?;
            if value.is_empty() {
                return Err(wrong("a name has no value"));
            }
            if secrets.insert(name.to_owned(), value.into()).is_some() {
                return Err(wrong("a name has two values"));
            }
        }
        Ok(Self(secrets))
    }
}

#[async_trait]
impl SecretSource for SecretFile {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, HookError> {
        Ok(self.0.get(name).cloned())
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({} secrets)", self.0.len())
    }
}

/// What is in the file, if it passes and is no larger than that.
pub(super) async fn text_of(
    path: PathBuf,
    largest: u64,
    passes: fn(&Metadata) -> Result<(), SeedError>,
) -> Result<Zeroizing<String>, SeedError> {
    let failed = |error: std::io::Error| SeedError::File(error.into());
    let read = tokio::task::spawn_blocking(move || {
        let file = File::open(path).map_err(failed)?;
        // Of what was opened, whatever has that name by now.
        let metadata = file.metadata().map_err(failed)?;
        passes(&metadata)?;
        let mut text = Zeroizing::new(String::new());
        let read = file.take(largest.saturating_add(1)).read_to_string(&mut text);
        if u64::try_from(read.map_err(failed)?).unwrap_or(u64::MAX) > largest {
            return Err(SeedError::WrongFile("it is too large"));
        }
        Ok(text)
    });
    read.await.map_err(|error| failed(std::io::Error::other(error)))?
}

#[cfg(unix)]
fn private(metadata: &Metadata) -> Result<(), SeedError> {
    use std::os::unix::fs::MetadataExt as _;

    if metadata.mode() & 0o077 != 0 {
        return Err(SeedError::WrongFile("others than its owner may read or write it"));
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on Unix it can fail")]
fn private(_metadata: &Metadata) -> Result<(), SeedError> {
    Ok(())
}
