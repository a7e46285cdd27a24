use std::error::Error;

use async_trait::async_trait;

use super::request::Claims;
use crate::client::ClientRecord;

/// Says whether a caller may act for a client.
///
/// It is asked for each request, once its client is known and before anything of the client can be touched.
#[async_trait]
pub trait Entitlement: Send + Sync {
    /// Whether the caller of these claims may act for the client; `None` where the request has none.
    ///
    /// # Errors
    /// Whatever keeps it from an answer. The caller is refused then too.
    async fn allows(
        &self,
        caller: Option<&Claims>,
        client: &ClientRecord,
    ) -> Result<bool, Box<dyn Error + Send + Sync>>;
}
