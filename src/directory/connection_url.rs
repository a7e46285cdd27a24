use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::error::{Error, Result};

/// Tells connections apart without keeping their URLs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of the URL, and of how the connections are used.
    pub(crate) fn of(url: &SecretString, used: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(used)
            .chain_update([0])
            .chain_update(url.expose_secret());
        Self(digest.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// Reads the connection URL of a database. What it leaves out is not taken from the environment or a password
/// file, as sqlx would: host, user and database are named, and no password is an empty one.
pub(crate) fn connect_options(url: &SecretString, owner: &str) -> Result<PgConnectOptions> {
    // Neither the URL nor the parser's message is told: both can hold the password.
    let invalid = |reason: &str| Error::Invalid {
        owner: owner.to_owned(),
        what: "connection URL".to_owned(),
        reason: reason.to_owned(),
    };
    let not_a_url = "it is not a PostgreSQL URL";
    let text = url.expose_secret();
    let parsed = Url::parse(text).map_err(|_| invalid(not_a_url))?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(invalid(not_a_url));
    }
    let says = |names: &[&str]| parsed.query_pairs().any(|(name, _)| names.contains(&&*name));
    if parsed.host_str().is_none_or(str::is_empty) && !says(&["host", "hostaddr"]) {
        return Err(invalid("it names no host"));
    }
    if parsed.username().is_empty() && !says(&["user"]) {
        return Err(invalid("it names no user"));
    }
    if parsed.path().trim_matches('/').is_empty() && !says(&["dbname"]) {
        return Err(invalid("it names no database"));
    }
    let mut options = PgConnectOptions::from_str(text).map_err(|_| invalid(not_a_url))?;
    if parsed.password().is_none() && !says(&["password"]) {
        options = options.password("");
    }
    if parsed.port().is_none() && !says(&["port"]) {
        options = options.port(5432);
    }
    if !says(&["sslmode", "ssl-mode"]) {
        options = options.ssl_mode(PgSslMode::Prefer);
    }
    let from_environment =
        options.get_options().is_some() && !parsed.query_pairs().any(|(name, _)| name.starts_with("options"));
    if from_environment {
        return Err(invalid(
            "PGOPTIONS is set in the environment, and would change every session",
        ));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<PgConnectOptions> {
        connect_options(&SecretString::from(url), "pool p")
    }

    #[test]
    fn a_url_that_names_all_is_read() {
        for good in [
            "postgres://app:hunter2@db.example:6432/pool",
            "postgresql://app@db.example/pool?sslmode=verify-full",
            "postgres:///pool?host=/run/postgresql&user=app",
        ] {
            let options = read(good).unwrap();
            assert_eq!(options.get_username(), "app");
            assert_eq!(options.get_database(), Some("pool"));
        }
        assert_eq!(read("postgres://app@db.example/pool").unwrap().get_port(), 5432);
    }

    #[test]
    fn what_is_missing_is_an_error_and_not_the_environments() {
        for (bad, reason) in [
            ("hunter2", "not a PostgreSQL URL"),
            ("mysql://app:hunter2@db.example/pool", "not a PostgreSQL URL"),
            ("postgres:///pool?user=app", "names no host"),
            ("postgres://:hunter2@db.example/pool", "names no user"),
            ("postgres://app:hunter2@db.example", "names no database"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("pool p"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
