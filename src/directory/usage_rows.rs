#![expect(
    clippy::disallowed_methods,
    reason = "what clients used, in the platform database"
)]

use std::collections::HashMap;

use sqlx::PgPool;

use super::{Month, PlatformDirectory, TakeUsage, TakenUsage, Usage, failed};
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::plan::Limit;

pub(super) async fn take(db: &PgPool, take: TakeUsage<'_>) -> Result<TakenUsage> {
    let step = "taking a block of usage";
    let taken: Result<(i64, i64, Option<i64>, String), _> =
        sqlx::query_as("select granted, used, allowed, month from platform.take_usage($1, $2, $3, $4)")
            .bind(take.client)
            .bind(take.limit.as_str())
            .bind(take.needed)
            .bind(take.block)
            .fetch_one(db)
            .await;
    let (granted, used, allowed, month) = taken.map_err(|source| {
        let code = source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        if code.as_deref() == Some("TN102") {
            let client = take.client.into();
            return Error::UnknownClient { client };
        }
        failed(step)(source)
    })?;
    Ok(TakenUsage {
        granted,
        used,
        allowed,
        month: read(take.client, &month)?,
    })
}

pub(super) async fn give_back(
    db: &PgPool,
    client: ClientId,
    limit: &Limit,
    month: Month,
    unused: i64,
) -> Result<()> {
    sqlx::query(
        "update platform.usage set used = greatest(used - $4, 0), updated_at = now()
         where client_id = $1 and name = $2 and month = to_date($3, 'YYYY-MM')",
    )
    .bind(client)
    .bind(limit.as_str())
    .bind(month.to_string())
    .bind(unused.max(0))
    .execute(db)
    .await
    .map_err(failed("giving back usage"))?;
    Ok(())
}

impl PlatformDirectory {
    /// What a client has used of each metered limit, the newest month first. What a process holds of its last block
    /// counts as used until that process gives it back, which it does when its manager is closed.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn usage(&self, client: ClientId) -> Result<Vec<Usage>> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "select name, to_char(month, 'YYYY-MM'), used from platform.usage u
             where client_id = $1 order by u.month desc, name",
        )
        .bind(client)
        .fetch_all(&self.db)
        .await
        .map_err(failed("reading usage"))?;
        rows.into_iter()
            .map(|(limit, month, used)| read_usage(client, &limit, &month, used))
            .collect()
    }

    /// What each of the clients has used of its metered limits this month, in order of their names.
    pub(crate) async fn usage_of_month(&self, clients: &[ClientId]) -> Result<HashMap<ClientId, Vec<Usage>>> {
        let ids: Vec<_> = clients.iter().map(ClientId::as_uuid).collect();
        let rows: Vec<(ClientId, String, String, i64)> = sqlx::query_as(
            "select client_id, name, to_char(month, 'YYYY-MM'), used from platform.usage u
             where client_id = any ($1) and u.month = date_trunc('month', now() at time zone 'utc')::date
             order by name",
        )
        .bind(ids)
        .fetch_all(&self.db)
        .await
        .map_err(failed("reading usage"))?;
        let mut of = HashMap::<_, Vec<_>>::new();
        for (client, limit, month, used) in rows {
            let usage = read_usage(client, &limit, &month, used)?;
            of.entry(client).or_default().push(usage);
        }
        Ok(of)
    }
}

fn read_usage(client: ClientId, limit: &str, month: &str, used: i64) -> Result<Usage> {
    let limit = limit.parse().map_err(|error: crate::plan::InvalidPlanName| {
        invalid(client, "the name of a usage", &error.to_string())
    })?;
    let month = read(client, month)?;
    Ok(Usage { limit, month, used })
}

fn read(client: ClientId, month: &str) -> Result<Month> {
    month
        .parse()
        .map_err(|error: super::UnknownMonth| invalid(client, "month of a usage", &error.to_string()))
}

fn invalid(client: ClientId, what: &str, reason: &str) -> Error {
    Error::Invalid {
        owner: format!("client {client}"),
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}
