#![expect(
    clippy::disallowed_methods,
    reason = "attacks a pool database, and shows its kernel tickets"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Either, Executor, Row};

use super::connections::Connections;
use super::lease::{Lease, Mode};
use super::options::ConnectionOptions;
use super::scope_keys::{KeySource, ScopeKeys};
use super::ticket::Admits;
use super::transaction::TransactionOptions;
use crate::client::{ClientId, Epoch};
use crate::directory::PoolRecord;
use crate::error::{self, Result};
use crate::plan::Guards;

/// The connections of a pool database as those who are served by it have them, for who tries what can be done over
/// them. Whether the database is safe is not asked: that is what is to be found out.
#[derive(Debug)]
pub(crate) struct ProbePool {
    connections: Arc<Connections>,
    guards: Guards,
}

/// A transaction on such a connection, that can be bound to one scratch client after the other: rows of both are in
/// it, and never outside.
#[derive(Debug)]
pub(crate) struct Probe {
    lease: Lease,
    connections: Arc<Connections>,
    pid: i32,
    turn: i64,
    /// The server's clock when it was asked, and when that was.
    clock: (Duration, Instant),
}

/// What the server said to a message.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The rows of all its statements, as text.
    pub(crate) rows: Vec<PgRow>,
    /// How many rows each statement that was done concerned.
    pub(crate) done: Vec<u64>,
    /// What ended it.
    pub(crate) refused: Option<sqlx::Error>,
}

/// What a ticket says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) client: ClientId,
    pub(crate) epoch: Epoch,
    pub(crate) pid: i32,
    pub(crate) turn: i64,
    /// How long ago it was made.
    pub(crate) age: Duration,
}

impl ProbePool {
    pub(crate) async fn open(
        pool: &PoolRecord,
        connect: PgConnectOptions,
        keys: Arc<dyn KeySource>,
        options: ConnectionOptions,
    ) -> Result<Self> {
        let label = format!("pool database {} ({})", pool.name, pool.id);
        let keys = ScopeKeys::read(keys).await?;
        let connections = Connections::new(label, connect, pool.binding, keys, options);
        Ok(Self {
            connections: Arc::new(connections),
            guards: Guards::default(),
        })
    }

    /// A transaction of the client, as a host begins one.
    pub(crate) async fn begin(&self, client: ClientId, epoch: Epoch) -> Result<Lease> {
        let scope = self.connections.scope(client, epoch, &self.guards);
        let share = self.connections.share(&self.guards);
        let mut lease = Lease::begin(&self.connections, scope, share, TransactionOptions::default()).await?;
        lease.expect_residue();
        Ok(lease)
    }

    /// A connection bound to the client, as for one statement of its own.
    pub(crate) async fn bound(&self, client: ClientId, epoch: Epoch) -> Result<Lease> {
        let scope = self.connections.scope(client, epoch, &self.guards);
        let share = self.connections.share(&self.guards);
        Lease::bound(&self.connections, scope, share, Mode::ReadWrite).await
    }

    /// A transaction that is bound to nobody yet.
    pub(crate) async fn probe(&self, client: ClientId, epoch: Epoch) -> Result<Probe> {
        let lease = self.begin(client, epoch).await?;
        let mut probe = Probe {
            lease,
            connections: Arc::clone(&self.connections),
            pid: 0,
            turn: 0,
            clock: (Duration::ZERO, Instant::now()),
        };
        probe.hello().await?;
        Ok(probe)
    }

    /// Runs statements in one message on a lease of this pool; what the server refuses is part of the answer.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub(crate) async fn say(&self, lease: &mut Lease, sql: &str) -> Result<Answer> {
        say(&self.connections, lease, sql).await
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

impl Probe {
    /// Has the session be bound to nobody, and know its backend and turn.
    async fn hello(&mut self) -> Result<()> {
        let answer = self
            .send("select h.pid::text, h.turn::text, h.seconds::text from tenantry.hello() h")
            .await?;
        let number = |at: usize| answer.text(at).and_then(|text| text.parse::<i64>().ok());
        if let (Some(pid), Some(turn), Some(seconds)) = (number(0), number(1), number(2)) {
            self.pid = i32::try_from(pid).unwrap_or_default();
            self.turn = turn;
            let seconds = Duration::from_secs(seconds.unsigned_abs());
            self.clock = (seconds, Instant::now());
            return Ok(());
        }
        let source = answer.refused.unwrap_or(sqlx::Error::RowNotFound);
        Err(self.connections.unreachable("greeting its kernel", source))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn turn(&self) -> i64 {
        self.turn
    }

    /// A ticket as the library makes it.
    pub(crate) fn ticket(&self, says: Ticket) -> String {
        let now = self.clock.0 + self.clock.1.elapsed();
        self.connections.keys.mint().mint(Admits {
            client: says.client,
            epoch: says.epoch,
            pid: says.pid,
            turn: says.turn,
            now: now.saturating_sub(says.age),
        })
    }

    /// Binds the session to the client and runs the statements, in one message. The first row of the answer is the
    /// kernel's.
    pub(crate) async fn enter(&mut self, client: ClientId, epoch: Epoch, then: &str) -> Result<Answer> {
        let ticket = self.ticket(Ticket {
            client,
            epoch,
            pid: self.pid,
            turn: self.turn,
            age: Duration::ZERO,
        });
        self.show(&ticket, then).await
    }

    /// Shows the kernel a ticket.
    pub(crate) async fn show(&mut self, ticket: &str, then: &str) -> Result<Answer> {
        let answer = self
            .send(&format!("select tenantry.enter('{ticket}'); {then}"))
            .await?;
        let next = answer
            .text(0)
            .and_then(|status| status.split_once(' ')?.1.parse().ok());
        if let Some(next) = next {
            self.turn = next;
        }
        Ok(answer)
    }

    /// Runs statements in one message; what the server refuses is part of the answer.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub(crate) async fn send(&mut self, sql: &str) -> Result<Answer> {
        say(&self.connections, &mut self.lease, sql).await
    }

    /// Copies out: how many bytes came.
    pub(crate) async fn copy_out(&mut self, sql: &str) -> Result<sqlx::Result<usize>> {
        let conn = self.lease.connection()?;
        let copied = async {
            let stream = conn.copy_out_raw(sql).await?;
            stream
                .try_fold(0, |sum, bytes| async move { Ok(sum + bytes.len()) })
                .await
        };
        let copied = copied.await;
        self.told(copied)
    }

    /// Begins to copy in, and gives it up where that is taken.
    pub(crate) async fn copy_in(&mut self, sql: &str) -> Result<sqlx::Result<()>> {
        let conn = self.lease.connection()?;
        let copied = async { conn.copy_in_raw(sql).await?.abort("only tried").await };
        let copied = copied.await;
        self.told(copied)
    }

    fn told<T>(&self, outcome: sqlx::Result<T>) -> Result<sqlx::Result<T>> {
        match outcome {
            Err(failed) if error::is_connection_failure(&failed) => {
                Err(self.connections.unreachable("attacking", failed))
            }
            outcome => Ok(outcome),
        }
    }

    /// Rolls back and has the connection be as good as new, or closes it.
    ///
    /// # Cancel safety
    /// Dropped, as dropped before: the connection is made good behind the caller, or closed.
    pub(crate) async fn end(self) {
        if let Err(error) = self.lease.made_good().await {
            tracing::debug!(%error, "a connection was closed after an attack");
        }
    }
}

async fn say(connections: &Connections, lease: &mut Lease, sql: &str) -> Result<Answer> {
    let mut answer = Answer::default();
    let conn = lease.connection()?;
    let mut answers = conn.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
    loop {
        match answers.next().await {
            Some(Ok(Either::Left(done))) => answer.done.push(done.rows_affected()),
            Some(Ok(Either::Right(row))) => answer.rows.push(row),
            Some(Err(failed)) if error::is_connection_failure(&failed) => {
                return Err(connections.unreachable("attacking", failed));
            }
            Some(Err(refused)) => {
                answer.refused = Some(refused);
                return Ok(answer);
            }
            None => return Ok(answer),
        }
    }
}

impl Answer {
    /// A column of the first row.
    pub(crate) fn text(&self, column: usize) -> Option<String> {
        self.rows.first().and_then(|row| text(row, column))
    }

    /// A column of the last row.
    pub(crate) fn last(&self, column: usize) -> Option<String> {
        self.rows.last().and_then(|row| text(row, column))
    }
}

/// A column of a row that came as text.
pub(crate) fn text(row: &PgRow, column: usize) -> Option<String> {
    row.try_get_unchecked::<Option<String>, _>(column).ok().flatten()
}
