use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use uuid::Uuid;

use super::sealed::{Sealed, SecretError};

/// What a sealed value belongs to. It is the associated data of the cipher, so that a value copied to
/// another owner's row or to another column does not open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFor<'a> {
    /// The client or pool that the value belongs to.
    pub owner: Uuid,
    /// The column, and what tells several values in it apart, such as `credential/openai/api_key`.
    pub column: &'a str,
}

impl SealedFor<'_> {
    fn associated_data(&self) -> Vec<u8> {
        [self.owner.as_bytes(), self.column.as_bytes()].concat()
    }
}

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

    /// Adds the key that new values are sealed with from now on. Values sealed with older keys still open.
    #[must_use]
    pub fn with_newest(self, key_id: u32, key: SecretBox<[u8; 32]>) -> Self {
        let mut keys: BTreeMap<_, _> = self
            .keys
            .iter()
            .map(|(id, key)| (*id, SecretBox::new(Box::new(*key.expose_secret()))))
            .collect();
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
        let cipher = self.cipher(self.newest)?;
        let nonce = XNonce::try_generate().map_err(|_| SecretError::Seal)?;
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: &for_.associated_data(),
        };
        let ciphertext = cipher.encrypt(&nonce, payload).map_err(|_| SecretError::Seal)?;
        Ok(Sealed::new(self.newest, &nonce, &ciphertext))
    }

    /// Opens a secret that was sealed for this owner and column.
    ///
    /// # Errors
    /// [`SecretError`] where the key is missing, or the owner, column, key or bytes are not those it was
    /// sealed with.
    pub fn open(&self, sealed: &Sealed, for_: SealedFor<'_>) -> Result<SecretString, SecretError> {
        let (key_id, nonce, ciphertext) = sealed.parts().ok_or(SecretError::Malformed)?;
        let cipher = self.cipher(key_id)?;
        let payload = Payload {
            msg: ciphertext,
            aad: &for_.associated_data(),
        };
        let clear = cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SecretError::Refused { key_id })?;
        String::from_utf8(clear)
            .map(SecretString::from)
            .map_err(|_| SecretError::NotText)
    }

    fn cipher(&self, key_id: u32) -> Result<XChaCha20Poly1305, SecretError> {
        let key = self.keys.get(&key_id).ok_or(SecretError::UnknownKey { key_id })?;
        Ok(XChaCha20Poly1305::new(key.expose_secret().into()))
    }
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
