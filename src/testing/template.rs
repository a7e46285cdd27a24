//! A data directory fresh from initdb, made once and copied for every server.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::cache::Cache;
use super::error::ServerError;
use super::find::{Programs, Version};

/// What the servers of tests are told. Nothing of them has to survive a crash of the machine.
const SETTINGS: &str = "
listen_addresses = ''
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = logical
max_wal_senders = 64
max_replication_slots = 64
max_worker_processes = 64
max_logical_replication_workers = 32
max_connections = 300
shared_buffers = 64MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The template for these programs, made if it is not there yet. Takes about a second the first time.
pub(super) fn directory(
    programs: &Programs,
    cache: &Cache,
    account: &Account,
) -> Result<PathBuf, ServerError> {
    let options = options(programs.version);
    let mut key = DefaultHasher::new();
    (&programs.bin, &options, SETTINGS, account.server_uid()).hash(&mut key);
    let name = format!("template-{}-{:016x}", programs.version, key.finish());
    cache.entry(&name, |directory| make(programs, &options, directory, account))
}

fn options(version: Version) -> Vec<&'static str> {
    let mut options = vec![
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-sync",
        "--no-instructions",
    ];
    if version >= Version(17, 0) {
        // The same order and case mapping on every machine. The locale C alone leaves lower('Ä') as it is.
        options.extend([
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]);
    } else {
        options.push("--locale=C.UTF-8");
    }
    options
}

fn make(
    programs: &Programs,
    options: &[&str],
    directory: &Path,
    account: &Account,
) -> Result<(), ServerError> {
    fs::create_dir(directory).map_err(ServerError::io("create", directory))?;
    account.give(directory)?;
    let initdb = programs.bin.join("initdb");
    let output = account
        .command(&initdb)
        .args(options)
        .arg("-D")
        .arg(directory)
        .output();
    ServerError::output("initdb", &initdb, output)?;
    let file = directory.join("postgresql.conf");
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(SETTINGS.as_bytes()))
        .map_err(ServerError::io("write", &file))
}
