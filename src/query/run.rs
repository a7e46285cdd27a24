#![expect(
    clippy::disallowed_methods,
    reason = "sends the statements that the builder made"
)]

use std::fmt;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, Postgres};

use crate::client::ClientId;
use crate::database::{Database, DedicatedPool, Lease, Mode, OwnIndexCell, PoolDatabase, within};
use crate::error::{self, Error, Result};
use crate::schema::Catalogue;
use crate::tenant::{Patience, Tenant, TenantDb, TenantTx};

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

    pub(super) async fn catalogue(&self) -> Result<Arc<Catalogue>> {
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

    /// Which clients of the database have vector indexes of their own.
    pub(super) async fn own_indexes(&self) -> Result<Arc<OwnIndexCell>> {
        match self.held() {
            Some(pool) => Ok(pool.own_indexes()),
            None => self.db().own_indexes().await,
        }
    }

    /// Goes by what is known of the client now, where the handle is stale. Inside a transaction it stays.
    pub(super) async fn renew(&mut self) -> Result<()> {
        if let Self::Db(db) = self
            && let Some(renewed) = db.renewed().await?
        {
            *db = renewed;
        }
        Ok(())
    }

    /// Goes where the client is now, if that is why a statement by itself was refused. Says whether it did.
    pub(super) async fn follow<T: Sync>(
        &mut self,
        refused: &Result<T>,
        patience: &mut Patience,
    ) -> Result<bool> {
        let Self::Db(db) = self else { return Ok(false) };
        match db.followed(refused, patience).await? {
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
    pub(super) arguments: PgArguments,
    pub(super) step: Step<'s>,
    pub(super) mode: Mode,
    /// Whether it runs code of the host's.
    pub(super) residue: bool,
}

/// What a statement does, for errors: the verb, and the table or function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'s>(pub(super) &'static str, pub(super) &'s str);

impl From<Step<'_>> for String {
    fn from(Step(verb, of): Step<'_>) -> Self {
        format!("{verb} {of}")
    }
}

/// A statement as sqlx takes it.
pub(super) type Sent = Query<'static, Postgres, PgArguments>;

/// How the answer is read.
pub(super) trait Answer: Send + Sync + Sized {
    fn read(conn: &mut PgConnection, sent: Sent) -> impl Future<Output = sqlx::Result<Self>> + Send;

    /// Adds the answer to a later part of the same.
    fn add(&mut self, later: Self);
}

impl Answer for Vec<PgRow> {
    async fn read(conn: &mut PgConnection, sent: Sent) -> sqlx::Result<Self> {
        conn.fetch_all(sent).await
    }

    fn add(&mut self, later: Self) {
        self.extend(later);
    }
}

impl Answer for Option<PgRow> {
    async fn read(conn: &mut PgConnection, sent: Sent) -> sqlx::Result<Self> {
        conn.fetch_optional(sent).await
    }

    fn add(&mut self, later: Self) {
        if self.is_none() {
            *self = later;
        }
    }
}

impl Answer for PgQueryResult {
    async fn read(conn: &mut PgConnection, sent: Sent) -> sqlx::Result<Self> {
        conn.execute(sent).await
    }

    fn add(&mut self, later: Self) {
        self.extend([later]);
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
                let mut log = tx.log(&self.sql);
                let answered = within(timeout, A::read(tx.connection()?, sent)).await;
                tx.note(&answered);
                if let Some(log) = &mut log {
                    log.note(&answered);
                }
                drop(log);
                let result = answered.map_err(|source| Error::of_statement(client, self.step, source));
                db.check(result)
            }
            On::Db(db) => match &db.tenant.database {
                Database::Pool(pool) => {
                    let result = self.send_bound(&db.tenant, pool).await;
                    db.check(result)
                }
                Database::Dedicated(database) => {
                    let failed = |source| Error::of_statement(client, self.step, source);
                    let pool = database.pool().await?;
                    let mut conn = pool.acquire().await.map_err(failed)?;
                    A::read(&mut conn, self.sent(false)).await.map_err(failed)
                }
            },
        }
    }

    /// Behind a pooler it has no name: the session that would know it may be another the next time.
    pub(super) fn sent(&self, pooled: bool) -> Sent {
        sqlx::query_with(AssertSqlSafe(self.sql.clone()), self.arguments.clone()).persistent(!pooled)
    }

    async fn send_bound<A: Answer>(self, tenant: &Tenant, pool: &PoolDatabase) -> Result<A> {
        let mut lease = pool.bound(&tenant.record, &tenant.guards, self.mode).await?;
        let mut retry = Retry::default();
        loop {
            if self.residue {
                lease.expect_residue();
            }
            let (timeout, pooled) = (lease.answer_timeout(), lease.is_pooled());
            let used = lease.is_used();
            let mut log = lease.log(&self.sql);
            let answered = within(timeout, A::read(lease.connection()?, self.sent(pooled))).await;
            log.note(&answered);
            drop(log);
            match answered {
                Ok(answer) => {
                    lease.done(self.mode).await?;
                    return Ok(answer);
                }
                Err(failed) => lease = self.again(&mut retry, lease, used, failed).await?,
            }
        }
    }

    /// A lease to try the statement on again, where it failed for a reason that is not its own and did nothing.
    pub(super) async fn again(
        &self,
        retry: &mut Retry,
        lease: Lease,
        used: bool,
        failed: sqlx::Error,
    ) -> Result<Lease> {
        let (client, pooled) = (lease.client(), lease.is_pooled());
        if !error::is_connection_failure(&failed) {
            // The session was bound before the client's placement changed, or sqlx met a type for the first
            // time. Nothing was done.
            let lost = if pooled {
                error::is_lost_statement(&failed)
            } else {
                error::is_lost_scope(&failed)
            };
            if lost && !retry.bound_again {
                retry.bound_again = true;
                return Box::pin(lease.bound_again()).await;
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
        Box::pin(lease.replaced()).await
    }
}

/// What was tried already.
#[derive(Debug, Default)]
pub(super) struct Retry {
    bound_again: bool,
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

pub(super) fn decode<T: for<'r> FromRow<'r, PgRow>>(
    client: ClientId,
    step: Step<'_>,
    row: &PgRow,
) -> Result<T> {
    T::from_row(row).map_err(|source| Error::of_statement(client, step, source))
}

impl fmt::Debug for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.db().fmt(f)
    }
}
