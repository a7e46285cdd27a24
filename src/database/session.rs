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
use super::timeouts::Timeouts;
use super::transaction::TransactionOptions;
use crate::client::{ClientId, Epoch};

/// A connection to a pool database, and what is known of its session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: PgConnection,
    pub(super) born: Instant,
    /// Whether it served before; a fault of a connection that did may be the fault of its age.
    pub(super) used: bool,
    /// Whether statements that the library did not make have run since it was cleaned.
    pub(super) residue: bool,
    backend: Backend,
    clock: Clock,
    /// What the kernel has it bound to; `None` where that is nobody, or not known.
    bound: Option<Bound>,
    /// Those it has unless told otherwise, and those it has now.
    pool_timeouts: Timeouts,
    timeouts: Timeouts,
    /// How often it was made anew.
    resets: u64,
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

/// What is behind a connection.
#[derive(Clone, Debug)]
enum Backend {
    /// One server process, whose tickets are of no use to another: its pid, and the number that the next
    /// ticket carries.
    Own { pid: i32, turn: i64 },
    /// A pooler, which gives each transaction whatever session it has, and what each is told of settings.
    Pooled { pins: Arc<str> },
}

/// The server's clock when it was asked, as time since 1970, and when that was. The clocks of two machines
/// differ; the passing of time does not.
#[derive(Debug)]
struct Clock {
    then: Duration,
    asked: Instant,
}

/// What a session is to be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) client: ClientId,
    pub(super) epoch: Epoch,
    pub(super) timeouts: Timeouts,
}

/// What a session is bound to, and the ticket that did it.
#[derive(Debug)]
struct Bound {
    client: ClientId,
    epoch: Epoch,
    ticket: String,
}

/// What the kernel answered to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Entered,
    Moved,
    Relocating,
    Suspended,
    /// A session behind a pooler that had to be told first that nobody is bound to it.
    Unknown,
    Forged,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the check that its scope is still the one that it was begun with.
    Commit,
    Rollback,
}

const HELLO: &str = "SELECT h.pid AS tenantry_pid, h.turn AS tenantry_turn, h.seconds AS tenantry_seconds \
     FROM tenantry.hello() h";

/// Whatever the app role has stored about its transactions.
const UNBIND_POOLED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; \
     SELECT h.seconds AS tenantry_seconds FROM tenantry.hello() h; COMMIT";

impl Session {
    /// A session of a connection that was just made; with pins, behind a pooler.
    pub(super) async fn open(
        mut conn: PgConnection,
        pins: Option<Arc<str>>,
        timeouts: Timeouts,
        open: Open,
    ) -> sqlx::Result<Self> {
        // In the simple protocol, as everything that may meet a pooler outside a transaction.
        let hello = if pins.is_some() { UNBIND_POOLED } else { HELLO };
        let rows = conn.fetch_all(sqlx::raw_sql(hello)).await?;
        let clock = Clock {
            then: Duration::from_secs(number(&rows, "tenantry_seconds")?),
            asked: Instant::now(),
        };
        let backend = match pins {
            Some(pins) => Backend::Pooled { pins },
            None => Backend::Own {
                pid: number(&rows, "tenantry_pid")?,
                turn: number(&rows, "tenantry_turn")?,
            },
        };
        Ok(Self {
            conn,
            born: Instant::now(),
            used: false,
            residue: false,
            backend,
            clock,
            bound: None,
            pool_timeouts: timeouts,
            timeouts,
            resets: 0,
            _open: open,
        })
    }

    /// Whether it is bound to anybody.
    pub(super) fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    /// Whether a statement for that scope may be sent as it is.
    pub(super) fn is_bound_to(&self, scope: Scope) -> bool {
        let bound = self.bound.as_ref();
        bound.is_some_and(|bound| (bound.client, bound.epoch) == (scope.client, scope.epoch))
            && self.timeouts == scope.timeouts
            && !self.residue
    }

    /// Whether it is behind a pooler: bound in transactions alone, and without statements of its own.
    pub(super) fn is_pooled(&self) -> bool {
        matches!(self.backend, Backend::Pooled { .. })
    }

    /// Binds it, in one message; with options, inside the transaction that this begins. Behind a pooler there
    /// is no other way.
    ///
    /// # Cancel safety
    /// Dropped, the session is in an unknown state: [`reset`](Self::reset) it or close it.
    pub(super) async fn bind(
        &mut self,
        mint: &TicketMint,
        scope: Scope,
        begin: Option<TransactionOptions>,
    ) -> sqlx::Result<Answered> {
        let (pid, turn) = match self.backend {
            Backend::Own { pid, turn } => (pid, turn),
            Backend::Pooled { .. } => (0, 0),
        };
        let ticket = mint.mint(Admits {
            client: scope.client,
            epoch: scope.epoch,
            pid,
            turn,
            now: self.clock.then + self.clock.asked.elapsed(),
        });
        let plain = !self.residue && self.timeouts == scope.timeouts && begin.is_none() && !self.is_pooled();
        self.bound = None;
        let status: String = if plain {
            // Prepared once for each connection, it costs the server half.
            sqlx::query_scalar("SELECT tenantry.enter($1)")
                .bind(&ticket)
                .fetch_one(&mut self.conn)
                .await?
        } else {
            let batch = self.binding(&ticket, scope, begin);
            let rows = self.conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(batch))).await?;
            self.expect_cleared(&rows)?;
            last(&rows, "tenantry_status")?
        };
        if !self.is_pooled() {
            self.residue = false;
            self.timeouts = scope.timeouts;
        }
        let (word, next) = status.split_once(' ').unwrap_or((&status, ""));
        if let (Backend::Own { turn, .. }, Ok(next)) = (&mut self.backend, next.parse()) {
            *turn = next;
        }
        let answered = match word {
            "entered" => Answered::Entered,
            "moved" => Answered::Moved,
            "relocating" => Answered::Relocating,
            "suspended" => Answered::Suspended,
            "unknown" => Answered::Unknown,
            _ => Answered::Forged,
        };
        if answered == Answered::Entered {
            self.bound = Some(Bound {
                client: scope.client,
                epoch: scope.epoch,
                ticket,
            });
        }
        Ok(answered)
    }

    /// Begins a transaction of whom it is bound to, in one message. The kernel checks as in any statement, and
    /// takes the client's lock for the transaction. Says whether it names the same client.
    ///
    /// # Errors
    /// Among others those of a lost scope, where the transaction is open and has failed.
    ///
    /// # Cancel safety
    /// As [`bind`](Self::bind).
    pub(super) async fn begin(&mut self, options: TransactionOptions) -> sqlx::Result<bool> {
        let mut batch = options.begin().to_owned();
        batch.push_str("; SELECT tenantry.current_client()::text AS tenantry_client");
        if let Some(read_only) = options.after_begin() {
            let _ = write!(batch, "; {read_only}");
        }
        let rows = self.conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(batch))).await?;
        let client: String = last(&rows, "tenantry_client")?;
        let bound = self.bound.as_ref();
        Ok(bound.is_some_and(|bound| bound.client.to_string() == client))
    }

    /// The message that binds.
    fn binding(&self, ticket: &str, scope: Scope, begin: Option<TransactionOptions>) -> String {
        let mut batch = String::with_capacity(480);
        // Writing to a String cannot fail.
        match &self.backend {
            Backend::Own { .. } => {
                let mut timeouts = self.timeouts;
                if self.residue {
                    batch.push_str(residue::CLEAR);
                    batch.push_str("; ");
                    timeouts = self.pool_timeouts;
                }
                if let Some(calls) = scope.timeouts.set(timeouts, false) {
                    let _ = write!(batch, "SELECT {calls}; ");
                }
                if !batch.is_empty() {
                    // What follows is not of the transaction that the old settings began, and a rollback of it
                    // takes nothing of this back. A commit alone would do, and warn.
                    batch.push_str("BEGIN; COMMIT; ");
                }
            }
            // Whoever had the session before: nothing is asked of them.
            Backend::Pooled { .. } => {
                batch.push_str(residue::CLEAR_POOLED);
                batch.push_str("; BEGIN; COMMIT; ");
            }
        }
        if let Some(options) = begin {
            let _ = write!(batch, "{}; ", options.begin());
        }
        if let Backend::Pooled { pins } = &self.backend {
            let _ = write!(batch, "SELECT {pins}; ");
            if let Some(calls) = scope.timeouts.set(self.pool_timeouts, true) {
                let _ = write!(batch, "SELECT {calls}; ");
            }
        }
        let _ = write!(batch, "SELECT tenantry.enter('{ticket}') AS tenantry_status");
        if let Some(read_only) = begin.and_then(TransactionOptions::after_begin) {
            let _ = write!(batch, "; {read_only}");
        }
        batch
    }

    /// The message that ends a transaction and, with it, what its statements left.
    pub(super) fn ending(&self, end: End) -> String {
        let ticket = self.bound.as_ref().map_or("", |bound| &bound.ticket);
        let mut batch = match end {
            // Nothing but the host's statements can have changed the scope. A query of nothing fails where the
            // transaction has failed already; a commit would answer as if all were well.
            End::Commit if !self.residue => "SELECT; COMMIT".to_owned(),
            End::Commit => format!("SELECT tenantry.leave('{ticket}'); COMMIT"),
            End::Rollback => "ROLLBACK".to_owned(),
        };
        let mut push = |statement| {
            batch.push_str("; ");
            batch.push_str(statement);
        };
        match (&self.backend, self.residue) {
            (Backend::Own { .. }, false) => {}
            (Backend::Own { .. }, true) => push(residue::CLEAR),
            (Backend::Pooled { .. }, residue) => {
                if residue {
                    push(residue::CLEAR_POOLED);
                    push("BEGIN; COMMIT");
                }
                push(UNBIND_POOLED);
            }
        }
        batch
    }

    /// Ends whatever the session was in the middle of, and unbinds it. Its own pid in the answer shows that
    /// replies and requests are in step again.
    pub(super) async fn reset(&mut self) -> sqlx::Result<()> {
        self.bound = None;
        self.resets += 1;
        let step = self.resets;
        let batch = match &self.backend {
            // Where the message goes if no transaction was open is the pooler's to say: it has nothing to
            // clear there. Where one was, its session gets it.
            Backend::Pooled { .. } => {
                format!("{}; SELECT {step} AS tenantry_step", self.ending(End::Rollback))
            }
            Backend::Own { .. } => {
                self.residue = true;
                format!("ROLLBACK; {}; BEGIN; COMMIT; {HELLO}", residue::CLEAR)
            }
        };
        let rows = self.conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(batch))).await?;
        match &mut self.backend {
            Backend::Pooled { .. } => {
                if number::<u64>(&rows, "tenantry_step")? != step {
                    return Err(out_of_step());
                }
                self.residue = false;
            }
            Backend::Own { pid, turn } => {
                let (answered, next) = (
                    number::<i32>(&rows, "tenantry_pid")?,
                    number(&rows, "tenantry_turn")?,
                );
                if answered != *pid {
                    return Err(out_of_step());
                }
                *turn = next;
                self.cleared(&rows, End::Rollback)?;
            }
        }
        Ok(())
    }

    /// Clears what the host's statements left outside a transaction.
    pub(super) async fn clean(&mut self) -> sqlx::Result<()> {
        let rows = self.conn.fetch_all(sqlx::raw_sql(residue::CLEAR)).await?;
        self.cleared(&rows, End::Rollback)
    }

    /// The session after a message that ended a transaction, and cleared, if there was residue. Statements of
    /// the host may have spoken to the kernel: unless its scope was checked as they ended, it is bound anew
    /// before its next use.
    pub(super) fn cleared(&mut self, rows: &[PgRow], end: End) -> sqlx::Result<()> {
        self.expect_cleared(rows)?;
        if self.is_pooled() || (self.residue && end == End::Rollback) {
            self.bound = None;
        }
        if self.residue {
            self.residue = false;
            self.timeouts = self.pool_timeouts;
        }
        Ok(())
    }

    /// Where there was residue, the rows must say that it is gone. Behind a pooler there is nothing to see: a
    /// session that cannot be cleared is gone.
    fn expect_cleared(&self, rows: &[PgRow]) -> sqlx::Result<()> {
        if !self.residue || self.is_pooled() || rows.iter().any(|row| residue::is_cleared(&self.conn, row)) {
            return Ok(());
        }
        Err(sqlx::Error::Protocol(residue::NOT_CLEARED.to_owned()))
    }
}

/// A column of the last row of a message's answers, which are all text.
fn last<T>(rows: &[PgRow], column: &str) -> sqlx::Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    rows.last()
        .ok_or(sqlx::Error::RowNotFound)?
        .try_get_unchecked(column)
}

fn number<T: std::str::FromStr>(rows: &[PgRow], column: &str) -> sqlx::Result<T> {
    last::<String>(rows, column)?.parse().map_err(|_| out_of_step())
}

fn out_of_step() -> sqlx::Error {
    sqlx::Error::Protocol("replies are out of step with requests".to_owned())
}
