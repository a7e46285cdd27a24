//! Waiting for locks in turns, so that nobody waits long behind whoever waits.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::blockers::{self, End, Held};
use super::session::Side;
use crate::error::{Error, RelocationError, Result};

/// How long others may wait behind whoever waits for a table.
const TURN: Duration = Duration::from_millis(50);

/// The pause after a turn, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Whether a lock was waited for in vain.
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    matches!(error.sqlstate().as_deref(), Some("55P03" | "40P01"))
}

pub(super) fn pause(turn: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(turn))
        .min(LONGEST_PAUSE)
}

/// Has the server give up maintaining tables, and not begin again before the end of the transaction. The server does so
/// once somebody has waited for its `deadlock_timeout`; clients do not wait behind this lock.
pub(super) fn unmaintained(side: &Side, tables: &[&str]) -> String {
    format!(
        "set local lock_timeout = {}; lock table {} in share update exclusive mode;",
        side.lock_timeout.as_millis(),
        tables.join(", ")
    )
}

/// Runs statements about a table in a transaction of their own, waiting for locks that keep others waiting no longer
/// than a turn at a time, and all in all no longer than the budget. Who was waited for is told then.
pub(super) async fn alone(
    side: &Side,
    conn: &mut PgConnection,
    (oid, table): (i64, &str),
    budget: Duration,
    step: &'static str,
    sql: &str,
) -> Result<()> {
    let began = Instant::now();
    let sql = format!(
        "begin; {} set local lock_timeout = {}; {sql} commit",
        unmaintained(side, &[table]),
        TURN.as_millis()
    );
    let mut turn = 0;
    loop {
        match side.run(conn, step, sql.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) => {
                side.run(conn, step, "rollback").await?;
                if !is_lock_timeout(&error) {
                    return Err(error);
                }
            }
        }
        if began.elapsed() > budget {
            let blockers = blockers::find(side, conn, Held::OnTables(&[oid]), End::Nobody).await?;
            return Err(Error::Relocation {
                client: side.client,
                step,
                source: RelocationError::NotDrained { blockers },
            });
        }
        tokio::time::sleep(pause(turn)).await;
        turn += 1;
    }
}
