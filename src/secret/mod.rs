//! Keys, sealed values and the names of credentials. A secret is in clear only between opening it and its use.

mod cipher;
mod credential;
mod dummies;
mod key_text;
mod keyring;
mod keys;
mod provider;
mod random;
mod scope_key;
mod sealed;

pub use self::cipher::SealedFor;
pub use self::credential::{CredentialKind, CredentialValidator, InvalidCredentialName, Provider};
pub use self::dummies::NoDummies;
pub use self::key_text::InvalidKeyring;
pub use self::keyring::Keyring;
pub(crate) use self::keys::Keys;
pub use self::provider::KeyProvider;
pub(crate) use self::random::random_key;
pub(crate) use self::scope_key::ScopeKey;
pub use self::sealed::{Sealed, SecretError};
