//! Which user of the operating system the server runs as.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::ServerError;

/// The user that initdb and the server run as: our own, or `nobody` when we are root, whom PostgreSQL
/// refuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    own: u32,
    other: Option<(u32, u32)>,
}

impl Account {
    pub(super) fn current() -> Result<Self, ServerError> {
        // A new file belongs to the effective user, which std does not tell otherwise.
        let own = tempfile::tempfile()
            .and_then(|file| file.metadata())
            .map_err(ServerError::io("create a file in", std::env::temp_dir()))?
            .uid();
        let other = if own == 0 {
            Some((nobody("-u")?, nobody("-g")?))
        } else {
            None
        };
        Ok(Self { own, other })
    }

    /// Our own user.
    pub(super) fn own_uid(&self) -> u32 {
        self.own
    }

    /// The server's user.
    pub(super) fn server_uid(&self) -> u32 {
        self.other.map_or(self.own, |(uid, _)| uid)
    }

    /// A program run by the server's user, in an environment without our `PG…` and locale.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Hands a file or directory over to the server's user.
    pub(super) fn give(&self, path: &Path) -> Result<(), ServerError> {
        match self.other {
            Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(ServerError::io("give away", path)),
            None => Ok(()),
        }
    }

    /// Whether the server's user can enter the directory.
    pub(super) fn can_enter(&self, directory: &Path) -> bool {
        let mut shell = self.command("/bin/sh");
        shell.args(["-c", r#"cd "$1""#, "sh"]).arg(directory);
        shell
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes a directory that only our own user writes to, or takes the one that is there, if it is such.
    ///
    /// A name below the temporary directory can be guessed, so the one found may be somebody else's.
    pub(super) fn own_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        match fs::DirBuilder::new().mode(mode).create(path) {
            // The umask may have taken something away.
            Ok(()) => return fs::set_permissions(path, fs::Permissions::from_mode(mode)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let found = fs::symlink_metadata(path)?;
        if found.is_dir() && found.uid() == self.own && found.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is there and others can write to it",
        ))
    }
}

fn nobody(which: &str) -> Result<u32, ServerError> {
    let output = Command::new("id")
        .args([which, "nobody"])
        .stdin(Stdio::null())
        .output();
    let id = ServerError::output("id", Path::new("id"), output)?;
    id.trim().parse().map_err(|_| ServerError::Io {
        step: "find the user nobody, whom the server of root runs as",
        path: "id".into(),
        source: io::Error::new(io::ErrorKind::InvalidData, id),
    })
}
