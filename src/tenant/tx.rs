#![expect(
    clippy::disallowed_methods,
    reason = "begins and ends the transactions of dedicated databases"
)]

use std::fmt;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Postgres};

use super::db::TenantDb;
use super::standing::Standing;
use crate::client::ClientId;
use crate::database::{DedicatedPool, Lease, StatementLog, TransactionOptions};
use crate::error::{self, Error, Result};

/// A transaction on one client's data: a plain sqlx executor inside, still scoped.
///
/// Pass `&mut tx` where sqlx takes an executor; `query!` and its kin work, and [`Error::from_sqlx`] says what
/// their errors mean. Statements go one at a time
/// and prepared; text of several statements, and statements that would end the transaction or change the
/// session, are refused with [`Error::StatementRefused`]. It is not a `DerefMut` to a
/// connection, so two clients' connections cannot be swapped.
///
/// Dropped without [`commit`](Self::commit), it is rolled back behind the caller.
///
/// ```no_run
/// # async fn example(acme: tenantry::TenantDb) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = acme.begin().await?;
/// sqlx::query("update agents set name = $1 where slug = $2").bind("Ada").bind("guide").execute(&mut tx).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
pub struct TenantTx {
    pub(super) db: TenantDb,
    conn: Conn,
    standing: Standing,
}

enum Conn {
    Scoped(Lease),
    Straight(Straight),
}

/// A transaction on a dedicated database.
struct Straight {
    client: ClientId,
    /// `None` only after the connection was given back, or closed.
    conn: Option<PoolConnection<Postgres>>,
    /// Keeps the pool open.
    pool: DedicatedPool,
}

/// How long rolling back behind the caller may take before the connection is closed instead.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

impl TenantTx {
    pub(super) fn scoped(db: TenantDb, lease: Lease) -> Self {
        Self {
            db,
            conn: Conn::Scoped(lease),
            standing: Standing::default(),
        }
    }

    pub(super) async fn straight(
        db: TenantDb,
        pool: DedicatedPool,
        options: TransactionOptions,
    ) -> Result<Self> {
        let client = db.id();
        let conn = pool
            .acquire()
            .await
            .map_err(|source| Error::of_statement(client, "begin", source))?;
        // Held by the guard before anything is sent: sqlx would return the connection of a dropped `begin`
        // to its pool inside the transaction.
        let mut straight = Straight {
            client,
            conn: Some(conn),
            pool,
        };
        let begin = match options.after_begin() {
            Some(read_only) => format!("{}; {read_only}", options.begin()),
            None => options.begin().to_owned(),
        };
        straight
            .connection()?
            .execute(sqlx::raw_sql(AssertSqlSafe(begin)))
            .await
            .map_err(|source| Error::of_statement(client, "begin", source))?;
        Ok(Self {
            db,
            conn: Conn::Straight(straight),
            standing: Standing::default(),
        })
    }

    /// Commits.
    ///
    /// # Errors
    /// [`Error::Statement`] where a statement of the transaction had failed, which ends in a rollback;
    /// [`Error::Constraint`] where a deferred one fails now; [`Error::ScopeRefused`] where the scope of the transaction is not the
    /// one it was begun with; [`Error::CommitUnknown`] where the connection was lost.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the transaction may or may not have committed.
    pub async fn commit(self) -> Result<()> {
        let result = match self.conn {
            Conn::Scoped(lease) => lease.commit().await,
            Conn::Straight(straight) => straight.commit().await,
        };
        self.db.check(result)
    }

    /// Rolls back and waits for it. Dropping the transaction does so without waiting.
    ///
    /// # Errors
    /// [`Error::Statement`] where the connection was lost; the server then rolls back by itself.
    pub async fn rollback(self) -> Result<()> {
        match self.conn {
            Conn::Scoped(lease) => lease.rollback().await,
            Conn::Straight(straight) => straight.rollback().await,
        }
    }

    /// The connection, for statements of the library.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.conn.connection()
    }

    /// The connection, for statements of the host, and what is to know their answers.
    pub(super) fn connection_for_host(&mut self) -> Result<(&mut PgConnection, &mut Standing)> {
        self.expect_residue();
        Ok((self.conn.connection()?, &mut self.standing))
    }

    /// Takes note of what a statement of the library was answered.
    pub(crate) fn note<T>(&mut self, answered: &sqlx::Result<T>) {
        self.standing.note(answered);
    }

    /// How it stands, by what its statements were answered.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Tells of a statement that is sent now; `None` on a dedicated database, where sqlx does.
    pub(crate) fn log<S: AsRef<str>>(&self, sql: S) -> Option<StatementLog<S>> {
        match &self.conn {
            Conn::Scoped(lease) => Some(lease.log(sql)),
            Conn::Straight(_) => None,
        }
    }

    /// Says that the host sets the statement timeout by itself.
    pub(super) fn expect_patience(&mut self) {
        if let Conn::Scoped(lease) = &mut self.conn {
            lease.expect_patience();
        }
    }

    /// Closes the connection of a dedicated database, whose answers nobody waited for. The transaction is rolled
    /// back by the server, and what is asked of it from now on is an error.
    pub(crate) fn abandon(&mut self) {
        if let Conn::Straight(straight) = &mut self.conn
            && let Some(conn) = straight.conn.take()
        {
            drop(conn.detach());
        }
    }

    /// Whether it is behind a pooler, where statements have no names.
    pub(crate) fn is_pooled(&self) -> bool {
        matches!(&self.conn, Conn::Scoped(lease) if lease.is_pooled())
    }

    /// How long an answer may take before the connection counts as lost.
    pub(crate) fn answer_timeout(&self) -> Option<Duration> {
        match &self.conn {
            Conn::Scoped(lease) => lease.answer_timeout(),
            Conn::Straight(_) => None,
        }
    }

    /// Says that the next statement runs code of the host's, which can leave something on the session.
    pub(crate) fn expect_residue(&mut self) {
        if let Conn::Scoped(lease) = &mut self.conn {
            lease.expect_residue();
        }
    }

    /// The pool of the dedicated database that it is on, which it keeps open.
    pub(crate) fn dedicated_pool(&self) -> Option<&DedicatedPool> {
        match &self.conn {
            Conn::Scoped(_) => None,
            Conn::Straight(straight) => Some(&straight.pool),
        }
    }

    pub(crate) fn db(&self) -> &TenantDb {
        &self.db
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTx")
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

impl Conn {
    fn connection(&mut self) -> Result<&mut PgConnection> {
        match self {
            Self::Scoped(lease) => lease.connection(),
            Self::Straight(straight) => straight.connection(),
        }
    }
}

impl Straight {
    fn connection(&mut self) -> Result<&mut PgConnection> {
        let client = self.client;
        self.conn.as_deref_mut().ok_or_else(|| Error::StatementRefused {
            client,
            what: "the transaction".to_owned(),
            reason: "rows were being loaded in it when that was dropped, which ended it",
        })
    }

    async fn commit(mut self) -> Result<()> {
        let client = self.client;
        // The commit of an aborted transaction answers as if all were well; a query in front of it does not.
        let committed = self.connection()?.execute(sqlx::raw_sql("SELECT; COMMIT")).await;
        match committed {
            Ok(_) => {
                drop(self.conn.take());
                Ok(())
            }
            Err(source) if error::is_connection_failure(&source) => Err(Error::CommitUnknown {
                client,
                source: source.into(),
            }),
            Err(source) => Err(Error::of_statement(client, "commit", source)),
        }
    }

    async fn rollback(mut self) -> Result<()> {
        let client = self.client;
        self.connection()?
            .execute(sqlx::raw_sql("ROLLBACK"))
            .await
            .map_err(|source| Error::of_statement(client, "rollback", source))?;
        drop(self.conn.take());
        Ok(())
    }
}

impl Drop for Straight {
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            drop(conn.detach());
            return;
        };
        let pool = self.pool.again();
        runtime.spawn(async move {
            let rolled_back =
                tokio::time::timeout(ROLLBACK_TIMEOUT, conn.execute(sqlx::raw_sql("ROLLBACK"))).await;
            if !matches!(rolled_back, Ok(Ok(_))) {
                let _ = conn.detach().close_hard().await;
            }
            drop(pool);
        });
    }
}
