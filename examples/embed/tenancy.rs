//! From the name in a message to the client's data: for what carries no more than a name.

use tenantry::{ClientConnectionManager, ClientId, ClientRef, ClientSlug, InvalidName, TenantDb};
use uuid::Uuid;

/// Why a message got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Tenant(#[from] tenantry::Error),
}

/// The data of the client that a message of the queue names by its id or slug: other services are believed.
pub(crate) async fn tenant(manager: &ClientConnectionManager, name: &str) -> Result<TenantDb, Failure> {
    let client: ClientRef = match name.parse::<Uuid>() {
        Ok(id) => ClientId::from(id).into(),
        Err(_) => name.parse::<ClientSlug>()?.into(),
    };
    Ok(manager.tenant(client).await?)
}
