#![expect(
    clippy::disallowed_methods,
    reason = "binds sessions, and begins and ends transactions, of pool databases"
)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection};

use super::admission::Permit;
use super::answer::within;
use super::connections::{Connections, Repair};
use super::session::{Answered, End, Scope, Session};
use super::statement_log::StatementLog;
use super::ticket::TicketMint;
use super::transaction::TransactionOptions;
use crate::client::{ClientId, ClientStatus};
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
    scope: Scope,
    /// Whether its answers may take however long the host has told the server.
    patient: bool,
    /// What made the ticket that it was bound with.
    mint: Arc<TicketMint>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside any transaction, and all that was asked is answered.
    Idle,
    /// A transaction that read is open, and all that was asked is answered.
    Read,
    /// Anything else.
    Unknown,
}

/// How many sessions of a pooler are told in a row that nobody is bound to them.
const MOST_UNKNOWN: usize = 100;

impl Lease {
    /// A connection bound to the client, for one statement by itself: in autocommit, with no round trip where
    /// an idle one is bound to it, else one; behind a pooler in a transaction that [`done`](Self::done) ends.
    ///
    /// # Cancel safety
    /// Dropped at any point, the connection is made good or closed.
    pub(super) async fn bound(
        connections: &Arc<Connections>,
        scope: Scope,
        share: usize,
        mode: Mode,
    ) -> Result<Self> {
        let mut lease = Self::take(connections, scope, share).await?;
        let session = lease.session()?;
        if session.is_pooled() {
            let options = TransactionOptions::default();
            let options = match mode {
                Mode::ReadOnly => options.read_only(),
                Mode::ReadWrite => options,
            };
            Box::pin(lease.enter(Some(options))).await?;
        } else if session.is_bound_to(scope) {
            connections.counters.hits.count();
        } else {
            // Boxed, so that a session that is bound does not move the state of one that is not.
            Box::pin(lease.enter(None)).await?;
        }
        Ok(lease)
    }

    /// A transaction bound to the client, begun and bound in one message.
    ///
    /// # Cancel safety
    /// Dropped at any point, the connection is made good or closed.
    pub(super) async fn begin(
        connections: &Arc<Connections>,
        scope: Scope,
        share: usize,
        options: TransactionOptions,
    ) -> Result<Self> {
        let mut lease = Self::take(connections, scope, share).await?;
        if !(options.is_fenced_by_statements() && lease.begin_bound(options).await?) {
            lease.enter(Some(options)).await?;
        }
        Ok(lease)
    }

    /// Begins a transaction on a session that is bound already. Says whether it did: where it is not, or the
    /// client's placement changed since, it is to be entered.
    async fn begin_bound(&mut self, options: TransactionOptions) -> Result<bool> {
        let (scope, timeout) = (self.scope, Some(self.bind_timeout()));
        let session = self.session()?;
        if session.is_pooled() || !session.is_bound_to(scope) {
            return Ok(false);
        }
        let begun = within(timeout, session.begin(options)).await;
        self.state = State::Unknown;
        match begun {
            Ok(true) => {
                self.connections.counters.hits.count();
                Ok(true)
            }
            Ok(false) => {
                self.reset().await?;
                Ok(false)
            }
            // Entering says what it means.
            Err(refused) if error::is_of_kernel(&refused) => {
                self.reset().await?;
                Ok(false)
            }
            // Entering replaces a dead connection.
            Err(failed) if error::is_connection_failure(&failed) => Ok(false),
            Err(failed) => Err(self.not_entered(failed)),
        }
    }

    /// The connection. Until the answer is [told](Self::done), or the end of the transaction, its state counts
    /// as unknown.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.state = State::Unknown;
        Ok(&mut self.session()?.conn)
    }

    /// The client that it is bound to.
    pub(crate) fn client(&self) -> ClientId {
        self.scope.client
    }

    /// Whether the connection served before.
    pub(crate) fn is_used(&self) -> bool {
        self.held.as_ref().is_some_and(|(session, _)| session.used)
    }

    /// Whether it is behind a pooler, where statements have no names, and one by itself is in a transaction.
    pub(crate) fn is_pooled(&self) -> bool {
        self.held.as_ref().is_some_and(|(session, _)| session.is_pooled())
    }

    /// How long an answer may take before the connection counts as lost.
    pub(crate) fn answer_timeout(&self) -> Option<Duration> {
        if self.patient {
            return None;
        }
        self.scope.timeouts.answer(self.connections.answer_grace())
    }

    /// Tells of a statement that is sent now.
    pub(crate) fn log<S: AsRef<str>>(&self, sql: S) -> StatementLog<S> {
        StatementLog::new(self.scope.client, sql, self.connections.slow_statement())
    }

    /// Says that a statement by itself was answered well: in autocommit it is done, and behind a pooler it is
    /// committed now, or, having read, rolled back behind the caller.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub(crate) async fn done(mut self, mode: Mode) -> Result<()> {
        match (self.is_pooled(), mode) {
            (false, _) => self.state = State::Idle,
            (true, Mode::ReadOnly) => self.state = State::Read,
            (true, Mode::ReadWrite) => Box::pin(self.commit()).await?,
        }
        Ok(())
    }

    /// Says that the database refused a statement by itself.
    pub(crate) fn failed(mut self) {
        self.state = if self.is_pooled() {
            State::Read
        } else {
            State::Idle
        };
    }

    /// Says that the host sets the statement timeout by itself.
    pub(crate) fn expect_patience(&mut self) {
        self.patient = true;
    }

    /// Says that statements of the host run on the connection, which can leave something behind.
    pub(crate) fn expect_residue(&mut self) {
        if let Some((session, _)) = &mut self.held {
            session.residue = true;
        }
    }

    /// The lease bound anew on the same connection, after a statement by itself was refused.
    pub(crate) async fn bound_again(mut self) -> Result<Self> {
        self.connections.counters.refused.count();
        if self.is_pooled() {
            self.reset().await?;
        }
        self.enter_by_itself().await?;
        Ok(self)
    }

    /// A lease on a new connection bound to the same client, in place of one that turned out dead.
    pub(crate) async fn replaced(mut self) -> Result<Self> {
        self.replace().await?;
        self.enter_by_itself().await?;
        Ok(self)
    }

    /// Commits, in one message with the check that the scope is still the one that was entered.
    ///
    /// # Cancel safety
    /// Dropped after the message was sent, the transaction may have committed.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let client = self.scope.client;
        // The second statement to be done is COMMIT.
        self.end(End::Commit, 2).await.map_err(|source| {
            if error::is_connection_failure(&source) {
                let source = source.into();
                return Error::CommitUnknown { client, source };
            }
            Error::of_statement(client, "commit", source)
        })
    }

    /// Rolls back and waits for it.
    pub(crate) async fn rollback(mut self) -> Result<()> {
        let client = self.scope.client;
        self.end(End::Rollback, 1)
            .await
            .map_err(|source| Error::of_statement(client, "rollback", source))
    }

    /// Ends whatever the connection is in the middle of, clears it as before it passes to another client, and waits
    /// for that.
    ///
    /// # Cancel safety
    /// Dropped, the connection is made good behind the caller, or closed.
    pub(super) async fn made_good(mut self) -> Result<()> {
        self.state = State::Unknown;
        self.reset().await?;
        self.state = State::Idle;
        Ok(())
    }

    /// Ends the transaction, which is over when so many statements are done: what fails after that leaves the
    /// connection to be repaired, and is nobody else's concern.
    async fn end(&mut self, end: End, over: usize) -> sqlx::Result<()> {
        let (client, timeout) = (self.scope.client, self.answer_timeout());
        self.state = State::Unknown;
        let Some((session, _)) = &mut self.held else {
            return Err(sqlx::Error::PoolClosed);
        };
        let batch = AssertSqlSafe(session.ending(end));
        let mut answers = session.conn.fetch_many(sqlx::raw_sql(batch));
        let (mut done, mut rows) = (0, Vec::new());
        loop {
            match within(timeout, async { answers.next().await.transpose() }).await {
                Ok(Some(Either::Left(_))) => done += 1,
                Ok(Some(Either::Right(row))) => rows.push(row),
                Ok(None) => break,
                Err(failed) if done >= over => {
                    tracing::warn!(%client, error = %failed, "a connection could not be cleaned");
                    return Ok(());
                }
                Err(failed) => return Err(failed),
            }
        }
        drop(answers);
        self.ended(&rows, end);
        Ok(())
    }

    async fn take(connections: &Arc<Connections>, scope: Scope, share: usize) -> Result<Self> {
        let permit = connections.permit(scope.client, share).await?;
        let session = match connections.idle(scope) {
            Some(session) => session,
            // Boxed, so that a connection that is there does not move the state of one that is not.
            None => Box::pin(connections.connect()).await?,
        };
        Ok(Self {
            held: Some((session, permit)),
            connections: Arc::clone(connections),
            scope,
            patient: false,
            mint: connections.keys.mint(),
            state: State::Idle,
        })
    }

    /// Binds the session for one statement, which behind a pooler has a transaction of its own.
    async fn enter_by_itself(&mut self) -> Result<()> {
        let begin = self.is_pooled().then(TransactionOptions::default);
        self.enter(begin).await
    }

    /// Ends whatever the session is in the middle of.
    async fn reset(&mut self) -> Result<()> {
        let timeout = Some(self.bind_timeout());
        let reset = within(timeout, self.session()?.reset()).await;
        reset.map_err(|source| self.not_entered(source))
    }

    /// Binds the session; with options, inside a transaction.
    async fn enter(&mut self, begin: Option<TransactionOptions>) -> Result<()> {
        self.connections.counters.binds.count();
        self.state = State::Unknown;
        let used = self.is_used();
        let mut entered = self.try_enter(begin).await;
        // Nothing but the binding was sent, so another connection may try. One just made is not likely to be
        // bettered by a newer one.
        if used && is_damaged(&entered) {
            tracing::debug!(database = self.connections.label, "a dead connection is replaced");
            self.replace().await?;
            entered = self.try_enter(begin).await;
        }
        if matches!(entered, Ok(Answered::Forged)) && self.connections.keys.renew(&self.mint).await? {
            // The transaction that the refused ticket began, if one did, ends first.
            self.reset().await?;
            entered = self.try_enter(begin).await;
        }
        let answered = entered.map_err(|source| self.not_entered(source))?;
        if begin.is_none() {
            self.state = State::Idle;
        }
        self.admitted(answered)
    }

    /// Enters with a fresh ticket, and tells sessions of a pooler that do not know it who they are bound to.
    async fn try_enter(&mut self, begin: Option<TransactionOptions>) -> sqlx::Result<Answered> {
        let (scope, timeout) = (self.scope, Some(self.bind_timeout()));
        self.mint = self.connections.keys.mint();
        let Some((session, _)) = &mut self.held else {
            return Err(sqlx::Error::PoolClosed);
        };
        let mut unknown = 0;
        loop {
            let answered = within(timeout, session.bind(&self.mint, scope, begin)).await?;
            if answered != Answered::Unknown || unknown == MOST_UNKNOWN {
                return Ok(answered);
            }
            unknown += 1;
            within(timeout, session.reset()).await?;
        }
    }

    /// How long binding may take: it runs under the timeouts of whoever had the session before.
    fn bind_timeout(&self) -> Duration {
        let lock = Duration::from_millis(self.scope.timeouts.lock.into());
        self.answer_timeout()
            .unwrap_or_else(|| lock + self.connections.answer_grace())
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

    /// The transaction is over; where the host's statements ran, the rows say whether the session is clean. One
    /// that is not closes.
    fn ended(&mut self, rows: &[PgRow], end: End) {
        let Some((session, _)) = &mut self.held else {
            return;
        };
        match session.cleared(rows, end) {
            Ok(()) => self.state = State::Idle,
            Err(reason) => {
                let (client, database) = (self.scope.client, &self.connections.label);
                tracing::warn!(%client, database, %reason, "a connection was closed");
                self.connections.counters.broken.count();
                self.held = None;
            }
        }
    }

    fn not_entered(&self, source: sqlx::Error) -> Error {
        match source.as_database_error().and_then(DatabaseError::code) {
            // Query canceled, lock not available: whoever relocates the client holds its lock.
            Some(code) if matches!(&*code, "57014" | "55P03") => Error::Relocating {
                client: self.scope.client,
            },
            // The client's placement changed since the transaction's snapshot.
            Some(code) if code == "40001" => {
                Error::of_statement(self.scope.client, "entering the scope of a client", source)
            }
            _ => self
                .connections
                .unreachable("entering the scope of a client", source),
        }
    }

    fn admitted(&self, answered: Answered) -> Result<()> {
        let client = self.scope.client;
        if answered != Answered::Entered {
            self.connections.counters.refused.count();
        }
        let refused = |reason: &str| {
            Err(Error::ScopeRefused {
                client,
                step: "entering",
                reason: reason.to_owned(),
            })
        };
        match answered {
            Answered::Entered => Ok(()),
            Answered::Moved => Err(Error::Moved { client }),
            Answered::Relocating => Err(Error::Relocating { client }),
            Answered::Suspended => Err(Error::NotServed {
                client,
                status: ClientStatus::Suspended,
            }),
            Answered::Unknown => refused("the pooler has ever new sessions"),
            Answered::Forged => {
                refused("the kernel does not admit the ticket; is the scope key of the pool the right one?")
            }
        }
    }
}

/// Whether the session is one that another may do better than.
fn is_damaged(entered: &sqlx::Result<Answered>) -> bool {
    match entered {
        Ok(answered) => *answered == Answered::Forged,
        // Its turn is another, or none: the last values of its sequences, the kernel's among them, were
        // discarded by host code that spoke past the library.
        Err(failed) => {
            error::is_connection_failure(failed)
                || failed
                    .as_database_error()
                    .and_then(DatabaseError::code)
                    .as_deref()
                    == Some("55000")
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((session, permit)) = self.held.take() else {
            return;
        };
        match self.state {
            State::Unknown => self.connections.repair(session, permit, Repair::Reset),
            State::Read => self.connections.repair(session, permit, Repair::Rollback),
            // Whoever waits clears it in the message that binds; nobody waits for that.
            State::Idle if session.residue && self.connections.has_waiting() => {
                self.connections.give_back(session);
                drop(permit);
            }
            State::Idle if session.residue => self.connections.repair(session, permit, Repair::Clean),
            State::Idle => {
                self.connections.give_back(session);
                drop(permit);
            }
        }
    }
}
