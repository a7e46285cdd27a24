#![expect(clippy::disallowed_methods, reason = "locks names in the platform database")]

use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::platform::PlatformDirectory;

/// How long the session of one that was dropped, or of a process that ended, may take to end as well.
pub(crate) const PARTING: Duration = Duration::from_secs(1);

/// The pause between two looks at whether somebody is at it yet, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Whoever is at something that one alone may be at, by its name. It ends with the session that holds it, and so with
/// the process. Dropped before its end, its connection closes: given back, it could still hold the lock.
pub(crate) struct Lease {
    // `None` only after it was given back.
    conn: Option<PoolConnection<Postgres>>,
    name: String,
}

impl Lease {
    /// `None` where somebody else is at it. With an expiry the server ends it once its session is silent for so long:
    /// whoever holds it must then work [`during`](Self::during) it.
    async fn take(
        platform: &PlatformDirectory,
        name: String,
        expiry: Option<Duration>,
    ) -> sqlx::Result<Option<Self>> {
        let mut lease = Self {
            conn: Some(platform.lock_connection().await?),
            name,
        };
        let taken = lease
            .says(
                "select pg_try_advisory_lock(hashtextextended($1, 1413828180))
                    and set_config('idle_session_timeout', $2, false) is not null",
                expiry.unwrap_or_default(),
            )
            .await?;
        Ok(taken.then_some(lease))
    }

    /// As [`take`](Self::take), from somebody who lets it go within that time.
    pub(crate) async fn take_within(
        platform: &PlatformDirectory,
        name: &str,
        expiry: Option<Duration>,
        wait: Duration,
    ) -> sqlx::Result<Option<Self>> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let taken = Self::take(platform, name.to_owned(), expiry).await?;
            if taken.is_some() || began.elapsed().saturating_add(pause) > wait {
                return Ok(taken);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Does the work, and says every so often that it is still at it: a process that is frozen says nothing.
    pub(crate) async fn during<T>(&mut self, every: Duration, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = tokio::time::timeout(every, &mut work).await {
                return done;
            }
            // Whoever lost it finds out where it matters: by the number of its attempt.
            if let Ok(conn) = self.conn() {
                let said = sqlx::query("select").execute(conn).await;
                if let Err(error) = said {
                    tracing::warn!(name = self.name, %error, "a lease may be lost");
                }
            }
        }
    }

    /// The session that holds it: what is written there is not written by somebody who lost it.
    pub(crate) fn conn(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.conn.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Lets others at it. Where that cannot be said, the connection closes.
    pub(crate) async fn end(mut self) {
        let unlocked = self.says(
            "select pg_advisory_unlock(hashtextextended($1, 1413828180))
                and set_config('idle_session_timeout', $2, false) is not null",
            Duration::ZERO,
        );
        if matches!(unlocked.await, Ok(true)) {
            drop(self.conn.take());
        }
    }

    async fn says(&mut self, sql: &'static str, silence: Duration) -> sqlx::Result<bool> {
        let (name, silence) = (self.name.clone(), silence.as_millis().to_string());
        let said = sqlx::query_scalar(sql).bind(name).bind(silence);
        said.fetch_one(self.conn()?).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.name).finish()
    }
}
