#![expect(
    clippy::disallowed_methods,
    reason = "connects to pool databases, and reclaims connections in tasks of its own"
)]

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::options::ConnectionOptions;
use super::residue;
use super::ticket::Backend;
use crate::client::ClientId;
use crate::error::{Error, Result};

/// The connections of this process to one pool database.
///
/// Waiters are served in the order they came. A connection is idle only while it is known to be outside any
/// transaction and free of residue; [`Lease`](super::Lease) keeps that true.
pub(super) struct Connections {
    /// The database, for errors.
    pub(super) label: String,
    connect: PgConnectOptions,
    options: ConnectionOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    closed: AtomicBool,
}

/// One connection and what is known of it.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) conn: PgConnection,
    pub(super) backend: Backend,
    /// How much of a statement's text is shown to other sessions of the app role, which is every client's.
    shown: usize,
    born: Instant,
    /// Whether it served before; a fault of a connection that did may be the fault of its age.
    pub(super) used: bool,
}

impl Connected {
    /// Blanks that push what follows out of what `pg_stat_activity` shows: a ticket that another client reads
    /// there opens the scope it was made for, as soon as that client is served by this backend.
    pub(super) fn push_out_of_sight(&self, batch: &mut String) {
        batch.extend(std::iter::repeat_n(' ', self.shown.saturating_sub(batch.len())));
    }
}

#[derive(Debug)]
struct Idle {
    connected: Connected,
    since: Instant,
}

/// How long rolling back and cleaning a connection may take before it is closed instead.
const RECLAIM_TIMEOUT: Duration = Duration::from_secs(5);

impl Connections {
    pub(super) fn new(label: String, connect: PgConnectOptions, options: ConnectionOptions) -> Self {
        Self {
            label,
            connect: options.pin(connect),
            permits: Arc::new(Semaphore::new(options.max_connections as usize)),
            options,
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// The right to hold one connection; waits in order, up to the acquire timeout.
    pub(super) async fn permit(&self, client: Option<ClientId>) -> Result<OwnedSemaphorePermit> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let waited = self.options.acquire_timeout;
        match tokio::time::timeout(waited, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(Error::Closed),
            Err(_elapsed) => Err(match client {
                Some(client) => Error::Busy {
                    client,
                    what: "a connection to its pool database",
                    waited,
                },
                None => self.unreachable("waiting for a connection", sqlx::Error::PoolTimedOut),
            }),
        }
    }

    /// The connection that was used last, if one is idle and young enough.
    pub(super) fn idle(&self) -> Option<Connected> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.close_expired(&mut idle);
        idle.pop().map(|idle| idle.connected)
    }

    pub(super) async fn connect(&self) -> Result<Connected> {
        const STEP: &str = "connecting";
        let connecting = async {
            let mut conn = PgConnection::connect_with(&self.connect).await?;
            let (pid, seconds, shown): (i32, i64, i64) = sqlx::query_as(
                "select pg_backend_pid(), extract(epoch from clock_timestamp())::int8,
                        pg_size_bytes(current_setting('track_activity_query_size'))",
            )
            .persistent(false)
            .fetch_one(&mut conn)
            .await?;
            let clock = (
                Duration::from_secs(seconds.try_into().unwrap_or_default()),
                Instant::now(),
            );
            Ok(Connected {
                conn,
                backend: Backend { pid, clock },
                shown: usize::try_from(shown).unwrap_or_default(),
                born: Instant::now(),
                used: false,
            })
        };
        tokio::time::timeout(self.options.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
            .map_err(|source| self.unreachable(STEP, source))
    }

    /// Takes back a connection that is outside any transaction and clean.
    pub(super) fn give_back(&self, mut connected: Connected) {
        connected.used = true;
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle {
            connected,
            since: Instant::now(),
        });
        self.close_expired(&mut idle);
    }

    /// Rolls back and cleans a connection of unknown state behind the caller, or closes it. The permit is
    /// held until that is done, so the bound on connections holds and closing waits for it.
    pub(super) fn reclaim(
        self: &Arc<Self>,
        mut connected: Connected,
        permit: OwnedSemaphorePermit,
        clear: bool,
    ) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Outside a runtime there is nothing to wait with: dropped, the connection closes.
            return;
        };
        let this = Arc::clone(self);
        runtime.spawn(async move {
            match tokio::time::timeout(RECLAIM_TIMEOUT, roll_back(&mut connected, clear)).await {
                Ok(Ok(())) => this.give_back(connected),
                Ok(Err(error)) => {
                    tracing::debug!(database = this.label, %error, "a connection was closed instead of reclaimed");
                }
                Err(_elapsed) => {
                    tracing::warn!(database = this.label, "a connection was closed: its statement did not end in time");
                }
            }
            drop(permit);
        });
    }

    /// Refuses new leases, closes what is idle and waits until every leased connection is back.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for Idle { connected, .. } in idle {
            // The server notices a closed socket as well as a farewell.
            let _ = tokio::time::timeout(RECLAIM_TIMEOUT, connected.conn.close()).await;
        }
        let all = self.permits.acquire_many(self.options.max_connections).await;
        self.permits.close();
        drop(all);
    }

    pub(super) fn unreachable(&self, step: &'static str, source: sqlx::Error) -> Error {
        Error::Unreachable {
            database: self.label.clone(),
            step,
            source: source.into(),
        }
    }

    fn close_expired(&self, idle: &mut Vec<Idle>) {
        // Oldest first: the stack is used from its other end.
        let now = Instant::now();
        idle.retain(|idle| {
            now.duration_since(idle.since) < self.options.idle_timeout
                && now.duration_since(idle.connected.born) < self.options.max_lifetime
        });
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the connect options: they hold the password.
        f.debug_struct("Connections")
            .field("label", &self.label)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Ends whatever the connection was in the middle of. The number that comes back shows that replies and
/// requests are in step again; a session that could not be cleaned is an error.
async fn roll_back(connected: &mut Connected, clear: bool) -> sqlx::Result<()> {
    let expected = connected.backend.pid;
    let clear = if clear { residue::CLEAR } else { "" };
    let batch = format!("ROLLBACK; {clear}; SELECT pg_catalog.pg_backend_pid() AS tenantry_pid");
    let rows = connected
        .conn
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(batch)))
        .await?;
    let answered = rows
        .last()
        .map(|row| row.try_get_unchecked::<String, _>("tenantry_pid"))
        .transpose()?;
    if answered.as_deref() != Some(expected.to_string().as_str()) {
        let message = "replies are out of step with requests";
        return Err(sqlx::Error::Protocol(message.to_owned()));
    }
    if !clear.is_empty() && !rows.iter().any(|row| residue::is_cleared(&connected.conn, row)) {
        return Err(sqlx::Error::Protocol(residue::NOT_CLEARED.to_owned()));
    }
    Ok(())
}
