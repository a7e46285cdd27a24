#![expect(clippy::disallowed_methods, reason = "locks a client's placement")]

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::{ClientId, Epoch};
use crate::error::{Error, Result};

/// Whether the rows of a client in a pool database are its rows: they are not where it is coming or has gone.
pub(crate) async fn expect_here(conn: &mut PgConnection, client: ClientId) -> Result<()> {
    let state: Option<String> =
        sqlx::query_scalar("select state from tenantry.placement where client_id = $1")
            .bind(client)
            .fetch_optional(conn)
            .await
            .map_err(|source| Error::of_statement(client, "reading its placement", source))?;
    match state.as_deref() {
        Some("standby" | "moved") => Err(Error::Moved { client }),
        // One that was never placed has no rows.
        _ => Ok(()),
    }
}

/// Keeps the client's own transactions out of its pool database until the end of this one, after waiting for those in
/// flight. A client that is not placed yet is placed as one that comes. Returns since when whoever comes waits.
pub(crate) async fn hold(conn: &mut PgConnection, client: ClientId, epoch: Epoch) -> Result<Instant> {
    let failed = |source| Error::of_statement(client, "keeping its transactions out", source);
    sqlx::query(
        "insert into tenantry.placement (client_id, state, epoch) values ($1, 'incoming', $2)
         on conflict (client_id) do nothing",
    )
    .bind(client)
    .bind(epoch)
    .execute(&mut *conn)
    .await
    .map_err(failed)?;
    let (state, handle): (String, i64) =
        sqlx::query_as("select state, handle from tenantry.placement where client_id = $1 for update")
            .bind(client)
            .fetch_one(&mut *conn)
            .await
            .map_err(failed)?;
    match state.as_str() {
        "incoming" | "active" => {}
        "moved" | "standby" => return Err(Error::Moved { client }),
        _ => return Err(Error::Relocating { client }),
    }
    let asked = Instant::now();
    // In one message.
    let lock = format!("select pg_advisory_xact_lock(tenantry.lock_key({handle}))");
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(conn)
        .await
        .map(|_| asked)
        .map_err(failed)
}

/// Makes a pool database refuse the client from now on and for ever, after waiting for its transactions in flight.
pub(crate) async fn entomb(conn: &mut PgConnection, client: ClientId, epoch: Epoch) -> Result<()> {
    let failed = |source| Error::of_statement(client, "closing its pool database to it", source);
    let mut tx = conn.begin().await.map_err(failed)?;
    let state: Option<String> =
        sqlx::query_scalar("select state from tenantry.placement where client_id = $1 for update")
            .bind(client)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
    match state.as_deref() {
        Some("moved") => return Ok(()),
        None | Some("incoming" | "active") => {}
        Some(_) => return Err(Error::Relocating { client }),
    }
    super::place(&mut tx, client, "moved", epoch).await?;
    tx.commit().await.map_err(failed)
}
