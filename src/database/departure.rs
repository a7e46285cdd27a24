#![expect(
    clippy::disallowed_methods,
    reason = "asks a database whether it serves its client"
)]

use super::dedicated::DedicatedDatabase;

impl DedicatedDatabase {
    /// Whether the database says that its client is served elsewhere by now. One that has no kernel says nothing.
    pub(crate) async fn has_left(&self) -> bool {
        let Ok(pool) = self.pool().await else { return false };
        let left = sqlx::query_scalar("select tenantry.has_left()")
            .fetch_one(&*pool)
            .await;
        left.unwrap_or(false)
    }
}
