#![expect(
    clippy::disallowed_methods,
    reason = "keeps the journal of clients that are being set up"
)]

use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use crate::client::ClientId;
use crate::directory::{PlatformDirectory, failed};
use crate::error::{Error, Result};

/// Whoever sets a client up, with nobody else at it. Dropped before its end, its connection closes: given back, it
/// could still hold the lock.
pub(super) struct Alone {
    // `None` only after it was given back.
    conn: Option<PoolConnection<Postgres>>,
    pub(super) id: ClientId,
}

impl Alone {
    /// In a session that holds the client's lock: it ends with the process.
    pub(super) async fn with(platform: &PlatformDirectory, id: ClientId) -> Result<Self> {
        const STEP: &str = "setting a client up";
        let conn = platform.lock_connection().await.map_err(failed(STEP))?;
        let mut alone = Self { conn: Some(conn), id };
        if alone
            .says("select pg_try_advisory_lock(hashtextextended($1, 1413828180))")
            .await
            .map_err(failed(STEP))?
        {
            return Ok(alone);
        }
        Err(Error::Busy {
            client: id,
            what: "its set-up, which another process is at",
            waited: Duration::ZERO,
        })
    }

    /// That one more attempt begins.
    pub(super) async fn note_attempt(&mut self) -> Result<()> {
        self.journal(
            "insert into platform.provisions (client_id, attempts) values ($1, 1)
             on conflict (client_id) do update
             set attempts = provisions.attempts + 1, failure = $2, updated_at = now()",
            None,
        )
        .await
    }

    /// That a step was done.
    pub(super) async fn note(&mut self, step: &str) -> Result<()> {
        let sql = "update platform.provisions set step = $2, updated_at = now() where client_id = $1";
        self.journal(sql, Some(step)).await
    }

    /// On the connection that holds the lock: whoever lost it does not go on.
    async fn journal(&mut self, sql: &'static str, text: Option<&str>) -> Result<()> {
        const STEP: &str = "noting how far a client is";
        let conn = self.conn.as_deref_mut().ok_or(Error::Closed)?;
        let noted = sqlx::query(sql).bind(self.id).bind(text).execute(conn).await;
        noted.map(drop).map_err(failed(STEP))
    }

    /// Lets others at it. Where that cannot be said, the connection closes.
    pub(super) async fn end(mut self) {
        let unlocked = self.says("select pg_advisory_unlock(hashtextextended($1, 1413828180))");
        if matches!(unlocked.await, Ok(true)) {
            drop(self.conn.take());
        }
    }

    async fn says(&mut self, sql: &'static str) -> sqlx::Result<bool> {
        let conn = self.conn.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::query_scalar(sql)
            .bind(format!("provision {}", self.id))
            .fetch_one(conn)
            .await
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}
