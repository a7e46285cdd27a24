#![expect(
    clippy::disallowed_methods,
    reason = "speaks to a session of a pool database about its scope"
)]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::residue;
use super::ticket::{Admits, TicketMint};
use crate::client::{ClientId, Epoch};

/// A connection to a pool database, and what is known of its session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: PgConnection,
    pub(super) born: Instant,
    /// Whether it served before; a fault of a connection that did may be the fault of its age.
    pub(super) used: bool,
    backend: Backend,
    /// The client that the kernel has it bound to; `None` where that is nobody, or not known.
    bound: Option<(ClientId, Epoch)>,
    /// Whether statements that the library did not make have run since it was cleaned.
    pub(super) residue: bool,
    _open: Open,
}

/// Counts a connection as long as it is open.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

impl Open {
    pub(super) fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The server process behind a connection: its tickets are of no use to another.
#[derive(Debug)]
struct Backend {
    pid: i32,
    /// The number that the next ticket carries.
    turn: i64,
    /// The server's clock when it was asked, as time since 1970, and when that was. The clocks of two
    /// machines differ; the passing of time does not.
    clock: (Duration, Instant),
}

/// What a session is to be bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) client: ClientId,
    pub(super) epoch: Epoch,
}

/// What the kernel answered to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Entered,
    Moved,
    Relocating,
    Suspended,
    Forged,
}

impl Session {
    /// A session of a connection that was just made.
    pub(super) async fn open(mut conn: PgConnection, open: Open) -> sqlx::Result<Self> {
        let backend = Backend::hello(&mut conn).await?;
        Ok(Self {
            conn,
            born: Instant::now(),
            used: false,
            backend,
            bound: None,
            residue: false,
            _open: open,
        })
    }

    /// The client and epoch that it is bound to.
    pub(super) fn bound(&self) -> Option<(ClientId, Epoch)> {
        self.bound
    }

    /// Whether a statement for that scope may be sent as it is.
    pub(super) fn is_bound_to(&self, scope: Scope) -> bool {
        self.bound == Some((scope.client, scope.epoch)) && !self.residue
    }

    /// Binds it, in one message; with `begin`, inside the transaction that this begins.
    ///
    /// # Cancel safety
    /// Dropped, the session is in an unknown state: [`reset`](Self::reset) it or close it.
    pub(super) async fn bind(
        &mut self,
        mint: &TicketMint,
        scope: Scope,
        begin: Option<&str>,
    ) -> sqlx::Result<(Answered, String)> {
        let mut batch = String::with_capacity(320);
        if self.residue {
            // What follows is not of the transaction that the old settings began.
            batch.push_str(residue::CLEAR);
            batch.push_str("; COMMIT; ");
        }
        if let Some(begin) = begin {
            batch.push_str(begin);
            batch.push_str("; ");
        }
        let (then, asked) = self.backend.clock;
        let ticket = mint.mint(Admits {
            client: scope.client,
            epoch: scope.epoch,
            pid: self.backend.pid,
            turn: self.backend.turn,
            now: then + asked.elapsed(),
        });
        // Writing to a String cannot fail.
        let _ = write!(batch, "SELECT tenantry.enter('{ticket}') AS tenantry_status");
        self.bound = None;
        let rows = self.conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(batch))).await?;
        self.expect_cleared(&rows)?;
        let status: String = last(&rows, "tenantry_status")?;
        self.residue = false;
        let (word, turn) = status.split_once(' ').unwrap_or((&status, ""));
        if let Ok(turn) = turn.parse() {
            self.backend.turn = turn;
        }
        let answered = match word {
            "entered" => Answered::Entered,
            "moved" => Answered::Moved,
            "relocating" => Answered::Relocating,
            "suspended" => Answered::Suspended,
            _ => Answered::Forged,
        };
        if answered == Answered::Entered {
            self.bound = Some((scope.client, scope.epoch));
        }
        Ok((answered, ticket))
    }

    /// Ends whatever the session was in the middle of, and unbinds it. Its own pid in the answer shows that
    /// replies and requests are in step again.
    pub(super) async fn reset(&mut self) -> sqlx::Result<()> {
        self.bound = None;
        self.residue = true;
        let batch = format!(
            "ROLLBACK; {}; COMMIT; SELECT h.pid AS tenantry_pid, h.turn AS tenantry_turn FROM tenantry.hello() h",
            residue::CLEAR
        );
        let rows = self.conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(batch))).await?;
        self.expect_cleared(&rows)?;
        if last::<String>(&rows, "tenantry_pid")? != self.backend.pid.to_string() {
            return Err(out_of_step());
        }
        self.backend.turn = last::<String>(&rows, "tenantry_turn")?
            .parse()
            .map_err(|_| out_of_step())?;
        self.residue = false;
        Ok(())
    }

    /// Clears what the host's statements left outside a transaction.
    pub(super) async fn clean(&mut self) -> sqlx::Result<()> {
        let rows = self.conn.fetch_all(sqlx::raw_sql(residue::CLEAR)).await?;
        self.cleared(&rows)
    }

    /// The session after a batch that held [`residue::CLEAR`], if there was residue. Statements of the host
    /// may have spoken to the kernel: it is bound anew before its next use.
    pub(super) fn cleared(&mut self, rows: &[PgRow]) -> sqlx::Result<()> {
        self.expect_cleared(rows)?;
        if self.residue {
            self.bound = None;
            self.residue = false;
        }
        Ok(())
    }

    /// Where there was residue, the rows must say that it is gone.
    fn expect_cleared(&self, rows: &[PgRow]) -> sqlx::Result<()> {
        if !self.residue || rows.iter().any(|row| residue::is_cleared(&self.conn, row)) {
            return Ok(());
        }
        Err(sqlx::Error::Protocol(residue::NOT_CLEARED.to_owned()))
    }
}

impl Backend {
    async fn hello(conn: &mut PgConnection) -> sqlx::Result<Self> {
        let (pid, turn, seconds): (i32, i64, i64) =
            sqlx::query_as("select h.pid, h.turn, h.seconds from tenantry.hello() h")
                .persistent(false)
                .fetch_one(conn)
                .await?;
        let clock = (
            Duration::from_secs(seconds.try_into().unwrap_or_default()),
            Instant::now(),
        );
        Ok(Self { pid, turn, clock })
    }
}

/// A column of the last row of a batch's answers, which are all text.
fn last<T>(rows: &[PgRow], column: &str) -> sqlx::Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    rows.last()
        .ok_or(sqlx::Error::RowNotFound)?
        .try_get_unchecked(column)
}

fn out_of_step() -> sqlx::Error {
    sqlx::Error::Protocol("replies are out of step with requests".to_owned())
}
