#![expect(
    clippy::disallowed_methods,
    reason = "binds sessions, and begins and ends transactions, of pool databases"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::StreamExt;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection};

use super::admission::Permit;
use super::connections::{Connections, Repair};
use super::residue;
use super::session::{Answered, Scope, Session};
use super::ticket::TicketMint;
use crate::client::{ClientId, ClientStatus, Epoch};
use crate::error::{self, Error, Result};

/// Whether a statement may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadOnly,
    ReadWrite,
}

/// A connection of a pool database that is bound to one client.
///
/// There is no lease outside a scope. Dropped in any state, its connection is made good before anyone else
/// gets it, or closed.
#[derive(Debug)]
pub(crate) struct Lease {
    // `None` only after the connection was given back.
    held: Option<(Session, Permit)>,
    connections: Arc<Connections>,
    client: ClientId,
    /// The ticket that the transaction was entered with.
    ticket: String,
    /// Whether the session is outside any transaction and has answered all it was asked.
    idle: bool,
}

/// Isolation is said, so that no stored default of a role decides it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";

impl Lease {
    /// A connection bound to the client, for one statement in autocommit: no round trip where an idle one is
    /// bound to it, else one.
    ///
    /// # Cancel safety
    /// Dropped at any point, the connection is made good or closed.
    pub(super) async fn bound(
        connections: &Arc<Connections>,
        mint: &TicketMint,
        client: ClientId,
        epoch: Epoch,
    ) -> Result<Self> {
        let scope = Scope { client, epoch };
        let mut lease = Self::take(connections, scope).await?;
        if lease.session()?.is_bound_to(scope) {
            connections.counters.hits.count();
        } else {
            lease.enter(mint, scope, None).await?;
            lease.idle = true;
        }
        Ok(lease)
    }

    /// A transaction bound to the client, begun and bound in one message.
    ///
    /// # Cancel safety
    /// Dropped at any point, the connection is made good or closed.
    pub(super) async fn begin(
        connections: &Arc<Connections>,
        mint: &TicketMint,
        client: ClientId,
        epoch: Epoch,
    ) -> Result<Self> {
        let scope = Scope { client, epoch };
        let mut lease = Self::take(connections, scope).await?;
        lease.enter(mint, scope, Some(BEGIN)).await?;
        Ok(lease)
    }

    /// The connection. Until [`answered`](Self::answered) or the end of the transaction its state counts as
    /// unknown.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.idle = false;
        Ok(&mut self.session()?.conn)
    }

    /// Whether the connection served before.
    pub(crate) fn is_used(&self) -> bool {
        self.held.as_ref().is_some_and(|(session, _)| session.used)
    }

    /// Says that a statement in autocommit was answered, well or not: the session is outside any transaction.
    pub(crate) fn answered(&mut self) {
        self.idle = true;
    }

    /// Says that statements of the host run on the connection, which can leave something behind.
    pub(crate) fn expect_residue(&mut self) {
        if let Some((session, _)) = &mut self.held {
            session.residue = true;
        }
    }

    /// The lease bound anew, after the kernel refused a statement in autocommit for want of a scope.
    pub(super) async fn bound_again(mut self, mint: &TicketMint, epoch: Epoch) -> Result<Self> {
        let client = self.client;
        self.enter(mint, Scope { client, epoch }, None).await?;
        self.idle = true;
        Ok(self)
    }

    /// A lease on a new connection bound to the same client, in place of one that turned out dead.
    pub(super) async fn replaced(mut self, mint: &TicketMint, epoch: Epoch) -> Result<Self> {
        self.replace().await?;
        self.enter(
            mint,
            Scope {
                client: self.client,
                epoch,
            },
            None,
        )
        .await?;
        self.idle = true;
        Ok(self)
    }

    /// Commits, in one message with the check that the scope is still the one that was entered.
    ///
    /// # Cancel safety
    /// Dropped after the message was sent, the transaction may have committed.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let mut batch = String::with_capacity(480);
        let _ = write!(batch, "SELECT tenantry.leave('{}'); COMMIT", self.ticket);
        self.push_clean(&mut batch);
        let client = self.client;
        let mut answers = self.connection()?.fetch_many(sqlx::raw_sql(AssertSqlSafe(batch)));
        // The second statement to be done is COMMIT: what fails after it leaves the work done and the
        // connection to be repaired.
        let (mut done, mut rows) = (0, Vec::new());
        let failed = loop {
            match answers.next().await {
                Some(Ok(Either::Left(_))) => done += 1,
                Some(Ok(Either::Right(row))) => rows.push(row),
                Some(Err(failed)) => break Some(failed),
                None => break None,
            }
        };
        drop(answers);
        match failed {
            None => self.ended(&rows),
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
        let mut batch = String::from("ROLLBACK");
        self.push_clean(&mut batch);
        let rows = self
            .connection()?
            .fetch_all(sqlx::raw_sql(AssertSqlSafe(batch)))
            .await
            .map_err(|source| Error::of_statement(client, "rollback", source))?;
        self.ended(&rows);
        Ok(())
    }

    async fn take(connections: &Arc<Connections>, scope: Scope) -> Result<Self> {
        let permit = connections.permit(scope.client).await?;
        let session = match connections.idle(scope) {
            Some(session) => session,
            // Boxed, so that a connection that is there does not move the state of one that is not.
            None => Box::pin(connections.connect()).await?,
        };
        Ok(Self {
            held: Some((session, permit)),
            connections: Arc::clone(connections),
            client: scope.client,
            ticket: String::new(),
            idle: true,
        })
    }

    async fn enter(&mut self, mint: &TicketMint, scope: Scope, begin: Option<&str>) -> Result<()> {
        self.connections.counters.binds.count();
        self.idle = false;
        let used = self.is_used();
        let mut answered = self.session()?.bind(mint, scope, begin).await;
        let damaged = match &answered {
            // Its turn is another, or none: host code has spoken to the kernel past the library.
            Err(failed) => error::is_connection_failure(failed) || has_no_turn(failed),
            Ok((answered, _)) => *answered == Answered::Forged,
        };
        // Nothing but the binding was sent, so another connection may try. One just made is not likely to be
        // bettered by a newer one.
        if used && damaged {
            tracing::debug!(database = self.connections.label, "a dead connection is replaced");
            self.replace().await?;
            answered = self.session()?.bind(mint, scope, begin).await;
        }
        let (answered, ticket) = answered.map_err(|source| self.not_entered(source))?;
        self.ticket = ticket;
        self.admitted(answered)
    }

    async fn replace(&mut self) -> Result<()> {
        let (dead, permit) = self.held.take().ok_or(Error::Closed)?;
        drop(dead);
        self.connections.counters.broken.count();
        self.held = Some((Box::pin(self.connections.connect()).await?, permit));
        Ok(())
    }

    fn session(&mut self) -> Result<&mut Session> {
        self.held
            .as_mut()
            .map(|(session, _)| session)
            .ok_or(Error::Closed)
    }

    fn push_clean(&self, batch: &mut String) {
        if self.held.as_ref().is_some_and(|(session, _)| session.residue) {
            batch.push_str("; ");
            batch.push_str(residue::CLEAR);
        }
    }

    /// The transaction is over; where the host's statements ran, the rows say whether the session is clean. One
    /// that is not closes.
    fn ended(&mut self, rows: &[PgRow]) {
        let Some((session, _)) = &mut self.held else {
            return;
        };
        match session.cleared(rows) {
            Ok(()) => self.idle = true,
            Err(reason) => {
                let (client, database) = (self.client, &self.connections.label);
                tracing::warn!(%client, database, %reason, "a connection was closed");
                self.connections.counters.broken.count();
                self.held = None;
            }
        }
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

    fn admitted(&self, answered: Answered) -> Result<()> {
        let client = self.client;
        if answered != Answered::Entered {
            self.connections.counters.refused.count();
        }
        match answered {
            Answered::Entered => Ok(()),
            Answered::Moved => Err(Error::Moved { client }),
            Answered::Relocating => Err(Error::Relocating { client }),
            Answered::Suspended => Err(Error::NotServed {
                client,
                status: ClientStatus::Suspended,
            }),
            Answered::Forged => Err(Error::ScopeRefused {
                client,
                step: "entering",
                reason: "the kernel does not admit the ticket; is the scope key of the pool the right one?"
                    .to_owned(),
            }),
        }
    }
}

/// The last values of the session's sequences, the kernel's among them, were discarded.
fn has_no_turn(failed: &sqlx::Error) -> bool {
    failed
        .as_database_error()
        .and_then(DatabaseError::code)
        .as_deref()
        == Some("55000")
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((session, permit)) = self.held.take() else {
            return;
        };
        if !self.idle {
            self.connections.repair(session, permit, Repair::Reset);
        } else if session.residue {
            self.connections.repair(session, permit, Repair::Clean);
        } else {
            self.connections.give_back(session);
            drop(permit);
        }
    }
}
