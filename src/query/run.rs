#![expect(
    clippy::disallowed_methods,
    reason = "sends the statements that the builder made"
)]

use std::fmt;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, Postgres};
use tracing::Instrument;

use super::tenant_query::TenantQuery;
use super::verb::sealed::Verb;
use super::verb::{Select, Writes};
use crate::client::ClientId;
use crate::database::{Database, DedicatedPool, Mode, PoolDatabase, within};
use crate::error::{self, Error, Result};
use crate::schema::Catalogue;
use crate::telemetry;
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

    async fn catalogue(&self) -> Result<Arc<Catalogue>> {
        match self.held() {
            Some(pool) => Ok(pool.catalogue()),
            None => self.db().catalogue().await,
        }
    }

    /// Reads the catalogue again after a name was not found; says whether it did.
    async fn refresh_catalogue(&self) -> Result<bool> {
        match self.held() {
            Some(pool) => pool.refresh_catalogue(self.db().id()).await,
            None => self.db().refresh_catalogue().await,
        }
    }

    /// Goes where the client is now, if that is why a statement by itself was refused. Says whether it did.
    pub(super) async fn follow<T: Sync>(&mut self, refused: &Result<T>) -> Result<bool> {
        let Self::Db(db) = self else { return Ok(false) };
        match db.followed(refused).await? {
            Some(moved) => {
                *db = moved;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The pool that a transaction has already: the manager may be closing, and not give another.
    fn held(&self) -> Option<&DedicatedPool> {
        match self {
            Self::Db(_) => None,
            Self::Tx(tx) => tx.dedicated_pool(),
        }
    }
}

/// A statement with its values, ready to be sent.
pub(super) struct Statement<'s> {
    pub(super) sql: String,
    pub(super) arguments: &'s PgArguments,
    /// What it does, for errors.
    pub(super) step: String,
    pub(super) mode: Mode,
    /// Whether it runs code of the host's.
    pub(super) residue: bool,
}

/// A statement as sqlx takes it.
pub(super) type Sent = Query<'static, Postgres, PgArguments>;

/// How the answer is read.
pub(super) trait Answer: Send + Sync + Sized {
    fn read(conn: &mut PgConnection, sent: Sent) -> impl Future<Output = sqlx::Result<Self>> + Send;
}

impl Answer for Vec<PgRow> {
    async fn read(conn: &mut PgConnection, sent: Sent) -> sqlx::Result<Self> {
        conn.fetch_all(sent).await
    }
}

impl Answer for Option<PgRow> {
    async fn read(conn: &mut PgConnection, sent: Sent) -> sqlx::Result<Self> {
        conn.fetch_optional(sent).await
    }
}

impl Answer for PgQueryResult {
    async fn read(conn: &mut PgConnection, sent: Sent) -> sqlx::Result<Self> {
        conn.execute(sent).await
    }
}

impl Statement<'_> {
    /// Sends the statement where it belongs: into the transaction, or by itself on a bound connection of the
    /// pool database, or straight to the dedicated one.
    pub(super) async fn run<A: Answer>(self, on: &mut On<'_>) -> Result<A> {
        let client = on.db().id();
        match on {
            On::Tx(tx) => {
                if self.residue {
                    tx.expect_residue();
                }
                let db = tx.db().clone();
                let (sent, timeout) = (self.sent(tx.is_pooled()), tx.answer_timeout());
                let result = within(timeout, A::read(tx.connection()?, sent))
                    .await
                    .map_err(|source| Error::of_statement(client, self.step, source));
                db.check(result).await
            }
            On::Db(db) => match &db.tenant.database {
                Database::Pool(pool) => {
                    let result = self.send_bound(&db.tenant, pool).await;
                    db.check(result).await
                }
                Database::Dedicated(database) => {
                    let failed = |source| Error::of_statement(client, self.step.as_str(), source);
                    let pool = database.pool().await?;
                    let mut conn = pool.acquire().await.map_err(failed)?;
                    A::read(&mut conn, self.sent(false)).await.map_err(failed)
                }
            },
        }
    }

    /// Behind a pooler it has no name: the session that would know it may be another the next time.
    fn sent(&self, pooled: bool) -> Sent {
        sqlx::query_with(AssertSqlSafe(self.sql.clone()), self.arguments.clone()).persistent(!pooled)
    }

    async fn send_bound<A: Answer>(self, tenant: &Tenant, pool: &PoolDatabase) -> Result<A> {
        let client = tenant.record.id;
        let mut lease = pool.bound(&tenant.record, &tenant.guards, self.mode).await?;
        let mut bound_again = false;
        loop {
            if self.residue {
                lease.expect_residue();
            }
            let (used, timeout, pooled) = (lease.is_used(), lease.answer_timeout(), lease.is_pooled());
            let failed = match within(timeout, A::read(lease.connection()?, self.sent(pooled))).await {
                Ok(answer) => {
                    lease.done(self.mode).await?;
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            if !error::is_connection_failure(&failed) {
                // The session was bound before the client's placement changed, or sqlx met a type for the first
                // time. Nothing was done.
                let lost = if pooled {
                    error::is_lost_statement(&failed)
                } else {
                    error::is_lost_scope(&failed)
                };
                if lost && !bound_again {
                    bound_again = true;
                    lease = Box::pin(lease.bound_again()).await?;
                    continue;
                }
                lease.failed();
                return Err(Error::of_statement(client, self.step, failed));
            }
            // A connection that died of old age. A write is sent again only where it never left, or cannot have
            // been committed.
            let harmless = self.mode == Mode::ReadOnly || pooled || error::was_never_sent(&failed);
            if !(used && harmless) {
                return Err(Error::of_statement(client, self.step, failed));
            }
            tracing::debug!(%client, error = %failed, "a dead connection is replaced");
            lease = Box::pin(lease.replaced()).await?;
        }
    }
}

/// Renders with the catalogue, and once more with a fresh one where a name was not found.
pub(super) async fn rendered<T: Send>(
    on: &On<'_>,
    render: impl Fn(&Catalogue) -> Result<T> + Send + Sync,
) -> Result<T> {
    let first = render(&*on.catalogue().await?);
    match first {
        Err(Error::UnknownTable { .. } | Error::UnknownColumn { .. } | Error::UnknownFunction { .. })
            if Box::pin(on.refresh_catalogue()).await? =>
        {
            render(&*on.catalogue().await?)
        }
        first => first,
    }
}

pub(super) fn decode<T: for<'r> FromRow<'r, PgRow>>(client: ClientId, step: &str, row: &PgRow) -> Result<T> {
    T::from_row(row).map_err(|source| Error::of_statement(client, step, source))
}

impl<V: Verb + Sync> TenantQuery<'_, V> {
    /// Sends the statement, and again where its client is now if it had moved.
    async fn send<A: Answer>(&mut self, rows: bool) -> Result<A> {
        self.arguments.take_error()?;
        let span = telemetry::statement(self.arguments.client(), V::NAME, &self.table);
        let sending = async {
            let sent = self.send_here(rows).await;
            if self.on.follow(&sent).await? {
                // Boxed, so that the few that are sent again do not double the state of all.
                return Box::pin(self.send_here(rows)).await;
            }
            sent
        };
        sending.instrument(span).await
    }

    async fn send_here<A: Answer>(&mut self, rows: bool) -> Result<A> {
        let scoped = self.on.db().is_scoped();
        let this = &*self;
        let (sql, residue) = rendered(&this.on, |catalogue| {
            let sql = this.render(catalogue, scoped, rows)?;
            let table = catalogue.table(&this.table);
            Ok((sql, table.is_none_or(|table| table.runs_code(V::WRITES))))
        })
        .await?;
        let statement = Statement {
            sql,
            step: self.step(),
            arguments: self.arguments.bound(),
            mode: if V::WRITES {
                Mode::ReadWrite
            } else {
                Mode::ReadOnly
            },
            residue,
        };
        statement.run(&mut self.on).await
    }

    /// The SQL as it would be sent, without its values: for logs and tests. Reads as
    /// [`fetch_all`](Self::fetch_all) sends them, writes as [`execute`](TenantQuery::execute) does.
    ///
    /// Nothing is sent, but a database that is not open yet is opened: its catalogue spells the names.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let query = acme.query("agents").columns(["name"]).eq("slug", "guide");
    /// let sql = query.to_sql().await?;
    /// assert_eq!(sql, "select name from public.agents where client_id = $1 and slug = $2");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownTable`], [`Error::UnknownColumn`] and [`Error::StatementRefused`]; [`Error::Busy`] and
    /// [`Error::Unreachable`] where a dedicated database cannot be opened.
    pub async fn to_sql(&self) -> Result<String> {
        let scoped = self.on.db().is_scoped();
        rendered(&self.on, |catalogue| self.render(catalogue, scoped, !V::WRITES)).await
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
