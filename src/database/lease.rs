#![expect(
    clippy::disallowed_methods,
    reason = "begins, scopes and ends the transactions of pool databases"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::StreamExt;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection, Row};
use tokio::sync::OwnedSemaphorePermit;

use super::connections::{Connected, Connections};
use super::residue;
use super::ticket::TicketMint;
use crate::client::{ClientId, ClientStatus, Epoch};
use crate::error::{self, Error, Result};

/// Whether a transaction may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadOnly,
    ReadWrite,
}

/// A connection of a pool database inside a transaction that is bound to one client.
///
/// There is no lease outside a scope. Dropped in any state, its connection is rolled back and cleaned before
/// anyone else gets it, or closed.
#[derive(Debug)]
pub(crate) struct Lease {
    // `None` only after the connection was given back.
    held: Option<(Connected, OwnedSemaphorePermit)>,
    connections: Arc<Connections>,
    client: ClientId,
    ticket: String,
    /// Whether statements that the library did not make itself have run.
    residue: bool,
}

impl Lease {
    /// Begins a transaction and binds it to the client, in one message.
    ///
    /// # Cancel safety
    /// Dropped at any point, the connection is reclaimed or closed.
    pub(super) async fn enter(
        connections: &Arc<Connections>,
        mint: &TicketMint,
        client: ClientId,
        epoch: Epoch,
        mode: Mode,
    ) -> Result<Self> {
        let permit = connections.permit(Some(client)).await?;
        let connected = match connections.idle() {
            Some(connected) => connected,
            None => connections.connect().await?,
        };
        let used = connected.used;
        let mut lease = Self {
            held: Some((connected, permit)),
            connections: Arc::clone(connections),
            client,
            ticket: String::new(),
            residue: false,
        };
        match lease.begin(mint, epoch, mode).await {
            // Nothing but the begin was sent, so another connection may try. A connection just made is not
            // likely to be mended by a newer one.
            Err(failed) if used && error::is_connection_failure(&failed) => {
                tracing::debug!(database = connections.label, error = %failed, "a dead connection is replaced");
                lease.replace().await?;
                lease.begin(mint, epoch, mode).await
            }
            answered => answered,
        }
        .map_err(|source| lease.not_entered(source))
        .and_then(|status| lease.admitted(&status))?;
        Ok(lease)
    }

    /// The connection, inside the transaction.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        match &mut self.held {
            Some((connected, _)) => Ok(&mut connected.conn),
            None => Err(Error::Closed),
        }
    }

    /// Says that statements of the host run on the connection, which can leave something behind.
    pub(crate) fn expect_residue(&mut self) {
        self.residue = true;
    }

    /// Commits, in one message with the check that the scope is still the one that was entered.
    ///
    /// # Cancel safety
    /// Dropped after the message was sent, the transaction may have committed.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let Some((connected, _)) = &mut self.held else {
            return Err(Error::Closed);
        };
        let mut batch = String::with_capacity(1600);
        batch.push_str("SELECT ");
        connected.push_out_of_sight(&mut batch);
        let _ = write!(batch, "tenantry.leave('{}'); COMMIT", self.ticket);
        if self.residue {
            batch.push_str("; ");
            batch.push_str(residue::CLEAR);
        }
        let client = self.client;
        let mut answers = connected.conn.fetch_many(sqlx::raw_sql(AssertSqlSafe(batch)));
        // The second statement to be done is COMMIT: what fails after it leaves the work done and the
        // connection to be reclaimed.
        let (mut done, mut last) = (0, None);
        let failed = loop {
            match answers.next().await {
                Some(Ok(Either::Left(_))) => done += 1,
                Some(Ok(Either::Right(row))) => last = Some(row),
                Some(Err(failed)) => break Some(failed),
                None => break None,
            }
        };
        drop(answers);
        match failed {
            None => self.give_back(last.as_ref()),
            Some(failed) if done >= 2 => {
                tracing::warn!(%client, error = %failed, "a connection could not be cleaned after a commit");
            }
            Some(source) if error::is_connection_failure(&source) => {
                return Err(Error::CommitUnknown {
                    client,
                    source: source.into(),
                });
            }
            Some(source) => return Err(Error::of_statement(client, "commit", source)),
        }
        Ok(())
    }

    /// Rolls back and waits for it.
    pub(crate) async fn rollback(mut self) -> Result<()> {
        let client = self.client;
        let clear = if self.residue { residue::CLEAR } else { "" };
        let batch = format!("ROLLBACK; {clear}");
        let rows = self
            .connection()?
            .fetch_all(sqlx::raw_sql(AssertSqlSafe(batch)))
            .await
            .map_err(|source| Error::of_statement(client, "rollback", source))?;
        self.give_back(rows.last());
        Ok(())
    }

    /// Gives the connection back, outside any transaction and clean, or closes it where the last row of the
    /// cleaning does not say so.
    fn give_back(&mut self, last: Option<&PgRow>) {
        let Some((connected, permit)) = self.held.take() else {
            return;
        };
        if !self.residue || last.is_some_and(|row| residue::is_cleared(&connected.conn, row)) {
            self.connections.give_back(connected);
        } else {
            let (client, database) = (self.client, &self.connections.label);
            tracing::warn!(%client, database, reason = residue::NOT_CLEARED, "a connection was closed");
            drop(connected);
        }
        drop(permit);
    }

    /// `BEGIN` and `enter` in one message; the answer is the kernel's status.
    async fn begin(&mut self, mint: &TicketMint, epoch: Epoch, mode: Mode) -> sqlx::Result<String> {
        let Some((connected, _)) = &mut self.held else {
            return Err(sqlx::Error::PoolClosed);
        };
        self.ticket = mint.mint(self.client, epoch, &connected.backend);
        let mut batch = String::with_capacity(1200);
        batch.push_str(match mode {
            Mode::ReadOnly => "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY; SELECT ",
            Mode::ReadWrite => "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SELECT ",
        });
        connected.push_out_of_sight(&mut batch);
        let _ = write!(batch, "tenantry.enter('{}')", self.ticket);
        connected
            .conn
            .fetch_one(sqlx::raw_sql(AssertSqlSafe(batch)))
            .await?
            .try_get_unchecked(0)
    }

    async fn replace(&mut self) -> Result<()> {
        let Some((dead, permit)) = self.held.take() else {
            return Err(Error::Closed);
        };
        drop(dead);
        self.held = Some((self.connections.connect().await?, permit));
        Ok(())
    }

    fn not_entered(&self, source: sqlx::Error) -> Error {
        match source.as_database_error().and_then(DatabaseError::code) {
            // Query canceled, lock not available: whoever relocates the client holds its lock.
            Some(code) if matches!(&*code, "57014" | "55P03") => Error::Relocating { client: self.client },
            _ => self
                .connections
                .unreachable("entering the scope of a client", source),
        }
    }

    fn admitted(&self, status: &str) -> Result<()> {
        let client = self.client;
        match status {
            "entered" => Ok(()),
            "moved" => Err(Error::Moved { client }),
            "relocating" => Err(Error::Relocating { client }),
            "suspended" => Err(Error::NotServed {
                client,
                status: ClientStatus::Suspended,
            }),
            other => Err(Error::ScopeRefused {
                client,
                step: "entering",
                reason: format!("the kernel answered {other:?}; is the scope key of the pool the right one?"),
            }),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((connected, permit)) = self.held.take() {
            self.connections.reclaim(connected, permit, self.residue);
        }
    }
}
