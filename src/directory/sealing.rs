use secrecy::SecretString;

use super::PlatformDirectory;
use crate::client::{ClientId, PoolId};
use crate::error::{Error, Result};
use crate::secret::{Keys, Sealed, SealedFor};

/// The columns that secrets are sealed for.
pub(crate) mod column {
    pub(crate) const POOL_APP: &str = "pools.app_connection";
    pub(crate) const POOL_ADMIN: &str = "pools.admin_connection";
    pub(crate) const POOL_SCOPE_KEY: &str = "pools.scope_key";
    pub(crate) const CLIENT_APP: &str = "clients.app_connection";
    pub(crate) const CLIENT_ADMIN: &str = "clients.admin_connection";
}

/// What a secret of a pool is sealed for.
pub(crate) fn of_pool(pool: PoolId, column: &str) -> SealedFor<'_> {
    SealedFor {
        owner: pool.as_uuid(),
        column,
    }
}

/// What a secret of a client is sealed for.
pub(crate) fn of_client(client: ClientId, column: &str) -> SealedFor<'_> {
    SealedFor {
        owner: client.as_uuid(),
        column,
    }
}

/// What a sealed value says. The owner is named where it does not open.
pub(crate) async fn open(
    keys: &Keys,
    sealed: &Sealed,
    for_: SealedFor<'_>,
    owner: impl Fn() -> String + Send,
) -> Result<SecretString> {
    let opened = keys.open(sealed, for_).await;
    opened.map_err(|source| Error::WrongKey {
        owner: owner(),
        what: for_.column.to_owned(),
        source,
    })
}

impl PlatformDirectory {
    pub(crate) async fn seal(
        &self,
        secret: &SecretString,
        for_: SealedFor<'_>,
        owner: impl Fn() -> String + Send,
    ) -> Result<Sealed> {
        let sealed = self.keys.seal(secret, for_).await;
        sealed.map_err(|source| Error::WrongKey {
            owner: owner(),
            what: for_.column.to_owned(),
            source,
        })
    }

    pub(crate) async fn open(
        &self,
        sealed: &Sealed,
        for_: SealedFor<'_>,
        owner: impl Fn() -> String + Send,
    ) -> Result<SecretString> {
        open(&self.keys, sealed, for_, owner).await
    }
}
