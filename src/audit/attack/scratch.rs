#![expect(
    clippy::disallowed_methods,
    reason = "places scratch clients in a pool database, and removes them"
)]

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure::statement_failed;
use crate::client::{ClientId, Epoch, PoolId};
use crate::database::KeySource;
use crate::directory::{Directory, PlatformDirectory, column, of_pool};
use crate::error::{AuditError, Error, Result};
use crate::secret::ScopeKey;

/// What the id of every scratch client begins with: that of a version which this crate makes none of. `tnattack`, in
/// ASCII.
const MARK: u128 = 0x746e_6174_7461_636b << 64;

/// The lock of who attacks a database: one at a time. `tnaudit`, in ASCII.
const LOCK: i64 = 0x74_6e61_7564_6974;

/// So often is it asked for: the connection of a run that was dropped takes a moment to close.
const TRIES: u32 = 40;

/// A client that nobody is served as.
pub(super) fn scratch_client() -> ClientId {
    // The variant of RFC 9562 in front.
    let rest = Uuid::new_v4().as_u128() & (u128::MAX >> 66);
    ClientId::from(Uuid::from_u128(MARK | (0b10 << 62) | rest))
}

fn marked() -> (Uuid, Uuid) {
    (
        Uuid::from_u128(MARK),
        Uuid::from_u128(MARK | u128::from(u64::MAX)),
    )
}

/// Takes the lock for as long as the connection is open.
pub(super) async fn lock(admin: &mut PgConnection, database: &str) -> Result<()> {
    for _ in 0..TRIES {
        let locked: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *admin)
            .await
            .map_err(statement_failed(database, "asking who attacks it"))?;
        if locked {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Error::Audit {
        database: database.to_owned(),
        source: AuditError::UnderWay,
    })
}

/// Removes what there is of scratch clients: nothing but their places is ever committed. Returns how many there were.
pub(super) async fn clear(admin: &mut PgConnection, database: &str) -> Result<u64> {
    let (first, last) = marked();
    let cleared = sqlx::query("delete from tenantry.placement where client_id between $1 and $2")
        .bind(first)
        .bind(last)
        .execute(admin)
        .await
        .map_err(statement_failed(database, "removing scratch clients"))?;
    Ok(cleared.rows_affected())
}

/// Has the client be in that state there, under that epoch.
pub(super) async fn place(
    admin: &mut PgConnection,
    database: &str,
    client: ClientId,
    state: &str,
    epoch: Epoch,
    suspended: bool,
) -> Result<()> {
    sqlx::query("select tenantry.place($1, $2, $3, $4)")
        .bind(client)
        .bind(state)
        .bind(epoch)
        .bind(suspended)
        .execute(admin)
        .await
        .map(drop)
        .map_err(statement_failed(database, "placing a scratch client"))
}

/// The key of a pool, read from the platform database each time.
#[derive(Debug)]
pub(super) struct PlatformKey {
    pub(super) platform: PlatformDirectory,
    pub(super) pool: PoolId,
}

#[async_trait]
impl KeySource for PlatformKey {
    async fn scope_key(&self) -> Result<ScopeKey> {
        let owner = || format!("pool {}", self.pool);
        let record = self.platform.pool(self.pool).await?;
        let record = record.ok_or_else(|| Error::MissingCredential {
            owner: owner(),
            what: "record".to_owned(),
        })?;
        let for_ = of_pool(self.pool, column::POOL_SCOPE_KEY);
        let key = self.platform.open(&record.scope_key, for_, owner).await?;
        ScopeKey::from_text(record.scope_key_id, &key).map_err(|source| Error::WrongKey {
            owner: owner(),
            what: column::POOL_SCOPE_KEY.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_clients_are_told_by_their_ids() {
        let (first, last) = marked();
        let client = scratch_client().as_uuid();
        assert!((first..=last).contains(&client), "{client}");
        assert_ne!(scratch_client(), scratch_client());
        assert!(!(first..=last).contains(&ClientId::new().as_uuid()));
    }
}
