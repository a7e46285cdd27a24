use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use secrecy::SecretBox;
use tenantry::{KeyProvider, Keyring, SecretError};

/// Where the platform's keys are kept: a key service, in a real one. Every process asks it for a key it does not know.
#[derive(Clone, Debug)]
pub(crate) struct Vault(Arc<RwLock<Keyring>>);

impl Vault {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RwLock::new(Keyring::new(1, key(7)))))
    }

    /// Makes a newer key. The old one is kept for as long as anything is sealed with it.
    pub(crate) fn rotate(&self) {
        let mut keyring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *keyring = keyring.clone().with_newest(2, key(8));
    }

    fn keyring(&self) -> Keyring {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn key(byte: u8) -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new([byte; 32]))
}

#[async_trait]
impl KeyProvider for Vault {
    async fn newest(&self) -> Result<u32, SecretError> {
        self.keyring().newest().await
    }

    async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
        self.keyring().key(key_id).await
    }
}
