#![expect(
    clippy::disallowed_methods,
    reason = "begins and ends the transactions that change the platform database"
)]

use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, Postgres};

use super::PlatformDirectory;
use super::platform::failed;
use crate::error::{Error, Result};

/// A transaction that changes the platform database, in the name of who changes it.
///
/// Dropped before it is committed, its connection closes: sqlx would give back one whose BEGIN nobody waited for
/// inside the transaction, and what is written next would never be committed.
#[derive(Debug)]
pub(crate) struct Writing {
    // `None` only after it was given back.
    conn: Option<PoolConnection<Postgres>>,
    step: &'static str,
}

impl PlatformDirectory {
    /// The same directory, whose changes are logged under that name. Defaults to the name of the database role.
    ///
    /// ```no_run
    /// # async fn example(platform: tenantry::PlatformDirectory, acme: tenantry::ClientId) -> tenantry::Result<()> {
    /// use tenantry::ClientStatus;
    ///
    /// platform.acting_as("billing").set_status(acme, ClientStatus::Suspended).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<String>) -> Self {
        let mut acting = self.clone();
        acting.actor = Some(actor.into().into());
        acting
    }

    pub(crate) async fn write(&self, step: &'static str) -> Result<Writing> {
        self.write_by(step, "begin").await
    }

    /// As [`write`](Self::write), begun by those statements.
    pub(crate) async fn write_by(&self, step: &'static str, begin: &'static str) -> Result<Writing> {
        let mut writing = self.begin(step, begin).await?;
        let conn = writing.conn()?;
        if let Some(actor) = &self.actor {
            sqlx::query("select set_config('platform.actor', $1, true)")
                .bind(&**actor)
                .execute(conn)
                .await
                .map_err(failed(step))?;
        }
        Ok(writing)
    }

    /// A transaction of one snapshot, that changes nothing.
    pub(crate) async fn snapshot(&self, step: &'static str) -> Result<Writing> {
        self.begin(step, "begin isolation level repeatable read, read only")
            .await
    }

    async fn begin(&self, step: &'static str, sql: &'static str) -> Result<Writing> {
        let conn = self.db.acquire().await.map_err(failed(step))?;
        let mut writing = Writing {
            conn: Some(conn),
            step,
        };
        let begun = writing.conn()?.execute(sqlx::raw_sql(sql)).await;
        begun.map_err(failed(step))?;
        Ok(writing)
    }
}

impl Writing {
    pub(crate) fn conn(&mut self) -> Result<&mut PgConnection> {
        self.conn.as_deref_mut().ok_or(Error::Closed)
    }

    pub(crate) async fn commit(self) -> Result<()> {
        self.end("commit").await
    }

    pub(crate) async fn roll_back(self) -> Result<()> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &'static str) -> Result<()> {
        let step = self.step;
        let ended = self.conn()?.execute(sqlx::raw_sql(how)).await;
        ended.map_err(failed(step))?;
        // In step again, it may serve others.
        drop(self.conn.take());
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}
