//! Removing the rows of a client from a database that does not serve it.

use sqlx::PgConnection;

use super::gate;
use super::session::Side;
use super::tables::Tables;
use crate::error::Result;
use crate::provision::removal;

const STEP: &str = "removing its rows";

/// Removes them. In a pool in batches, children first; nobody waits for that.
pub(super) async fn remove(side: &Side, conn: &mut PgConnection, tables: &Tables, batch: u32) -> Result<()> {
    let manifest = &tables.manifest;
    if manifest.shared {
        removal::drop_own_indexes(conn, manifest).await?;
        removal::delete(conn, manifest, batch).await?;
        removal::expect_none(conn, manifest).await?;
        return gate::forget_arrivals(side, conn).await;
    }
    side.begin(conn).await?;
    removal::empty(conn, manifest).await?;
    gate::forget_arrivals(side, conn).await?;
    side.commit(conn, STEP).await
}
