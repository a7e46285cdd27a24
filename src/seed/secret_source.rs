use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::{Error, Result, SeedError};
use crate::provision::HookError;

/// Where the secrets come from that data sets name: the environment ([`EnvironmentSecrets`]), a file
/// ([`SecretFile`](crate::SecretFile)), or a service of yours.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The secret of that name; `None` where there is none.
    ///
    /// # Errors
    /// Why it cannot be told. It is carried as a source, so nothing of a secret may be in it.
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, HookError>;
}

/// Secrets from variables of the environment. One that is empty counts as not set.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentSecrets {
    prefix: String,
}

impl EnvironmentSecrets {
    /// What the names of the variables begin with, before the name of the secret. Defaults to nothing.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

#[async_trait]
impl SecretSource for EnvironmentSecrets {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, HookError> {
        match std::env::var(format!("{}{name}", self.prefix)) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(text.into())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            // That error tells the value.
            Err(std::env::VarError::NotUnicode(value)) => {
                value.into_encoded_bytes().zeroize();
                Err("the variable is no text".into())
            }
        }
    }
}

/// The secrets that data sets ask for, while they are applied.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// All of them, or an error that names each that is not there.
    pub(super) async fn of(source: Option<&Arc<dyn SecretSource>>, names: BTreeSet<&str>) -> Result<Self> {
        let failed = |source| Error::Seed {
            of: "the data sets".to_owned(),
            step: "asking for secrets",
            source: Box::new(source),
        };
        let (mut secrets, mut missing) = (BTreeMap::new(), Vec::new());
        for name in names {
            let found = match source {
                Some(source) => source.secret(name).await,
                None => Ok(None),
            };
            let found = found.map_err(|source| {
                failed(SeedError::Secret {
                    name: name.to_owned(),
                    what: "read",
                    source: source.into(),
                })
            })?;
            match found.filter(|secret| !secret.expose_secret().is_empty()) {
                Some(secret) => {
                    secrets.insert(name.to_owned(), secret);
                }
                None => missing.push(name.to_owned()),
            }
        }
        if missing.is_empty() {
            return Ok(Self(secrets));
        }
        Err(failed(SeedError::MissingSecret { names: missing }))
    }

    pub(super) fn get(&self, name: &str) -> Result<&SecretString, SeedError> {
        self.0.get(name).ok_or_else(|| SeedError::MissingSecret {
            names: vec![name.to_owned()],
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
