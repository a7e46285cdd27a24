use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretBox;

use super::SecretError;

/// Where the keys come from that credentials are sealed with: a [`Keyring`](crate::Keyring), or a service that keeps
/// or unwraps them.
///
/// A key is asked for once, whoever waits for it, and then remembered for as long as the manager or directory lives;
/// the 64 last used are. A key id always means the same key. A key that is not remembered is asked for whenever a
/// value names it, so one that a rotation added needs no restart.
///
/// ```
/// use tenantry::{Keyring, KeyProvider, SecretError};
/// # use secrecy::SecretBox;
///
/// /// Data keys that a key service unwraps.
/// struct Wrapped;
///
/// #[async_trait::async_trait]
/// impl KeyProvider for Wrapped {
///     async fn newest(&self) -> Result<u32, SecretError> {
///         Ok(2)
///     }
///
///     async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
///         Err(SecretError::Unavailable { reason: "the key service does not answer" })
///     }
/// }
/// ```
#[async_trait]
pub trait KeyProvider: Send + Sync {
    /// The id of the key that values are sealed with from now on. Asked for each value that is sealed, and each
    /// batch that is sealed again: answer from memory where asking costs much.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] where it cannot be told now.
    async fn newest(&self) -> Result<u32, SecretError>;

    /// The 256-bit key of that id.
    ///
    /// # Errors
    /// [`SecretError::UnknownKey`] where there is none; [`SecretError::Unavailable`] where it cannot be told now.
    ///
    /// # Cancel safety
    /// The future is dropped where everybody who waits for the key is.
    async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError>;
}

#[async_trait]
impl<P: KeyProvider + ?Sized> KeyProvider for Arc<P> {
    async fn newest(&self) -> Result<u32, SecretError> {
        (**self).newest().await
    }

    async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
        (**self).key(key_id).await
    }
}
