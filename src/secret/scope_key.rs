use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::{SecretError, random_key};

/// The key that seals the scope of a pool database: its kernel verifies tickets with it.
#[derive(Debug)]
pub(crate) struct ScopeKey {
    /// The id under which the kernel holds the key; two may be valid during a rotation.
    pub(crate) id: i32,
    /// 32 bytes for HMAC-SHA256.
    pub(crate) key: SecretBox<[u8; 32]>,
}

impl ScopeKey {
    /// A new random key.
    pub(crate) fn generate(id: i32) -> Result<Self, SecretError> {
        let key = random_key()?;
        Ok(Self { id, key })
    }

    /// The key as text, to be sealed.
    pub(crate) fn to_text(&self) -> SecretString {
        hex::encode(self.key.expose_secret()).into()
    }

    /// The key that was sealed as text.
    pub(crate) fn from_text(id: i32, text: &SecretString) -> Result<Self, SecretError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.expose_secret(), &mut key).map_err(|_| SecretError::Malformed)?;
        Ok(Self {
            id,
            key: SecretBox::new(Box::new(key)),
        })
    }
}
