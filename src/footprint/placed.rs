//! What the platform database knows of a pool.
#![expect(clippy::disallowed_methods, reason = "asks the platform database")]

use crate::client::{ClientId, PoolId};
use crate::directory::{PlatformDirectory, failed};
use crate::error::{Error, Result};

/// The clients that are placed in a pool and were not deleted, in the order that they were created in.
pub(super) async fn clients_of(platform: &PlatformDirectory, pool: PoolId) -> Result<Vec<ClientId>> {
    let rows: Vec<(Option<ClientId>,)> = sqlx::query_as(
        "select c.id from platform.pools p
         left join platform.clients c on c.pool_id = p.id and c.deleted_at is null
         where p.id = $1 order by c.created_at, c.id",
    )
    .bind(pool)
    .fetch_all(&platform.db)
    .await
    .map_err(failed("listing the clients of a pool"))?;
    if rows.is_empty() {
        return Err(Error::Refused {
            what: format!("pool {pool}"),
            step: "telling its footprint",
            reason: "there is no such pool".to_owned(),
        });
    }
    Ok(rows.into_iter().filter_map(|(client,)| client).collect())
}

/// A pool, as a report lists it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct ListedPool {
    pub(super) id: PoolId,
    pub(super) name: String,
    pub(super) capacity: i32,
    pub(super) client_count: i32,
    pub(super) active: bool,
}

/// All pools, in the order that they are filled in.
pub(super) async fn pools(platform: &PlatformDirectory) -> Result<Vec<ListedPool>> {
    sqlx::query_as("select id, name, capacity, client_count, active from platform.pools order by position")
        .fetch_all(&platform.db)
        .await
        .map_err(failed("listing the pools"))
}
