//! Keys and sealed values. A secret is in clear only between [`Keyring::open`] and its use.

mod keyring;
mod random;
mod scope_key;
mod sealed;

pub use self::keyring::{Keyring, SealedFor};
pub(crate) use self::random::random_key;
pub(crate) use self::scope_key::ScopeKey;
pub use self::sealed::{Sealed, SecretError};
