#![expect(
    clippy::disallowed_methods,
    reason = "notes erasures in the platform database"
)]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use crate::client::{ClientId, Epoch, PoolId};
use crate::directory::{PlatformDirectory, failed};
use crate::error::{Error, PortableError, Result};
use crate::provision::TableRows;

/// A client that is being erased, or was.
#[derive(Debug)]
pub(super) struct Erasure {
    pub(super) client: ClientId,
    pub(super) pool: Option<PoolId>,
    pub(super) epoch: Epoch,
    pub(super) has_database: bool,
}

/// How much there was before anything was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) tables: Vec<TableRows>,
    pub(super) vector_indexes: Vec<String>,
    pub(super) credentials: u64,
    pub(super) database: Option<String>,
}

const STEP: &str = "noting an erasure";

#[derive(sqlx::FromRow)]
struct Standing {
    pool_id: Option<PoolId>,
    has_database: bool,
    /// Why it may not be erased yet.
    refusal: Option<String>,
    began: bool,
}

impl PlatformDirectory {
    /// Notes that the client is being erased, and deletes it, where it may be; finds the note, where it was begun.
    pub(super) async fn begin_erasure(&self, client: ClientId, after: Option<Duration>) -> Result<Erasure> {
        let failed = failed(STEP);
        let mut writing = self.write(STEP).await?;
        // In this order everywhere: the lock of who is where, then rows.
        sqlx::query("select platform.lock_placement()")
            .execute(writing.conn()?)
            .await
            .map_err(&failed)?;
        let standing: Option<Standing> = sqlx::query_as(STANDING)
            .bind(client)
            .bind(after.map(|after| after.as_secs_f64()))
            .fetch_optional(writing.conn()?)
            .await
            .map_err(&failed)?;
        let standing = standing.ok_or(Error::UnknownClient {
            client: client.into(),
        })?;
        if !standing.began {
            if let Some(reason) = standing.refusal {
                return Err(Error::Portable {
                    client,
                    source: PortableError::NotErasable { reason },
                });
            }
            for sql in [
                "insert into platform.erasures (client_id) values ($1)",
                "update platform.clients
                 set status = 'archived', deleted_at = coalesce(deleted_at, now()), epoch = epoch + 1
                 where id = $1",
            ] {
                sqlx::query(sql)
                    .bind(client)
                    .execute(writing.conn()?)
                    .await
                    .map_err(&failed)?;
            }
        }
        let epoch: Epoch = sqlx::query_scalar("select epoch from platform.clients where id = $1")
            .bind(client)
            .fetch_one(writing.conn()?)
            .await
            .map_err(&failed)?;
        writing.commit().await?;
        Ok(Erasure {
            client,
            pool: standing.pool_id,
            epoch,
            has_database: standing.has_database,
        })
    }

    /// Notes what there was, unless that was noted before anything was removed. Returns the note.
    pub(super) async fn note_found(&self, client: ClientId, counted: Found) -> Result<Found> {
        let credentials: i64 =
            sqlx::query_scalar("select count(*) from platform.client_credentials where client_id = $1")
                .bind(client)
                .fetch_one(&self.db)
                .await
                .map_err(failed(STEP))?;
        let counted = Found {
            credentials: u64::try_from(credentials).unwrap_or_default(),
            ..counted
        };
        let mut writing = self.write(STEP).await?;
        let Json(found): Json<Found> = sqlx::query_scalar(
            "update platform.erasures set found = coalesce(found, $2) where client_id = $1 returning found",
        )
        .bind(client)
        .bind(Json(counted))
        .fetch_one(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        writing.commit().await?;
        Ok(found)
    }

    /// Removes what the platform database has of the client, and notes that it is done.
    pub(super) async fn finish_erasure(&self, client: ClientId) -> Result<()> {
        let failed = failed(STEP);
        let mut writing = self.write(STEP).await?;
        sqlx::query("select platform.lock_placement()")
            .execute(writing.conn()?)
            .await
            .map_err(&failed)?;
        for sql in [
            "delete from platform.client_credentials where client_id = $1",
            "update platform.clients set pool_id = null, app_connection = null, admin_connection = null
             where id = $1",
            "update platform.erasures set finished_at = coalesce(finished_at, now()) where client_id = $1",
        ] {
            sqlx::query(sql)
                .bind(client)
                .execute(writing.conn()?)
                .await
                .map_err(&failed)?;
        }
        writing.commit().await
    }
}

const STANDING: &str = "
select c.pool_id, c.admin_connection is not null or c.app_connection is not null as has_database,
       case when k.since is null then format('it is %s, and not archived or deleted', c.status)
            when k.until > now() then
                'it is kept until ' || to_char(k.until at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC')
       end as refusal,
       e.client_id is not null as began
from platform.clients c
join platform.tiers t on t.name = c.tier
left join platform.erasures e on e.client_id = c.id
cross join lateral (
    select s.since, s.since + coalesce(make_interval(secs => $2),
                                       make_interval(days => coalesce(c.retention_days, t.retention_days, 30))) as until
    from (select coalesce(c.deleted_at, case when c.status = 'archived' then c.status_since end) as since) s) k
where c.id = $1
for update of c";
