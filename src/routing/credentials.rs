use std::sync::{Arc, Weak};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::client::{ClientRecord, PoolId};
use crate::database::KeySource;
use crate::directory::{Directory, PoolRecord, column, of_client, of_pool, open};
use crate::error::{Error, Result};
use crate::secret::{Keys, ScopeKey};

/// What databases are reached with, as the directory has it sealed.
#[derive(Debug)]
pub(super) struct Credentials {
    directory: Arc<dyn Directory>,
    keys: Keys,
}

impl Credentials {
    pub(super) fn new(directory: Arc<dyn Directory>, keys: Keys) -> Self {
        Self { directory, keys }
    }

    /// A pool, and the URL of its app role.
    pub(super) async fn pool(&self, id: PoolId) -> Result<(PoolRecord, SecretString)> {
        let record = self.pool_record(id).await?;
        let for_ = of_pool(id, column::POOL_APP);
        let url = open(&self.keys, &record.connection, for_, || format!("pool {id}")).await?;
        Ok((record, url))
    }

    /// The URL of the app role of a client's own database.
    pub(super) async fn dedicated(&self, record: &ClientRecord) -> Result<SecretString> {
        let id = record.id;
        let owner = || format!("client {id}");
        let missing = || Error::MissingCredential {
            owner: owner(),
            what: column::CLIENT_APP.to_owned(),
        };
        let sealed = record.connection.as_ref().ok_or_else(missing)?;
        open(&self.keys, sealed, of_client(id, column::CLIENT_APP), owner).await
    }

    async fn pool_record(&self, id: PoolId) -> Result<PoolRecord> {
        let missing = || Error::MissingCredential {
            owner: format!("pool {id}"),
            what: "record".to_owned(),
        };
        self.directory.pool(id).await?.ok_or_else(missing)
    }

    async fn scope_key(&self, id: PoolId) -> Result<ScopeKey> {
        let owner = || format!("pool {id}");
        let record = self.pool_record(id).await?;
        let for_ = of_pool(id, column::POOL_SCOPE_KEY);
        let key = open(&self.keys, &record.scope_key, for_, owner).await?;
        ScopeKey::from_text(record.scope_key_id, &key).map_err(|source| Error::WrongKey {
            owner: owner(),
            what: column::POOL_SCOPE_KEY.to_owned(),
            source,
        })
    }
}

/// The scope key of a pool, for as long as its manager is there.
#[derive(Debug)]
pub(super) struct PoolKey {
    pool: PoolId,
    credentials: Weak<Credentials>,
}

impl PoolKey {
    pub(super) fn of(pool: PoolId, credentials: &Arc<Credentials>) -> Self {
        Self {
            pool,
            credentials: Arc::downgrade(credentials),
        }
    }
}

#[async_trait]
impl KeySource for PoolKey {
    async fn scope_key(&self) -> Result<ScopeKey> {
        let credentials = self.credentials.upgrade().ok_or(Error::Closed)?;
        credentials.scope_key(self.pool).await
    }
}
