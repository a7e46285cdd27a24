use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgArguments;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, PgConnection, Postgres};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::is_connection_failure;

/// The connections that clients and pools are looked up on: one round trip each.
///
/// sqlx's own pool asks for a sign of life whenever a connection is taken or given back, which doubles the round
/// trips. Here one that is dead is noticed by the look-up, and replaced.
#[derive(Clone)]
pub(super) struct LookUps {
    inner: Arc<Inner>,
}

struct Inner {
    options: PgConnectOptions,
    wait: Duration,
    room: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl LookUps {
    /// On so many connections at most, each waited for so long.
    pub(super) fn new(options: PgConnectOptions, most: usize, wait: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                wait,
                room: Semaphore::new(most),
                idle: Mutex::default(),
            }),
        }
    }

    /// The row, if there is one.
    ///
    /// # Cancel safety
    /// Dropped, the connection closes: nobody else reads the answer.
    pub(super) async fn fetch<T>(
        &self,
        query: impl Fn() -> QueryAs<'static, Postgres, T, PgArguments>,
    ) -> sqlx::Result<Option<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let room = timeout(self.inner.wait, self.inner.room.acquire());
        let _room = room
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        loop {
            let used = self.idle().pop();
            let is_used = used.is_some();
            let mut conn = match used {
                Some(conn) => conn,
                None => timeout(self.inner.wait, PgConnection::connect_with(&self.inner.options))
                    .await
                    .map_err(|_| sqlx::Error::PoolTimedOut)??,
            };
            match query().fetch_optional(&mut conn).await {
                // They may all have died with it.
                Err(dead) if is_used && is_connection_failure(&dead) => {}
                Err(failed) if is_connection_failure(&failed) => return Err(failed),
                answer => {
                    let mut idle = self.idle();
                    if !self.inner.room.is_closed() {
                        idle.push(conn);
                    }
                    return answer;
                }
            }
        }
    }

    /// Refuses to look up any more, and closes the connections that are not in use; the others close when they are
    /// not any more.
    pub(super) async fn close(&self) {
        let idle = {
            let mut idle = self.idle();
            self.inner.room.close();
            std::mem::take(&mut *idle)
        };
        for conn in idle {
            let _ = conn.close().await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for LookUps {
    // Not the options: they hold the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookUps").finish_non_exhaustive()
    }
}
