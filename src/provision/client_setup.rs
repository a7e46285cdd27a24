use async_trait::async_trait;

use super::database_provisioner::HookError;
use crate::tenant::TenantTx;

/// A part of the host's own in setting a client up: its default roles, its first administrator, its settings, a
/// message of welcome.
///
/// It runs once for each client, though the process that runs it is killed: that it ran is remembered in the
/// transaction that it is given. What it does beside that transaction may be done again.
#[async_trait]
pub trait ClientSetup: Send + Sync + std::fmt::Debug {
    /// What it is remembered by: 1 to 200 characters, another one for each set-up, and always the same.
    fn name(&self) -> &str;

    /// Sets the client up, in its own data.
    ///
    /// # Errors
    /// Why it could not; [`Error::Hook`](crate::Error::Hook) carries it, and everything is rolled back.
    async fn set_up(&self, tx: &mut TenantTx) -> Result<(), HookError>;
}
