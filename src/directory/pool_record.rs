use super::Binding;
use crate::client::PoolId;
use crate::secret::Sealed;

/// A pool database, as the platform database has it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolRecord {
    /// Its identity.
    pub id: PoolId,
    /// Its name for people.
    pub name: String,
    /// The sealed connection URL for the app role.
    pub connection: Sealed,
    /// How statements over that connection are bound to their client.
    pub binding: Binding,
    /// The sealed key that its kernel verifies tickets with.
    pub scope_key: Sealed,
    /// The id under which the kernel holds that key.
    pub scope_key_id: i32,
    /// How many clients it takes.
    pub capacity: i32,
    /// How many clients it has.
    pub client_count: i32,
    /// Whether new clients are placed in it.
    pub active: bool,
}
