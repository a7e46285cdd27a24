use std::fmt;

/// A secret as it is stored: `T`, version 1, key id (4 bytes, big endian), nonce (24), ciphertext and
/// tag (16). `Debug` shows its length alone.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Sealed(Vec<u8>);

pub(super) const HEADER: [u8; 2] = [b'T', 1];
pub(super) const NONCE: usize = 24;
const TAG: usize = 16;
const KEY_ID: usize = 4;

impl Sealed {
    pub(super) fn new(key_id: u32, nonce: &[u8], ciphertext: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADER.len() + KEY_ID + nonce.len() + ciphertext.len());
        bytes.extend_from_slice(&HEADER);
        bytes.extend_from_slice(&key_id.to_be_bytes());
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(ciphertext);
        Self(bytes)
    }

    /// The id of the key it was sealed with; `None` where the bytes are no sealed value.
    pub(crate) fn key_id(&self) -> Option<u32> {
        self.parts().map(|(key_id, ..)| key_id)
    }

    /// Key id, nonce and ciphertext; `None` where the bytes are no sealed value.
    pub(super) fn parts(&self) -> Option<(u32, &[u8; NONCE], &[u8])> {
        let rest = self.0.strip_prefix(&HEADER)?;
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID>()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>()?;
        (ciphertext.len() >= TAG).then_some((u32::from_be_bytes(*key_id), nonce, ciphertext))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Why a secret could not be sealed or opened. It never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The bytes are no sealed value.
    #[error("not a sealed value")]
    Malformed,
    /// The keyring has no key of the id the value was sealed with.
    #[error("sealed with key {key_id}, which the keyring does not have")]
    UnknownKey {
        /// The id of the key that is missing.
        key_id: u32,
    },
    /// The key, the owner or the column is another one, or the bytes were changed.
    #[error("does not open with key {key_id}: another key, another owner or column, or changed bytes")]
    Refused {
        /// The id of the key that was tried.
        key_id: u32,
    },
    /// What it opened to is not UTF-8.
    #[error("opens to something that is not text")]
    NotText,
    /// The key provider cannot tell the key now; it may later.
    #[error("the key cannot be had: {reason}")]
    Unavailable {
        /// Why not. A fixed text, so that nothing secret can be in it: the provider logs the rest itself.
        reason: &'static str,
    },
    /// The operating system gave no random bytes, or the cipher refused the length.
    #[error("could not be sealed")]
    Seal,
}
