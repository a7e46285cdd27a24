use chacha20poly1305::aead::Generate;
use secrecy::SecretBox;

use super::SecretError;

/// A key that nobody has.
pub(crate) fn random_key() -> Result<SecretBox<[u8; 32]>, SecretError> {
    let key = <[u8; 32]>::try_generate().map_err(|_| SecretError::Seal)?;
    Ok(SecretBox::new(Box::new(key)))
}
