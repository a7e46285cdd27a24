//! Where the wheel and the template outlive a run: below the cargo target directory, or else the temporary
//! one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::account::Account;
use super::error::ServerError;

/// A directory of our own that the server's user can enter.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(super) fn open(account: &Account) -> Result<Self, ServerError> {
        let in_target = cargo_target().map(|target| target.join("tenantry-testing"));
        let in_temp = std::env::temp_dir().join(format!("tenantry-testing-{}", account.own_uid()));
        let short = PathBuf::from(format!("/tmp/tenantry-testing-{}", account.own_uid()));
        Self::first_of(account, in_target.into_iter().chain([in_temp, short]))
    }

    /// The first of these that can be made, is ours, and can be entered by the server's user.
    pub(super) fn first_of(
        account: &Account,
        directories: impl IntoIterator<Item = PathBuf>,
    ) -> Result<Self, ServerError> {
        let mut refused = None;
        for directory in directories {
            match account.own_directory(&directory, 0o755) {
                Ok(()) if account.can_enter(&directory) => return Ok(Self { directory }),
                // One that is of no use is not left behind.
                Ok(()) => drop(fs::remove_dir(&directory)),
                Err(error) => refused = Some(ServerError::io("keep the server's files in", directory)(error)),
            }
        }
        Err(refused.unwrap_or(ServerError::Io {
            step: "find a directory that the server's user can enter below",
            path: std::env::temp_dir(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        }))
    }

    /// The entry of this name, made by `make` if it is not there.
    ///
    /// One process at a time makes entries. `make` fills a directory of another name, which becomes the entry
    /// when it is complete, so an entry that is there is complete whoever was killed while making it.
    pub(super) fn entry<E: From<ServerError>>(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let entry = self.directory.join(name);
        if entry.is_dir() {
            return Ok(entry);
        }
        let lock_path = self.directory.join("lock");
        let lock = File::create(&lock_path).map_err(ServerError::io("create the lock", &lock_path))?;
        lock.lock()
            .map_err(ServerError::io("take the lock", &lock_path))?;
        if entry.is_dir() {
            return Ok(entry);
        }
        let partial = self.directory.join(format!("{name}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(ServerError::io("remove the half-made", &partial))?;
        }
        make(&partial)?;
        fs::rename(&partial, &entry).map_err(ServerError::io("put in place", &entry))?;
        Ok(entry)
    }
}

/// The target directory that this program was built into: cargo tags it as a cache.
fn cargo_target() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let tagged = program
        .ancestors()
        .skip(1)
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    tagged.map(Path::to_path_buf).or_else(|| {
        let named = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR")?);
        (named.is_absolute() && named.is_dir()).then_some(named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn open_to_all() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        directory
    }

    #[test]
    fn directory_that_the_server_cannot_enter_is_passed_over() {
        let account = Account::current().unwrap();
        let (closed, open) = (tempfile::tempdir().unwrap(), open_to_all());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let cache = Cache::first_of(&account, [closed.path().join("x"), open.path().join("x")]).unwrap();
        let expected = if account.own_uid() == 0 { &open } else { &closed };
        assert_eq!(cache.directory, expected.path().join("x"));
    }

    #[test]
    fn directory_that_others_can_write_to_is_refused() {
        let account = Account::current().unwrap();
        let base = open_to_all();
        let planted = base.path().join("planted");
        fs::create_dir(&planted).unwrap();
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o777)).unwrap();
        let error = Cache::first_of(&account, [planted]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot keep the server's files in: "),
            "{error}"
        );
    }

    #[test]
    fn entry_is_made_once_by_many_at_the_same_time() {
        let account = Account::current().unwrap();
        let base = open_to_all();
        let made = AtomicU32::new(0);
        // A half-made one of a process that was killed is no hindrance.
        fs::create_dir_all(base.path().join("c/e.partial/old")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let cache = Cache::first_of(&account, [base.path().join("c")]).unwrap();
                    let entry = cache.entry("e", |partial| -> Result<(), ServerError> {
                        made.fetch_add(1, Ordering::Relaxed);
                        fs::create_dir(partial).unwrap();
                        fs::write(partial.join("whole"), "").unwrap();
                        Ok(())
                    });
                    assert!(entry.unwrap().join("whole").exists());
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
