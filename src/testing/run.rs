//! One server for all the processes of a nextest run.
//!
//! nextest starts a process for every test and gives all of them the same `NEXTEST_RUN_ID`. The first that
//! asks makes the run's directory, takes the lock in it, starts a server and writes down where it is; the
//! others wait for the lock and read that. The server outlives the process that started it: its keeper's pipe
//! is held by a watcher, which lets go when the runner itself is gone, however it went. Where no runner is
//! found among our ancestors, nothing is shared.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::address;
use super::error::ServerError;
use super::server::ServerSource;

/// The test run that this process is a part of.
#[derive(Debug)]
pub(super) struct Run {
    runner: u32,
    directory: PathBuf,
}

/// What a process finds in the directory of its run.
#[derive(Debug)]
pub(super) enum Found {
    /// A server in this directory.
    Server(PathBuf, ServerSource),
    /// That another process could not start one.
    Failure(String),
    /// Nothing: it is on us.
    Nothing(Claim),
}

/// The right to start the server of the run, held as a lock.
#[derive(Debug)]
pub(super) struct Claim {
    run: Run,
    _lock: File,
}

impl Run {
    /// The nextest run that this process is a part of, if it is.
    pub(super) fn of_process(base: &Path) -> Option<Self> {
        let id = std::env::var("NEXTEST_RUN_ID").ok()?;
        let plain =
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let runner = plain.then(runner)??;
        Some(Self {
            runner,
            directory: base.join(format!("tenantry-run-{id}")),
        })
    }

    pub(super) fn runner(&self) -> u32 {
        self.runner
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Looks for the run's server; waits while another process is starting it.
    pub(super) fn enter(self, account: &Account) -> Result<Found, ServerError> {
        let directory = &self.directory;
        account
            .own_directory(directory, 0o700)
            .map_err(ServerError::io("create", directory))?;
        let path = directory.join("lock");
        let lock = File::create(&path).map_err(ServerError::io("create the lock", &path))?;
        lock.lock().map_err(ServerError::io("take the lock", &path))?;
        if let Ok(reason) = fs::read_to_string(directory.join("failure")) {
            return Ok(Found::Failure(reason));
        }
        let server = fs::read_to_string(directory.join("server")).unwrap_or_default();
        if let Some((source, place)) = server.split_once(' ')
            && let Some(source) = ServerSource::named(source)
            && let Some(socket) = address::socket_file(&address::on_socket(Path::new(place)))
            && UnixStream::connect(socket).is_ok()
        {
            return Ok(Found::Server(place.into(), source));
        }
        Ok(Found::Nothing(Claim {
            run: self,
            _lock: lock,
        }))
    }
}

impl Claim {
    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// Tells the other processes of the run where the server is.
    pub(super) fn publish(self, directory: &Path, source: ServerSource) -> Result<(), ServerError> {
        let path = self.run.directory.join("server");
        let text = format!("{} {}", source.name(), directory.display());
        fs::write(&path, text).map_err(ServerError::io("write", path))
    }

    /// Tells the other processes of the run that they need not try.
    pub(super) fn give_up(self, reason: &str) {
        // Who cannot read it tries again, and finds the same.
        let _ = fs::write(self.run.directory.join("failure"), reason);
    }
}

/// The nearest ancestor whose name has `nextest` in it and that we can watch.
///
/// Not simply the parent: a wrapper may stand between, and an orphan's parent is init.
fn runner() -> Option<u32> {
    const DEPTH: usize = 8;
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..DEPTH {
        let (parent, name) = process(pid)?;
        if name.contains("nextest") {
            let mut probe = Command::new("/bin/sh");
            probe
                .args(["-c", r#"kill -0 "$1""#, "sh", &pid.to_string()])
                .stdin(Stdio::null())
                .stderr(Stdio::null());
            return probe.status().is_ok_and(|status| status.success()).then_some(pid);
        }
        pid = parent;
    }
    None
}

/// The parent and the name of a process.
fn process(pid: u32) -> Option<(u32, String)> {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        // `pid (name) state parent …`, and the name may have spaces and brackets.
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        return Some((rest.split_whitespace().nth(1)?.parse().ok()?, name.to_owned()));
    }
    let output = Command::new("ps")
        .args(["-o", "ppid=,comm=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let line = String::from_utf8_lossy(&output.stdout);
    let (parent, name) = line.trim().split_once(' ')?;
    Some((parent.parse().ok()?, name.trim().to_owned()))
}
