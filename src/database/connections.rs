#![expect(
    clippy::disallowed_methods,
    reason = "begins the transactions in which catalogues and types are read"
)]

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Notify;

use super::admission::{Admission, NotAdmitted, Permit};
use super::options::ConnectionOptions;
use super::scope_keys::ScopeKeys;
use super::session::{Open, Scope, Session};
use super::statistics::{Counters, PoolStatistics};
use super::timeouts::Timeouts;
use crate::client::{ClientId, Epoch};
use crate::directory::Binding;
use crate::error::{Error, Result};
use crate::plan::Guards;

/// The connections of this process to one pool database, each idle one bound to the client it served last.
///
/// A client gets a connection that is bound to it, where one is idle; else the one that was idle longest,
/// bound anew; else a new one. Waiters are served in the order they came, each client within its share. A
/// session is idle only while its state is known; [`Lease`](super::Lease) keeps that true.
pub(super) struct Connections {
    /// The database, for errors.
    pub(super) label: String,
    pub(super) counters: Counters,
    pub(super) keys: ScopeKeys,
    connect: PgConnectOptions,
    options: ConnectionOptions,
    /// Behind a pooler: what each transaction is told of settings.
    pins: Option<Arc<str>>,
    /// Behind a pooler: a query of every type that sqlx does not know by itself.
    types: OnceLock<String>,
    admission: Arc<Admission>,
    /// Longest idle first.
    idle: Mutex<Vec<Idle>>,
    size: Arc<AtomicUsize>,
    back_off: Mutex<BackOff>,
    closed: AtomicBool,
    /// Told when it is closed.
    stopped: Arc<Notify>,
}

#[derive(Debug)]
struct Idle {
    session: Session,
    since: Instant,
}

/// After a failed connect the next one waits, longer each time.
#[derive(Debug, Default)]
struct BackOff {
    until: Option<Instant>,
    pause: Duration,
}

/// What a session needs before it can serve again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Its state is known, and the host's statements may have left something behind.
    Clean,
    /// It is inside a transaction that only read.
    Rollback,
    /// Its state is not known.
    Reset,
}

/// How long repairing a connection may take before it is closed instead.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Connections {
    pub(super) fn new(
        label: String,
        connect: PgConnectOptions,
        binding: Binding,
        keys: ScopeKeys,
        options: ConnectionOptions,
    ) -> Self {
        Self {
            label,
            counters: Counters::default(),
            keys,
            connect: options.pin(connect, binding),
            pins: match binding {
                Binding::Session => None,
                Binding::Transaction => Some(options.pins().into()),
            },
            types: OnceLock::new(),
            admission: Arc::new(Admission::new(options.max_connections as usize)),
            options,
            idle: Mutex::default(),
            size: Arc::default(),
            back_off: Mutex::default(),
            closed: AtomicBool::new(false),
            stopped: Arc::default(),
        }
    }

    /// What the client of that plan is to be bound to.
    pub(super) fn scope(&self, client: ClientId, epoch: Epoch, guards: &Guards) -> Scope {
        Scope {
            client,
            epoch,
            timeouts: self.options.timeouts(guards),
        }
    }

    /// How many connections the client of that plan may hold at once.
    pub(super) fn share(&self, guards: &Guards) -> usize {
        self.options.client_share(guards)
    }

    pub(super) fn answer_grace(&self) -> Duration {
        self.options.answer_grace
    }

    pub(super) fn slow_statement(&self) -> Duration {
        self.options.slow_statement
    }

    /// Whether anybody waits for a connection.
    pub(super) fn has_waiting(&self) -> bool {
        self.admission.is_waited_for()
    }

    /// Closes, until the pool is closed or gone, connections that have been idle or alive for too long, and keeps
    /// as many open as are to be.
    pub(super) fn keep(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let shortest = self.options.idle_timeout.min(self.options.max_lifetime);
        let every = (shortest / 4).clamp(Duration::from_millis(25), Duration::from_secs(30));
        let this = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(this) = this.upgrade() {
                this.close_expired(&mut this.lock_idle());
                while this.size.load(Ordering::Relaxed) < this.options.min_connections as usize {
                    let Some(_permit) = this.admission.spare() else {
                        break;
                    };
                    let Ok(session) = this.connect().await else { break };
                    this.give_back(session);
                }
                let stopped = Arc::clone(&this.stopped);
                // It holds nothing open while it waits.
                drop(this);
                if tokio::time::timeout(every, stopped.notified()).await.is_ok() {
                    return;
                }
            }
        });
    }

    /// The right to hold one connection; waits in order, up to the acquire timeout.
    pub(super) async fn permit(&self, client: ClientId, share: usize) -> Result<Permit> {
        let timeout = self.options.acquire_timeout;
        match self.admission.admit(client, share, timeout).await {
            Ok((permit, waited)) => {
                if waited {
                    self.counters.waits.count();
                }
                Ok(permit)
            }
            Err(NotAdmitted::Closed) => Err(Error::Closed),
            Err(NotAdmitted::TimedOut) => Err(Error::Busy {
                client,
                what: "a connection to its pool database",
                waited: timeout,
            }),
        }
    }

    /// An idle session: one bound to the scope, or one to be cleared, or the one that was idle longest.
    pub(super) fn idle(&self, scope: Scope) -> Option<Session> {
        let mut idle = self.lock_idle();
        self.close_expired(&mut idle);
        let at = idle
            .iter()
            .rposition(|idle| idle.session.is_bound_to(scope))
            // What a client left there holds locks until it is cleared.
            .or_else(|| idle.iter().position(|idle| idle.session.residue))
            .or((!idle.is_empty()).then_some(0))?;
        Some(idle.remove(at).session)
    }

    /// A new session, bound to nobody.
    pub(super) async fn connect(&self) -> Result<Session> {
        let open = Open::count(&self.size);
        let session = self
            .connecting(async {
                let mut conn = PgConnection::connect_with(&self.connect).await?;
                if let (Some(_), Some(types)) = (&self.pins, self.types.get()) {
                    learn(&mut conn, types).await?;
                }
                Session::open(conn, self.pins.clone(), Timeouts::from(&self.options), open).await
            })
            .await?;
        self.counters.connects.count();
        Ok(session)
    }

    /// A connection for reading catalogues, which never serves a client; inside a transaction, so that a pooler
    /// gives it one session.
    pub(super) async fn connect_unbound(&self) -> Result<PgConnection> {
        self.connecting(async {
            let mut conn = PgConnection::connect_with(&self.connect).await?;
            conn.execute(sqlx::raw_sql("BEGIN READ ONLY")).await?;
            if let Some(pins) = &self.pins {
                let pins = AssertSqlSafe(format!("SELECT {pins}"));
                conn.execute(sqlx::raw_sql(pins)).await?;
            }
            Ok(conn)
        })
        .await
    }

    /// Sets the types that connections to a pooler are to know.
    pub(super) fn expect_types(&self, query: String) {
        // Set once, when the database is opened.
        let _ = self.types.set(query);
    }

    async fn connecting<T>(&self, connect: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        let pause = self
            .back_off()
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let connected = tokio::time::timeout(self.options.connect_timeout, connect)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        let mut back_off = self.back_off();
        match connected {
            Ok(connected) => {
                *back_off = BackOff::default();
                Ok(connected)
            }
            Err(source) => {
                back_off.pause = (back_off.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                back_off.until = Some(Instant::now() + back_off.pause);
                drop(back_off);
                Err(self.unreachable("connecting", source))
            }
        }
    }

    /// Takes back a session that is outside any transaction, and whose state is known.
    pub(super) fn give_back(&self, mut session: Session) {
        session.used = true;
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let mut idle = self.lock_idle();
        idle.push(Idle {
            session,
            since: Instant::now(),
        });
        self.close_expired(&mut idle);
    }

    /// Makes good a session behind the caller, or closes it. The permit is held until that is done, so the
    /// bound on connections holds and closing waits for it.
    pub(super) fn repair(self: &Arc<Self>, mut session: Session, permit: Permit, repair: Repair) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Outside a runtime there is nothing to wait with: the connection closes.
            return;
        };
        let this = Arc::clone(self);
        runtime.spawn(async move {
            let repairing = async {
                match repair {
                    Repair::Clean => session.clean().await,
                    Repair::Rollback | Repair::Reset => session.reset().await,
                }
            };
            let failed = match tokio::time::timeout(REPAIR_TIMEOUT, repairing).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_elapsed) => Some("its statement did not end in time".to_owned()),
            };
            match failed {
                None => {
                    if repair != Repair::Rollback {
                        this.counters.repaired.count();
                    }
                    this.give_back(session);
                }
                Some(reason) => {
                    tracing::warn!(
                        database = this.label,
                        reason,
                        "a connection was closed instead of repaired"
                    );
                    this.counters.broken.count();
                    drop(session);
                }
            }
            drop(permit);
        });
    }

    /// Refuses new leases, waits until every leased connection is back, and closes them all.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.stopped.notify_one();
        self.admission.close().await;
        let idle = std::mem::take(&mut *self.lock_idle());
        for Idle { session, .. } in idle {
            // The server notices a closed socket as well as a farewell.
            let _ = tokio::time::timeout(REPAIR_TIMEOUT, session.conn.close()).await;
        }
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let (idle, bound) = {
            let idle = self.lock_idle();
            (
                idle.len(),
                idle.iter().filter(|idle| idle.session.is_bound()).count(),
            )
        };
        let counters = &self.counters;
        PoolStatistics {
            size: self.size.load(Ordering::Relaxed),
            idle,
            bound,
            waiting: self.admission.waiting(),
            hits: counters.hits.get(),
            binds: counters.binds.get(),
            waits: counters.waits.get(),
            connects: counters.connects.get(),
            repaired: counters.repaired.get(),
            broken: counters.broken.get(),
            refused: counters.refused.get(),
        }
    }

    pub(super) fn unreachable(&self, step: &'static str, source: sqlx::Error) -> Error {
        Error::Unreachable {
            database: self.label.clone(),
            step,
            source: source.into(),
        }
    }

    /// Above the least number, what was idle or alive for too long.
    fn close_expired(&self, idle: &mut Vec<Idle>) {
        let now = Instant::now();
        let mut keep = self.options.min_connections as usize;
        idle.retain(|idle| {
            let old = now.duration_since(idle.session.born) >= self.options.max_lifetime;
            let unused = now.duration_since(idle.since) >= self.options.idle_timeout;
            if old || (unused && keep == 0) {
                return false;
            }
            keep = keep.saturating_sub(1);
            true
        });
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn back_off(&self) -> MutexGuard<'_, BackOff> {
        self.back_off.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a value of each type. sqlx looks up those it does not know between preparing a statement and
/// running it, in the simple protocol, which destroys a statement without a name: the statement that is the
/// first to use a type fails. So the first is this one.
async fn learn(conn: &mut PgConnection, types: &str) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql("BEGIN")).await?;
    let asked = sqlx::query(AssertSqlSafe(types.to_owned()))
        .persistent(false)
        .fetch_all(&mut *conn)
        .await;
    tracing::trace!(failed = asked.is_err(), "types were looked up");
    conn.execute(sqlx::raw_sql("ROLLBACK")).await.map(drop)
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
