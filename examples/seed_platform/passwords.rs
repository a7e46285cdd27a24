//! What is stored of passwords, and where passwords and keys come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry::{EnvironmentSecrets, HookError, SecretForm, SecretSource};
use uuid::Uuid;

/// Argon2id as its crate recommends it.
#[derive(Debug)]
pub(crate) struct Hashed;

impl SecretForm for Hashed {
    fn make(&self, password: &SecretString) -> Result<SecretString, HookError> {
        let hash = Argon2::default().hash_password(password.expose_secret().as_bytes())?;
        Ok(hash.to_string().into())
    }

    fn is_of(&self, stored: &str, password: &SecretString) -> Result<bool, HookError> {
        let Ok(stored) = PasswordHash::new(stored) else {
            return Ok(false);
        };
        let verified = Argon2::default().verify_password(password.expose_secret().as_bytes(), &stored);
        Ok(verified.is_ok())
    }
}

/// The environment (`SEED_ETMS_ADMIN_PASSWORD` and the like); what is not set there is made up for this run, as nobody
/// is to use the platform of an example.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenOrMadeUp {
    made_up: Arc<Mutex<BTreeMap<String, SecretString>>>,
}

impl GivenOrMadeUp {
    /// How many were made up.
    pub(crate) fn made_up(&self) -> usize {
        self.made_up.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl SecretSource for GivenOrMadeUp {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, HookError> {
        if let Some(given) = EnvironmentSecrets::default().prefix("SEED_").secret(name).await? {
            return Ok(Some(given));
        }
        let mut made_up = self.made_up.lock().unwrap_or_else(PoisonError::into_inner);
        let secret = made_up
            .entry(name.to_owned())
            .or_insert_with(|| Uuid::new_v4().simple().to_string().into());
        Ok(Some(secret.clone()))
    }
}
