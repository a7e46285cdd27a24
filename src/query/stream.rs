#![expect(clippy::disallowed_methods, reason = "streams the rows of a statement")]

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Executor, FromRow};

use super::run::{On, Retry, Statement, decode};
use super::select::Select;
use super::send::{statement, told};
use super::tenant_query::TenantQuery;
use super::verb::Shape;
use crate::client::ClientId;
use crate::database::{Database, DedicatedDatabase, PoolDatabase, within};
use crate::error::{Error, Result};
use crate::tenant::{Patience, Tenant, TenantDb, TenantTx};

impl<'t> TenantQuery<'t, Select<'t>> {
    /// One row after the other, as the database sends them: rows that are not read are not held. The stream
    /// has its connection until it ends or is dropped.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// use futures_util::TryStreamExt;
    ///
    /// let mut titles = acme.query("documents").columns(["title"]).fetch::<(String,)>();
    /// while let Some((title,)) = titles.try_next().await? {
    ///     println!("{title}");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), as items; nothing follows one. A connection that is lost after the
    /// first row is not replaced.
    ///
    /// # Cancel safety
    /// Dropped, its connection is made good behind the caller, or closed.
    pub fn fetch<T>(mut self) -> BoxStream<'t, Result<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + 't,
    {
        let stream = async_stream::try_stream! {
            self.expect_sendable()?;
            let client = self.source.client;
            let mut patience = Patience::default();
            self.on.renew().await?;
            loop {
                let statement = statement(&self.on, &self.source, &self.verb, Shape::Rows).await?;
                let mut rows = match &mut self.on {
                    On::Tx(tx) => in_transaction(tx, &statement),
                    On::Db(db) => match &db.tenant.database {
                        Database::Dedicated(database) => straight(database, &statement, client),
                        Database::Pool(pool) => bound(db, pool, &statement),
                    },
                };
                let mut begun = false;
                let ended = loop {
                    match rows.next().await {
                        Some(Ok(row)) => {
                            begun = true;
                            yield decode(client, statement.step, &row)?;
                        }
                        Some(Err(error)) => break Err(error),
                        None => break Ok(()),
                    }
                };
                drop(rows);
                if ended.is_ok() {
                    break;
                }
                if !begun && self.on.follow(&ended, &mut patience).await? {
                    continue;
                }
                if let Err(error) = ended {
                    Err(told(&self.on, &self.source, &self.verb, Shape::Rows, error).await)?;
                }
            }
        };
        stream.boxed()
    }
}

/// The rows of a statement by itself, on a connection that is bound to the client.
fn bound<'s>(
    db: &'s TenantDb,
    pool: &'s PoolDatabase,
    statement: &'s Statement<'s>,
) -> BoxStream<'s, Result<PgRow>> {
    let stream = async_stream::try_stream! {
        let Tenant { record, guards, .. } = &*db.tenant;
        let mut retry = Retry::default();
        let mut lease = db.check(pool.bound(record, guards, statement.mode).await)?;
        loop {
            if statement.residue {
                lease.expect_residue();
            }
            let (timeout, pooled, used) = (lease.answer_timeout(), lease.is_pooled(), lease.is_used());
            let mut begun = false;
            let mut log = lease.log(statement.sql.as_str());
            let mut rows = lease.connection()?.fetch(statement.sent(pooled));
            let ended = loop {
                match within(timeout, async { rows.next().await.transpose() }).await {
                    Ok(Some(row)) => {
                        begun = true;
                        yield row;
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            drop(rows);
            log.note(&ended);
            drop(log);
            match ended {
                Ok(()) => {
                    lease.done(statement.mode).await?;
                    break;
                }
                Err(error) if begun => Err(Error::of_statement(record.id, statement.step, error))?,
                Err(error) => {
                    let again = statement.again(&mut retry, lease, used, error).await;
                    lease = db.check(again)?;
                }
            }
        }
    };
    stream.boxed()
}

/// The rows of a statement inside a transaction.
fn in_transaction<'s>(tx: &'s mut TenantTx, statement: &'s Statement<'s>) -> BoxStream<'s, Result<PgRow>> {
    let stream = async_stream::try_stream! {
        let client = tx.db().id();
        let failed = |source| Error::of_statement(client, statement.step, source);
        if statement.residue {
            tx.expect_residue();
        }
        let (sent, timeout) = (statement.sent(tx.is_pooled()), tx.answer_timeout());
        let mut log = tx.log(statement.sql.as_str());
        let mut rows = tx.connection()?.fetch(sent);
        let ended = loop {
            match within(timeout, async { rows.next().await.transpose() }).await {
                Ok(Some(row)) => yield row,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(rows);
        tx.note(&ended);
        if let Some(log) = &mut log {
            log.note(&ended);
        }
        let db = tx.db().clone();
        db.check(ended.map_err(failed))?;
    };
    stream.boxed()
}

/// The rows of a statement on a dedicated database.
fn straight<'s>(
    database: &'s DedicatedDatabase,
    statement: &'s Statement<'s>,
    client: ClientId,
) -> BoxStream<'s, Result<PgRow>> {
    let stream = async_stream::try_stream! {
        let failed = |source| Error::of_statement(client, statement.step, source);
        let pool = database.pool().await?;
        let mut conn = pool.acquire().await.map_err(failed)?;
        let mut rows = conn.fetch(statement.sent(false));
        while let Some(row) = rows.next().await.transpose().map_err(failed)? {
            yield row;
        }
    };
    stream.boxed()
}
