//! Connections of whoever moves a client, to the databases that it moves between.
#![expect(clippy::disallowed_methods, reason = "speaks to a database as its admin role")]

use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::client::{ClientId, Placement};
use crate::directory::connect_options;
use crate::error::{Error, RelocationError, Result};
use crate::provision::session;

/// Source or target of a relocation.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) client: ClientId,
    pub(super) placement: Placement,
    pub(super) admin_url: SecretString,
    pub(super) relocation: Uuid,
    /// Which attempt at the relocation this is.
    pub(super) attempt: i32,
    pub(super) lock_timeout: Duration,
}

/// How the sessions of a relocation are named, so that whoever takes it over can end them.
fn sessions_of(client: ClientId) -> String {
    format!("tenantry relocate {client} ")
}

impl Side {
    pub(super) fn is_pool(&self) -> bool {
        matches!(self.placement, Placement::Pool(_))
    }

    /// Which database it is, for people.
    pub(super) fn told(&self) -> String {
        match self.placement {
            Placement::Pool(pool) => format!("pool {pool}"),
            Placement::Dedicated => "dedicated".to_owned(),
        }
    }

    /// A session of the attempt that counts. Whoever takes over ends it: what it does it does before that.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        const STEP: &str = "beginning a session";
        let mut conn = self.open().await?;
        let sql = format!("select exists ({})", self.latest());
        if self.value(&mut conn, STEP, sql).await? {
            return Ok(conn);
        }
        Err(self.taken(STEP))
    }

    /// A session of the admin role, which sees all rows or fails, under which values have the same texts everywhere.
    pub(super) async fn open(&self) -> Result<PgConnection> {
        let database = || format!("{} database of client {}", self.name, self.client);
        let options = connect_options(&self.admin_url, &database())?.application_name(&format!(
            "{}{}",
            sessions_of(self.client),
            self.attempt
        ));
        let mut conn = options.connect().await.map_err(|source| Error::Unreachable {
            database: database(),
            step: "connecting as the admin role",
            source: source.into(),
        })?;
        session::prepare(&mut conn, self.client, self.lock_timeout).await?;
        // Statements here are many and short, or copy: none is worth compiling.
        self.run(
            &mut conn,
            "preparing a session of the admin role",
            "set jit = off",
        )
        .await?;
        Ok(conn)
    }

    /// Ends the sessions of earlier attempts and makes this the attempt that counts here.
    pub(super) async fn take_over(&self, conn: &mut PgConnection) -> Result<()> {
        self.end_others(conn).await?;
        sqlx::query(
            "insert into tenantry.relocations (client_id, relocation, attempt) values ($1, $2, $3)
             on conflict (client_id) do update
             set attempt = excluded.attempt, relocation = excluded.relocation,
                 left_for = case when relocations.relocation = excluded.relocation then relocations.left_for end
             where relocations.relocation <> excluded.relocation or relocations.attempt < excluded.attempt",
        )
        .bind(self.client)
        .bind(self.relocation)
        .bind(self.attempt)
        .execute(&mut *conn)
        .await
        .map_err(|source| self.not_taken_over(source))?;
        // Those that began meanwhile found that theirs was the latest.
        self.end_others(conn).await
    }

    async fn end_others(&self, conn: &mut PgConnection) -> Result<()> {
        sqlx::query(
            "select pg_catalog.pg_terminate_backend(pid, 5000) from pg_catalog.pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
               and starts_with(application_name, $1) and application_name <> current_setting('application_name')",
        )
        .bind(sessions_of(self.client))
        .execute(conn)
        .await
        .map(drop)
        .map_err(|source| self.not_taken_over(source))
    }

    fn not_taken_over(&self, source: sqlx::Error) -> Error {
        Error::of_statement(self.client, "taking the relocation over", source)
    }

    /// A query that has a row while this is the attempt that counts here.
    fn latest(&self) -> String {
        format!(
            "select from tenantry.relocations where client_id = '{}' and relocation = '{}' and attempt = {}",
            self.client, self.relocation, self.attempt
        )
    }

    fn taken(&self, step: &'static str) -> Error {
        Error::Relocation {
            client: self.client,
            step,
            source: RelocationError::Taken,
        }
    }

    /// Begins a transaction that fails unless this is the attempt that counts, and that nobody takes over before its
    /// end. With settings of its own, each as a statement.
    pub(super) async fn begin_with(&self, conn: &mut PgConnection, settings: &str) -> Result<()> {
        const STEP: &str = "beginning a transaction";
        // In one message: writers may be waiting.
        let sql = format!("begin; {settings} {} for share", self.latest());
        let row = conn.fetch_optional(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        let row = row.map_err(|source| Error::of_statement(self.client, STEP, source))?;
        row.map(drop).ok_or_else(|| self.taken(STEP))
    }

    /// As [`begin_with`](Self::begin_with) without any.
    pub(super) async fn begin(&self, conn: &mut PgConnection) -> Result<()> {
        self.begin_with(conn, "").await
    }

    /// Begins a transaction by those statements, takes its snapshot, and names it.
    pub(super) async fn pin(&self, conn: &mut PgConnection, begin: &str) -> Result<String> {
        let sql = format!("{begin} select pg_catalog.pg_current_snapshot()::text");
        self.value(conn, "pinning a snapshot", sql).await
    }

    /// Runs statements that have no values.
    pub(super) async fn run(
        &self,
        conn: &mut PgConnection,
        step: &str,
        sql: impl Into<String>,
    ) -> Result<u64> {
        session::execute(conn, self.client, step, sql.into()).await
    }

    pub(super) async fn commit(&self, conn: &mut PgConnection, step: &str) -> Result<()> {
        self.run(conn, step, "commit").await.map(drop)
    }

    /// One row of a query that has no values, in one message.
    pub(super) async fn row(&self, conn: &mut PgConnection, step: &str, sql: String) -> Result<PgRow> {
        let row = conn.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        row.map_err(|source| Error::of_statement(self.client, step, source))
    }

    /// One value of one row.
    pub(super) async fn value<T>(&self, conn: &mut PgConnection, step: &str, sql: String) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        let row = self.row(conn, step, sql).await?;
        row.try_get_unchecked(0)
            .map_err(|source| Error::of_statement(self.client, step, source))
    }
}
