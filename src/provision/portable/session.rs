#![expect(
    clippy::disallowed_methods,
    reason = "begins the transactions that rows travel in"
)]

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::schema::TEXT_SETTINGS;

/// With row security off, a policy that would leave out rows is an error instead. Nothing is bound by time but what
/// waits for a lock: rows travel for as long as they do.
const SETTINGS: &str = "set row_security = off; set statement_timeout = 0; set transaction_timeout = 0; \
     set idle_in_transaction_session_timeout = 0; set idle_session_timeout = 0";

/// Settings that a server before 17 does not know.
const NEW_SETTINGS: &str = "set transaction_timeout = 0; ";

/// Prepares a connection of the admin role and begins a transaction on it.
pub(crate) async fn begin(
    admin: &mut PgConnection,
    client: ClientId,
    lock_timeout: Duration,
    mode: &str,
) -> Result<()> {
    prepare(admin, client, lock_timeout).await?;
    let sql = format!("begin {mode}");
    execute(admin, client, "beginning a transaction of the admin role", sql)
        .await
        .map(drop)
}

/// Prepares a connection of the admin role, which is of this use alone.
pub(crate) async fn prepare(
    admin: &mut PgConnection,
    client: ClientId,
    lock_timeout: Duration,
) -> Result<()> {
    let failed = |source| Error::of_statement(client, "preparing a session of the admin role", source);
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int4")
        .fetch_one(&mut *admin)
        .await
        .map_err(failed)?;
    let settings = if version >= 170_000 {
        SETTINGS.to_owned()
    } else {
        SETTINGS.replace(NEW_SETTINGS, "")
    };
    let millis = lock_timeout.as_millis().clamp(1, 2_147_483_647);
    let sql = format!("{settings}; {TEXT_SETTINGS}; set lock_timeout = {millis}");
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(admin)
        .await
        .map(drop)
        .map_err(failed)
}

pub(crate) async fn execute(
    admin: &mut PgConnection,
    client: ClientId,
    step: &str,
    sql: String,
) -> Result<u64> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(admin)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| Error::of_statement(client, step, source))
}

/// Whether the query, which answers with one boolean, says so.
pub(crate) async fn is_so(
    admin: &mut PgConnection,
    client: ClientId,
    step: &str,
    sql: String,
) -> Result<bool> {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(admin)
        .await
        .map_err(|source| Error::of_statement(client, step, source))
}

pub(crate) async fn commit(admin: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("commit").execute(admin).await.map(drop)
}

/// From here on texts name what they name with its schema, and no code of the host may run that counts on its own path.
pub(crate) async fn spell_out_names(admin: &mut PgConnection, client: ClientId) -> Result<()> {
    let sql = "set local search_path = pg_catalog".to_owned();
    execute(admin, client, "setting the search path", sql)
        .await
        .map(drop)
}

/// The name of the database.
pub(crate) async fn database(admin: &mut PgConnection, client: ClientId) -> Result<String> {
    sqlx::query_scalar("select current_database()::text")
        .fetch_one(admin)
        .await
        .map_err(|source| Error::of_statement(client, "reading the name of its database", source))
}
