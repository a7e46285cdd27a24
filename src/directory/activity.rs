#![expect(clippy::disallowed_methods, reason = "keeps when clients were last in use")]

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::PlatformDirectory;
use super::platform::failed;
use crate::client::ClientId;
use crate::error::Result;

impl PlatformDirectory {
    pub(super) async fn note_in_use(&self, clients: &[ClientId]) -> Result<()> {
        let clients: Vec<_> = clients.iter().map(ClientId::as_uuid).collect();
        sqlx::query(
            // In order, so that two processes do not wait for each other in a circle.
            "insert into platform.activity (client_id)
             select c.id from platform.clients c where c.id = any ($1) order by c.id
             on conflict (client_id) do update set seen_at = now()",
        )
        .bind(clients)
        .execute(&self.db)
        .await
        .map(drop)
        .map_err(failed("noting who is in use"))
    }

    /// The active clients that no manager has looked up for so long, those that were not for longest first, so many at
    /// most. One that never was counts from its creation.
    ///
    /// A manager looks a client up when it is asked for it and has not been for
    /// [`record_ttl`](crate::ManagerOptions::record_ttl), and tells of it once a minute; handles that are held for
    /// longer than that do not count.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform) where the database does not answer.
    pub async fn inactive_clients(&self, idle: Duration, limit: u16) -> Result<Vec<ClientId>> {
        sqlx::query_scalar(
            "select c.id from platform.clients c left join platform.activity a on a.client_id = c.id
             where c.status = 'active' and c.deleted_at is null
               and coalesce(a.seen_at, c.created_at) < now() - make_interval(secs => $1)
             order by coalesce(a.seen_at, c.created_at), c.id limit $2",
        )
        .bind(idle.as_secs_f64())
        .bind(i64::from(limit))
        .fetch_all(&self.db)
        .await
        .map_err(failed("listing inactive clients"))
    }

    /// When a manager last told that it looked a client up, of those that one ever did.
    pub(crate) async fn last_seen(&self, clients: &[ClientId]) -> Result<HashMap<ClientId, SystemTime>> {
        let ids: Vec<_> = clients.iter().map(ClientId::as_uuid).collect();
        let rows: Vec<(ClientId, i64)> = sqlx::query_as(
            "select client_id, (extract(epoch from seen_at) * 1000000)::bigint from platform.activity
             where client_id = any ($1)",
        )
        .bind(ids)
        .fetch_all(&self.db)
        .await
        .map_err(failed("reading who was in use"))?;
        let moment = |micros: i64| SystemTime::UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs());
        Ok(rows
            .into_iter()
            .map(|(client, at)| (client, moment(at)))
            .collect())
    }
}
