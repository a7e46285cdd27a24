//! A PostgreSQL that is installed on this machine and has pgvector.

use std::fs;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::server::ServerSource;

const OLDEST_POSTGRES: Version = Version(15, 0);
const OLDEST_PGVECTOR: Version = Version(0, 8);

/// Parent, prefix and end of the usual places: `<parent>/<prefix>*/<end>`.
const USUAL_PLACES: [(&str, &str, &str); 8] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/opt/local/lib", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Two numbers of a version, the first of which counts more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

impl Version {
    /// The first two numbers in a text like `postgres (PostgreSQL) 16.10 (Debian …)` or `17beta1`.
    pub(super) fn in_text(text: &str) -> Option<Self> {
        let mut numbers = text
            .get(text.find(|c: char| c.is_ascii_digit())?..)?
            .split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        Some(Self(
            major,
            numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0),
        ))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The programs of a server that can be started.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) bin: PathBuf,
    pub(super) version: Version,
    pub(super) source: ServerSource,
}

/// Where programs are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    /// Directories that may hold `postgres`, the ones of PATH first.
    pub(super) servers: Vec<PathBuf>,
    /// Directories that may hold `python3`.
    pub(super) pythons: Vec<PathBuf>,
}

impl Search {
    /// PATH and the usual places of this machine.
    pub(super) fn of_machine() -> Self {
        let path: Vec<PathBuf> =
            std::env::var_os("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect());
        let mut servers = path.clone();
        for (parent, prefix, end) in USUAL_PLACES {
            let Ok(entries) = fs::read_dir(parent) else {
                continue;
            };
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            servers.extend(
                names
                    .filter(|n| n.starts_with(prefix))
                    .map(|n| Path::new(parent).join(n).join(end)),
            );
        }
        Self {
            servers,
            pythons: path,
        }
    }

    /// The newest installed server with pgvector, or what was found instead.
    pub(super) fn installed(&self, account: &Account) -> Result<Programs, String> {
        // Links lead to the programs' real place, beside which their other files are.
        let mut seen: Vec<PathBuf> = Vec::new();
        for directory in &self.servers {
            let Ok(program) = directory.join("postgres").canonicalize() else {
                continue;
            };
            if let Some(bin) = program
                .parent()
                .filter(|bin| !seen.iter().any(|other| other == bin))
            {
                seen.push(bin.to_path_buf());
            }
        }
        let mut best: Option<Programs> = None;
        let mut refused = Vec::new();
        for bin in seen {
            match usable(&bin, account) {
                Ok(version) if best.as_ref().is_none_or(|other| other.version < version) => {
                    best = Some(Programs {
                        bin,
                        version,
                        source: ServerSource::Installed,
                    });
                }
                Ok(_) => {}
                Err(reason) => refused.push(format!("{} {reason}", bin.join("postgres").display())),
            }
        }
        best.ok_or_else(|| {
            if refused.is_empty() {
                "no postgres on PATH or in the usual places".to_owned()
            } else {
                refused.join(", ")
            }
        })
    }
}

/// The version of a server that meets our needs, or what it lacks.
fn usable(bin: &Path, account: &Account) -> Result<Version, String> {
    // Run by the server's user, so that one out of its reach is not chosen.
    let run = |program: &str, argument: &str| {
        let output = account.command(bin.join(program)).arg(argument).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = run("postgres", "--version")
        .and_then(|text| Version::in_text(&text))
        .ok_or("cannot be run")?;
    if version < OLDEST_POSTGRES {
        return Err(format!("is version {version}"));
    }
    if !bin.join("initdb").is_file() {
        return Err("has no initdb beside it".to_owned());
    }
    let share = run("pg_config", "--sharedir").map(PathBuf::from);
    let near = ["../share/postgresql", "../share"].map(|near| bin.join(near));
    let debian = PathBuf::from(format!("/usr/share/postgresql/{}", version.0));
    // The first that is a server's: a share directory of another server must not be asked.
    let share = share
        .into_iter()
        .chain(near)
        .chain([debian])
        .find(|share| share.join("postgres.bki").is_file());
    let control = share
        .ok_or("has no share directory")?
        .join("extension/vector.control");
    let control = fs::read_to_string(control).map_err(|_| format!("{version} has no pgvector"))?;
    let pgvector = control
        .lines()
        .find(|line| line.trim_start().starts_with("default_version"));
    match pgvector.and_then(Version::in_text) {
        Some(pgvector) if pgvector >= OLDEST_PGVECTOR => Ok(version),
        Some(pgvector) => Err(format!("{version} has pgvector {pgvector}")),
        None => Err(format!("{version} has a pgvector of unknown version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A directory of programs that say they are of this version.
    fn pretend(root: &Path, name: &str, version: &str, pgvector: Option<&str>) -> PathBuf {
        let bin = root.join(name).join("bin");
        let extension = root.join(name).join("share/extension");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&extension).unwrap();
        fs::write(root.join(name).join("share/postgres.bki"), "").unwrap();
        for program in ["postgres", "initdb"] {
            fs::write(
                bin.join(program),
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        if let Some(pgvector) = pgvector {
            let control = format!("comment = 'vector'\ndefault_version = '{pgvector}'\n");
            fs::write(extension.join("vector.control"), control).unwrap();
        }
        bin
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        root
    }

    #[test]
    fn newest_installed_server_with_pgvector_is_chosen() {
        let root = root();
        let servers = vec![
            pretend(root.path(), "a", "16.10 (Debian 16.10-1)", Some("0.8.0")),
            pretend(root.path(), "b", "17.6", Some("0.8.1")),
            pretend(root.path(), "c", "18.1", None),
        ];
        let account = Account::current().unwrap();
        let found = Search {
            servers,
            ..Search::default()
        }
        .installed(&account)
        .unwrap();
        assert_eq!(
            (found.bin, found.version),
            (root.path().canonicalize().unwrap().join("b/bin"), Version(17, 6))
        );
    }

    #[test]
    fn servers_that_do_not_serve_are_named_with_the_reason() {
        let root = root();
        let servers = vec![
            pretend(root.path(), "old", "14.3", Some("0.8.0")),
            pretend(root.path(), "bare", "15.13 (Debian 15.13-0+deb12u1)", None),
            pretend(root.path(), "stale", "16.1", Some("0.7.4")),
            root.path().join("absent"),
        ];
        let account = Account::current().unwrap();
        let reason = Search {
            servers,
            ..Search::default()
        }
        .installed(&account)
        .unwrap_err();
        for part in [
            "is version 14.3",
            "15.13 has no pgvector",
            "16.1 has pgvector 0.7",
        ] {
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn version_is_read_from_the_forms_that_occur() {
        for (text, version) in [
            (
                "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)",
                Version(15, 13),
            ),
            ("postgres (PostgreSQL) 19beta1", Version(19, 0)),
            ("default_version = '0.8.6'", Version(0, 8)),
        ] {
            assert_eq!(Version::in_text(text), Some(version));
        }
        assert_eq!(Version::in_text("none"), None);
    }
}
