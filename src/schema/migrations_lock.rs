#![expect(clippy::disallowed_methods, reason = "bounds the wait for a lock")]

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::migrate::{Migrate, MigrateError};
use uuid::Uuid;

/// Shorter than the server's `deadlock_timeout`. Who waits for the lock has a snapshot, which an index that is built
/// concurrently by whoever holds the lock waits for in turn: the one who waits must be the one that gives way.
const TURN: &str = "set lock_timeout = 300";

/// The longest pause after a turn, so that nothing waits for whoever waits.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes the lock that all of sqlx's migrators take on a database, for as long as the session lives or until it is
/// unlocked. An error of the code 55P03 where somebody else had it for so long.
pub(crate) async fn lock_migrations(conn: &mut PgConnection, wait: Duration) -> Result<(), MigrateError> {
    let began = Instant::now();
    loop {
        sqlx::raw_sql(TURN).execute(&mut *conn).await?;
        let locked = conn.lock().await;
        sqlx::raw_sql("reset lock_timeout").execute(&mut *conn).await?;
        match locked {
            Err(MigrateError::Execute(error)) if is_contended(&error) && began.elapsed() < wait => {
                // The server may have granted it in the moment that it gave up waiting: the statement failed, and a lock
                // of the session is not taken back with it. Where it was not granted, this is a warning.
                conn.unlock().await?;
                // At random, so that those who met once do not meet again.
                let random = Uuid::new_v4().as_bytes()[15];
                tokio::time::sleep(PAUSE / 2 + (PAUSE / 512).saturating_mul(random.into())).await;
            }
            locked => return locked,
        }
    }
}

/// Whether others held what was to be locked, or two waited for each other: nothing was done.
pub(crate) fn is_contended(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "55P03" | "40P01" | "40001"))
}
