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

/// Seals with that key: XChaCha20-Poly1305, a random nonce a value.
pub(super) fn seal(
    key_id: u32,
    key: &SecretBox<[u8; 32]>,
    secret: &SecretString,
    for_: SealedFor<'_>,
) -> Result<Sealed, SecretError> {
    let nonce = XNonce::try_generate().map_err(|_| SecretError::Seal)?;
    let payload = Payload {
        msg: secret.expose_secret().as_bytes(),
        aad: &for_.associated_data(),
    };
    let ciphertext = cipher(key)
        .encrypt(&nonce, payload)
        .map_err(|_| SecretError::Seal)?;
    Ok(Sealed::new(key_id, &nonce, &ciphertext))
}

/// Opens with the key of the id that the value names.
pub(super) fn open(
    key: &SecretBox<[u8; 32]>,
    sealed: &Sealed,
    for_: SealedFor<'_>,
) -> Result<SecretString, SecretError> {
    let (key_id, nonce, ciphertext) = sealed.parts().ok_or(SecretError::Malformed)?;
    let payload = Payload {
        msg: ciphertext,
        aad: &for_.associated_data(),
    };
    let clear = cipher(key)
        .decrypt(&XNonce::from(*nonce), payload)
        .map_err(|_| SecretError::Refused { key_id })?;
    String::from_utf8(clear)
        .map(SecretString::from)
        .map_err(|_| SecretError::NotText)
}

fn cipher(key: &SecretBox<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose_secret().into())
}
