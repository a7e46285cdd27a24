use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::cipher::{self, SealedFor};
use super::key_text::{self, InvalidKeyring};
use super::provider::KeyProvider;
use super::random_key;
use super::sealed::{Sealed, SecretError};

/// The keys that seal credentials: XChaCha20-Poly1305, 256 bits, a random nonce a value.
///
/// New values are sealed with the newest key; every key it holds opens. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<BTreeMap<u32, SecretBox<[u8; 32]>>>,
    newest: u32,
}

impl Keyring {
    /// A keyring of one key. Key ids are the host's to choose and never reused.
    #[must_use]
    pub fn new(key_id: u32, key: SecretBox<[u8; 32]>) -> Self {
        Self {
            keys: Arc::new(BTreeMap::from([(key_id, key)])),
            newest: key_id,
        }
    }

    /// The keyring of a text of `id:key` entries, apart by commas or white space; the last is the newest. A key is
    /// 32 bytes in hex, or in base64 of either alphabet.
    ///
    /// ```
    /// use tenantry::Keyring;
    ///
    /// let text = "1:dGhpcnR5LXR3byBieXRlcyBmb3IgYW4gZXhhbXBsZSE=,
    ///             2:6f746865722062797465732c2074686972747920616e642074776f206f662e2e";
    /// assert_eq!(format!("{:?}", Keyring::from_text(&text.into())?), "Keyring { keys: [1, 2], .. }");
    /// # Ok::<_, tenantry::InvalidKeyring>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidKeyring`], which tells the number of the entry and nothing of its text.
    pub fn from_text(text: &SecretString) -> Result<Self, InvalidKeyring> {
        let (keys, newest) = key_text::read(text.expose_secret())?;
        let keys = Arc::new(keys);
        Ok(Self { keys, newest })
    }

    /// A new entry for [`from_text`](Self::from_text), of random bytes that nobody has: to be kept where secrets are.
    ///
    /// # Errors
    /// [`SecretError::Seal`] where the operating system gives no random bytes.
    pub fn generate(key_id: u32) -> Result<SecretString, SecretError> {
        let key = random_key()?;
        Ok(format!("{key_id}:{}", hex::encode(key.expose_secret())).into())
    }

    /// Adds the key that new values are sealed with from now on. Values sealed with older keys still open.
    #[must_use]
    pub fn with_newest(self, key_id: u32, key: SecretBox<[u8; 32]>) -> Self {
        let mut keys: BTreeMap<_, _> = self.keys.iter().map(|(id, key)| (*id, copied(key))).collect();
        keys.insert(key_id, key);
        Self {
            keys: Arc::new(keys),
            newest: key_id,
        }
    }

    /// Seals a secret for its owner and column.
    ///
    /// # Errors
    /// [`SecretError::Seal`] where the operating system gives no random bytes.
    pub fn seal(&self, secret: &SecretString, for_: SealedFor<'_>) -> Result<Sealed, SecretError> {
        cipher::seal(self.newest, self.held(self.newest)?, secret, for_)
    }

    /// Opens a secret that was sealed for this owner and column.
    ///
    /// # Errors
    /// [`SecretError`] where the key is missing, or the owner, column, key or bytes are not those it was
    /// sealed with.
    pub fn open(&self, sealed: &Sealed, for_: SealedFor<'_>) -> Result<SecretString, SecretError> {
        let key_id = sealed.key_id().ok_or(SecretError::Malformed)?;
        cipher::open(self.held(key_id)?, sealed, for_)
    }

    fn held(&self, key_id: u32) -> Result<&SecretBox<[u8; 32]>, SecretError> {
        self.keys.get(&key_id).ok_or(SecretError::UnknownKey { key_id })
    }
}

#[async_trait]
impl KeyProvider for Keyring {
    async fn newest(&self) -> Result<u32, SecretError> {
        Ok(self.newest)
    }

    async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
        self.held(key_id).map(copied)
    }
}

fn copied(key: &SecretBox<[u8; 32]>) -> SecretBox<[u8; 32]> {
    SecretBox::init_with_mut(|copy: &mut [u8; 32]| *copy = *key.expose_secret())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("keys", &self.keys.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ACME: Uuid = Uuid::from_u128(1);
    const BOLT: Uuid = Uuid::from_u128(2);
    const URL: SealedFor<'_> = SealedFor {
        owner: ACME,
        column: "connection",
    };

    fn keyring() -> Keyring {
        Keyring::new(1, SecretBox::new(Box::new([7; 32])))
    }

    fn seal(text: &str) -> Sealed {
        keyring().seal(&SecretString::from(text), URL).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_owner_and_column() {
        let sealed = seal("postgres://app:hunter2@db/acme");
        assert_eq!(
            keyring().open(&sealed, URL).unwrap().expose_secret(),
            "postgres://app:hunter2@db/acme"
        );
        assert_ne!(
            sealed,
            seal("postgres://app:hunter2@db/acme"),
            "a nonce was used twice"
        );
    }

    #[test]
    fn a_value_copied_to_another_client_or_column_does_not_open() {
        let sealed = seal("hunter2");
        for elsewhere in [
            SealedFor {
                owner: BOLT,
                column: "connection",
            },
            SealedFor {
                owner: ACME,
                column: "credential/openai/api_key",
            },
        ] {
            assert_eq!(
                keyring().open(&sealed, elsewhere).unwrap_err(),
                SecretError::Refused { key_id: 1 }
            );
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let sealed = seal("hunter2");
        let bytes = format!("{sealed:?}");
        assert_eq!(bytes, format!("Sealed({} bytes)", 2 + 4 + 24 + 7 + 16));
        let (key_id, nonce, ciphertext) = sealed.parts().unwrap();
        for at in 0..ciphertext.len() {
            let mut changed = ciphertext.to_vec();
            changed[at] ^= 1;
            let changed = Sealed::new(key_id, nonce, &changed);
            assert_eq!(
                keyring().open(&changed, URL).unwrap_err(),
                SecretError::Refused { key_id: 1 }
            );
        }
        let other_key = Sealed::new(9, nonce, ciphertext);
        assert_eq!(
            keyring().open(&other_key, URL).unwrap_err(),
            SecretError::UnknownKey { key_id: 9 }
        );
    }

    #[test]
    fn an_older_key_still_opens_and_the_newest_seals() {
        let old = seal("hunter2");
        let both = keyring().with_newest(2, SecretBox::new(Box::new([8; 32])));
        assert_eq!(both.open(&old, URL).unwrap().expose_secret(), "hunter2");
        let new = both.seal(&SecretString::from("hunter3"), URL).unwrap();
        assert_eq!(
            keyring().open(&new, URL).unwrap_err(),
            SecretError::UnknownKey { key_id: 2 }
        );
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", keyring()), "Keyring { keys: [1], .. }");
    }
}
