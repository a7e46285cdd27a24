//! A connection of the admin role that only reads, and waits for nothing without a bound.
#![expect(clippy::disallowed_methods, reason = "asks a database as its admin role")]

use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, FromRow, PgConnection, Row};
use uuid::Uuid;

use super::options::FootprintOptions;
use super::statistics::Leaf;
use crate::client::ClientId;
use crate::directory::connect_options;
use crate::error::{Error, FootprintError, Result};

/// The database is asked in this session, one statement after the other.
#[derive(Debug)]
pub(super) struct Session {
    conn: PgConnection,
    /// By kind and owner.
    database: String,
    /// What all files of the database take.
    pub(super) bytes: u64,
}

impl Session {
    pub(super) async fn open(
        url: &SecretString,
        database: String,
        options: &FootprintOptions,
    ) -> Result<Self> {
        let connect = connect_options(url, &database)?.application_name("tenantry footprint");
        let connected = tokio::time::timeout(options.connect_timeout, connect.connect()).await;
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let connected = connected.unwrap_or_else(|_| Err(late().into()));
        let conn = connected.map_err(|source| Error::Unreachable {
            database: database.clone(),
            step: "connecting as the admin role",
            source: source.into(),
        })?;
        let mut session = Self {
            conn,
            database,
            bytes: 0,
        };
        // With row security off, a policy that would leave out rows is an error instead.
        let sql = format!(
            "set default_transaction_read_only = on; set row_security = off; set search_path = pg_catalog;
             set jit = off; set statement_timeout = {}; set lock_timeout = {};
             select pg_database_size(current_database())",
            millis(options.statement_timeout),
            millis(options.lock_timeout)
        );
        let row = session.conn.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        let bytes = row.and_then(|row| row.try_get::<i64, _>(0));
        session.bytes = bytes
            .map_err(session.failed("measuring the database"))?
            .unsigned_abs();
        Ok(session)
    }

    /// What the server knows of the host's tables. `latest_by` is the column that says when a row last changed.
    pub(super) async fn leaves(&mut self, latest_by: Option<&str>) -> Result<Vec<Leaf>> {
        let leaves: Result<Vec<Leaf>, _> = sqlx::query_as(include_str!("tables.sql"))
            .bind(latest_by)
            .persistent(false)
            .fetch_all(&mut self.conn)
            .await;
        let leaves = leaves.map_err(self.failed("reading the statistics of its tables"))?;
        match leaves.iter().find(|leaf| leaf.hidden) {
            None => Ok(leaves),
            Some(leaf) => Err(self.error(FootprintError::Hidden {
                table: leaf.name.clone(),
            })),
        }
    }

    /// The tables that all clients read, by their oids.
    pub(super) async fn shared_tables(&mut self) -> Result<Vec<i64>> {
        const STEP: &str = "reading which tables are shared";
        let kernel = "select to_regclass('tenantry.shared_tables') is not null";
        let kernel: (bool,) = self.one(STEP, kernel.to_owned(), None).await?;
        if !kernel.0 {
            return Ok(Vec::new());
        }
        let tables = sqlx::query_scalar("select relation::int8 from tenantry.shared_tables")
            .fetch_all(&mut self.conn)
            .await;
        tables.map_err(self.failed(STEP))
    }

    /// The one row of a query. The client, where there is one, is its first value.
    pub(super) async fn one<T>(&mut self, step: &str, sql: String, client: Option<ClientId>) -> Result<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        let query = match client {
            Some(client) => query.bind(client),
            None => query,
        };
        let row = query.fetch_one(&mut self.conn).await;
        row.map_err(self.failed(step))
    }

    /// The rows of a query over ids.
    pub(super) async fn of_ids<T>(&mut self, step: &str, sql: String, ids: &[Uuid]) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        let rows = query.bind(ids).fetch_all(&mut self.conn).await;
        rows.map_err(self.failed(step))
    }

    pub(super) fn error(&self, source: FootprintError) -> Error {
        Error::Footprint {
            database: self.database.clone(),
            source,
        }
    }

    fn failed<'a>(&'a self, step: &'a str) -> impl FnOnce(sqlx::Error) -> Error + 'a {
        move |source| {
            self.error(FootprintError::Statement {
                step: step.to_owned(),
                source: source.into(),
            })
        }
    }

    /// Whether it does not answer does not matter any more.
    pub(super) async fn close(self) {
        let _ = self.conn.close().await;
    }
}

/// As PostgreSQL takes it, to which 0 is without a bound.
fn millis(timeout: Duration) -> u128 {
    timeout.as_millis().clamp(1, 2_147_483_647)
}
