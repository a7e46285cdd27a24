#![expect(
    clippy::disallowed_methods,
    reason = "sends the statements that the builder made"
)]

use std::fmt;

use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection};

use super::render::render;
use super::tenant_query::TenantQuery;
use super::verb::sealed::Verb;
use super::verb::{Select, Writes};
use crate::client::ClientId;
use crate::database::{Database, PoolDatabase};
use crate::error::{self, Error, Result};
use crate::schema::Catalogue;
use crate::tenant::{Tenant, TenantDb, TenantTx};

/// Where a statement runs: by itself, or inside a transaction.
pub(super) enum On<'t> {
    Db(TenantDb),
    Tx(&'t mut TenantTx),
}

impl On<'_> {
    pub(super) fn db(&self) -> &TenantDb {
        match self {
            Self::Db(db) => db,
            Self::Tx(tx) => tx.db(),
        }
    }
}

/// A statement as one database spells it.
pub(super) struct Spelt {
    pub(super) sql: String,
    /// Whether it changes rows.
    pub(super) writes: bool,
    /// Whether it runs code of the host's.
    pub(super) residue: bool,
}

/// A statement with its values, to be spelt and sent.
pub(super) struct Statement<R> {
    /// Spells it from a catalogue, scoped or not.
    pub(super) spell: R,
    pub(super) arguments: PgArguments,
    /// What it does, for errors.
    pub(super) step: String,
}

/// How the answer is read.
pub(super) trait Answer: Send + Sized {
    fn read(
        conn: &mut PgConnection,
        sql: String,
        arguments: PgArguments,
    ) -> impl Future<Output = sqlx::Result<Self>> + Send;
}

impl Answer for Vec<PgRow> {
    async fn read(conn: &mut PgConnection, sql: String, arguments: PgArguments) -> sqlx::Result<Self> {
        conn.fetch_all(sqlx::query_with(AssertSqlSafe(sql), arguments))
            .await
    }
}

impl Answer for Option<PgRow> {
    async fn read(conn: &mut PgConnection, sql: String, arguments: PgArguments) -> sqlx::Result<Self> {
        conn.fetch_optional(sqlx::query_with(AssertSqlSafe(sql), arguments))
            .await
    }
}

impl Answer for PgQueryResult {
    async fn read(conn: &mut PgConnection, sql: String, arguments: PgArguments) -> sqlx::Result<Self> {
        conn.execute(sqlx::query_with(AssertSqlSafe(sql), arguments))
            .await
    }
}

impl<R: Fn(&Catalogue, bool) -> Result<Spelt> + Send + Sync> Statement<R> {
    /// Sends the statement where it belongs: into the transaction, or in autocommit on a bound connection of
    /// the pool database, or straight to the dedicated one. A route that turns out stale is resolved anew
    /// and followed once: the kernel's refusal says that nothing was done.
    pub(super) async fn run<A: Answer>(self, on: &mut On<'_>) -> Result<A> {
        match on {
            On::Tx(tx) => {
                let client = tx.db().id();
                let spelt = self.spelt(tx.db()).await?;
                if spelt.residue {
                    tx.expect_residue();
                }
                A::read(tx.connection()?, spelt.sql, self.arguments)
                    .await
                    .map_err(|source| Error::of_statement(client, self.step, source))
            }
            On::Db(db) => {
                let answer = self.send(db).await;
                match db.rerouted(answer.as_ref().err()).await? {
                    Some(there) => self.send(&there).await,
                    None => answer,
                }
            }
        }
    }

    async fn send<A: Answer>(&self, db: &TenantDb) -> Result<A> {
        let spelt = self.spelt(db).await?;
        match &db.tenant.database {
            Database::Pool(pool) => self.send_bound(spelt, &db.tenant, pool).await,
            Database::Dedicated(database) => {
                let failed = |source| Error::of_statement(db.id(), self.step.as_str(), source);
                let pool = database.pool().await?;
                let mut conn = pool.acquire().await.map_err(failed)?;
                A::read(&mut conn, spelt.sql, self.arguments.clone())
                    .await
                    .map_err(failed)
            }
        }
    }

    async fn send_bound<A: Answer>(&self, spelt: Spelt, tenant: &Tenant, pool: &PoolDatabase) -> Result<A> {
        let Tenant { record, guards, .. } = tenant;
        let mut lease = pool.bound(record.id, record.epoch, guards).await?;
        loop {
            if spelt.residue {
                lease.expect_residue();
            }
            let used = lease.is_used();
            let answer = A::read(lease.connection()?, spelt.sql.clone(), self.arguments.clone()).await;
            match answer {
                Ok(answer) => {
                    lease.answered();
                    return Ok(answer);
                }
                Err(failed) if !error::is_connection_failure(&failed) => {
                    lease.answered();
                    return Err(Error::of_statement(record.id, self.step.as_str(), failed));
                }
                // A connection that died of old age. A write is sent again only where it never left.
                Err(failed) if used && (!spelt.writes || error::was_never_sent(&failed)) => {
                    tracing::debug!(client = %record.id, error = %failed, "a dead connection is replaced");
                    lease = pool.bound_anew(lease, record.epoch).await?;
                }
                Err(failed) => return Err(Error::of_statement(record.id, self.step.as_str(), failed)),
            }
        }
    }

    /// Spells with the catalogue, and once more with a fresh one where a name was not found.
    async fn spelt(&self, db: &TenantDb) -> Result<Spelt> {
        let scoped = db.is_scoped();
        let first = (self.spell)(&*db.catalogue().await?, scoped);
        match first {
            Err(Error::UnknownTable { .. } | Error::UnknownColumn { .. } | Error::UnknownFunction { .. })
                if db.refresh_catalogue().await? =>
            {
                (self.spell)(&*db.catalogue().await?, scoped)
            }
            first => first,
        }
    }
}

pub(super) fn decode<T: for<'r> FromRow<'r, PgRow>>(client: ClientId, step: &str, row: &PgRow) -> Result<T> {
    T::from_row(row).map_err(|source| Error::of_statement(client, step, source))
}

impl<V: Verb + Sync> TenantQuery<'_, V> {
    async fn send<A: Answer>(&mut self, rows: bool) -> Result<A> {
        self.arguments.take_error()?;
        let arguments = self.arguments.take();
        let step = self.step();
        let Self {
            on,
            table,
            verb,
            filters,
            arguments: kept,
        } = self;
        let client = kept.client();
        let spell = |catalogue: &Catalogue, scoped: bool| {
            let sql = render(verb, client, table, filters, catalogue, scoped, rows)?;
            Ok(Spelt {
                sql,
                writes: V::WRITES,
                residue: false,
            })
        };
        Statement {
            spell,
            arguments,
            step,
        }
        .run(on)
        .await
    }

    fn step(&self) -> String {
        format!("{} {}", V::NAME, self.table)
    }

    /// All rows.
    ///
    /// # Errors
    /// [`Error::UnknownTable`], [`Error::UnknownColumn`], [`Error::StatementRefused`],
    /// [`Error::ForeignClient`] and [`Error::Encode`] before anything is sent; those of
    /// [`begin`](TenantDb::begin); [`Error::Statement`] where the database refuses the statement or a row
    /// does not decode.
    ///
    /// # Cancel safety
    /// Dropped, a read leaves nothing behind; a write outside a transaction happened as a whole or not at
    /// all. The server may go on with the statement until its timeout.
    pub async fn fetch_all<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Vec<T>> {
        let rows: Vec<PgRow> = self.send(true).await?;
        let (client, step) = (self.arguments.client(), self.step());
        rows.iter().map(|row| decode(client, &step, row)).collect()
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_optional<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Option<T>> {
        let row: Option<PgRow> = self.send(true).await?;
        row.as_ref()
            .map(|row| decode(self.arguments.client(), &self.step(), row))
            .transpose()
    }

    /// The first row.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::RowNotFound`].
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_one<T: for<'r> FromRow<'r, PgRow>>(self) -> Result<T> {
        let (client, what) = (self.arguments.client(), self.table.clone().into_owned());
        self.fetch_optional()
            .await?
            .ok_or(Error::RowNotFound { client, what })
    }
}

impl TenantQuery<'_, Select<'_>> {
    /// How many rows meet the conditions; order, limit and offset do not count.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn count(mut self) -> Result<u64> {
        // Bound values that the statement does not name would be an error of the database.
        let row: Option<PgRow> = self.send(false).await?;
        let (client, step) = (self.arguments.client(), self.step());
        let row = row.ok_or_else(|| Error::RowNotFound {
            client,
            what: step.clone(),
        })?;
        let (count,): (i64,) = decode(client, &step, &row)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

impl<'t, V: Writes<'t> + Sync> TenantQuery<'t, V> {
    /// Writes, and returns how many rows were written.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::CommitUnknown`] where the connection was lost during
    /// the commit.
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn execute(mut self) -> Result<u64> {
        self.send::<PgQueryResult>(false)
            .await
            .map(|done| done.rows_affected())
    }
}

impl fmt::Debug for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.db().fmt(f)
    }
}
