//! From the name in a message to the client's data: the one way in, whatever carried the message.

use tenantry::{ClientConnectionManager, ClientId, ClientRef, ClientSlug, InvalidName, TenantDb};
use uuid::Uuid;

/// Why a message got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the message names no client")]
    NoClient,
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Tenant(#[from] tenantry::Error),
}

/// The data of the client that goes by this id or slug. A name from outside is proof of nothing: a real
/// service compares it with what it has verified, such as the claims of a token.
pub(crate) async fn tenant(manager: &ClientConnectionManager, name: &str) -> Result<TenantDb, Failure> {
    let client: ClientRef = match name.parse::<Uuid>() {
        Ok(id) => ClientId::from(id).into(),
        Err(_) => name.parse::<ClientSlug>()?.into(),
    };
    Ok(manager.tenant(client).await?)
}
