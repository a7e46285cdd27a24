//! A proxy between sqlx and a server that shows the network: its latency, its round trips, a reply that does
//! not come.
//!
//! Threads, not tasks: tokio's timer has a grain of 1 ms, and latencies of half a millisecond are of
//! interest. Each direction of a connection is a delay line: one thread reads and notes when a chunk is due,
//! another writes it then. So the delay is a latency and no limit to the throughput.

mod connection;
mod gate;
mod line;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use self::connection::{Connection, Socket};
use self::gate::Gate;
use self::line::{CHUNKS_UNDER_WAY, Direction, read, write};
use super::address;

/// How long a thread sleeps or writes before it looks whether its connection was reset.
const LOOK_UP: Duration = Duration::from_millis(20);

/// A transparent proxy on a loopback TCP port, in front of a server.
///
/// It passes on bytes as they are, for any number of connections. Each new connection to it becomes one to
/// the server. When it is dropped, its port is closed and all its connections are reset.
#[derive(Debug)]
pub struct DelayProxy {
    shared: Arc<Shared>,
    port: u16,
    base: PgConnectOptions,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    delay_nanos: AtomicU64,
    requests: Gate,
    replies: Gate,
    stopped: AtomicBool,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    round_trips: AtomicU64,
    connections: Mutex<Vec<Weak<Connection>>>,
}

impl DelayProxy {
    /// A proxy in front of the server that these options lead to, by Unix socket or TCP. It adds no delay
    /// yet.
    ///
    /// # Errors
    ///
    /// If no port can be opened or no thread be started. Whether the server can be reached is seen by each
    /// connection, which is closed at once if it cannot.
    #[expect(
        clippy::unused_async,
        reason = "needs a runtime to open the port, and says so"
    )]
    pub async fn start(upstream: &PgConnectOptions) -> io::Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        // Accepted sockets inherit it: a close then is a reset, unless both sides have said their last word.
        socket.set_zero_linger()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = socket.listen(1024)?.into_std()?;
        listener.set_nonblocking(false)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream: address::socket_file(upstream).map_or_else(
                || Upstream::Tcp(upstream.get_host().to_owned(), upstream.get_port()),
                Upstream::Unix,
            ),
            delay_nanos: AtomicU64::new(0),
            requests: Gate::default(),
            replies: Gate::default(),
            stopped: AtomicBool::new(false),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let acceptor = spawn("proxy-accept", {
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        })?;
        Ok(Self {
            shared,
            port,
            base: upstream.clone(),
            acceptor: Some(acceptor),
        })
    }

    /// The port on 127.0.0.1 that the proxy listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same options, pointed at the proxy. Without TLS, if those of [`DelayProxy::start`] lead to a Unix
    /// socket.
    pub fn options(&self, base: PgConnectOptions) -> PgConnectOptions {
        let options = address::redirected(base, self.port);
        match &self.shared.upstream {
            Upstream::Unix(_) => options.ssl_mode(sqlx::postgres::PgSslMode::Disable),
            Upstream::Tcp(..) => options,
        }
    }

    /// A URL through the proxy, for this role and database.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        address::url(&self.options(self.base.clone()), Some((user, password)), database)
    }

    /// Delays every byte that arrives from now on by this much, in each direction: a round trip takes twice
    /// as long more. It is kept to within some 50 µs while a processor is free; that client and server wake
    /// up from an idle wait comes on top, as on a real network. Defaults to zero.
    pub fn set_delay(&self, each_way: Duration) {
        let nanos = u64::try_from(each_way.as_nanos()).unwrap_or(u64::MAX);
        self.shared.delay_nanos.store(nanos, Ordering::Relaxed);
    }

    /// Holds all replies of the server, those included that are under way, until [`DelayProxy::resume`].
    ///
    /// Requests still reach the server, which does what they ask.
    pub fn pause(&self) {
        self.shared.replies.set(true);
    }

    /// Lets the replies go on, in order.
    pub fn resume(&self) {
        self.shared.replies.set(false);
    }

    /// Holds all requests to the server, those included that are under way, until
    /// [`DelayProxy::resume_requests`].
    pub fn pause_requests(&self) {
        self.shared.requests.set(true);
    }

    /// Lets the requests go on, in order.
    pub fn resume_requests(&self) {
        self.shared.requests.set(false);
    }

    /// Resets all connections of this moment, as a crash of the machine between would. What is under way is
    /// lost.
    pub fn reset_all(&self) {
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        for connection in connections.iter().filter_map(Weak::upgrade) {
            connection.reset();
        }
        self.shared.requests.look();
        self.shared.replies.look();
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections)
            .iter()
            .filter(|connection| connection.strong_count() > 0)
            .count()
    }

    /// How many bytes clients have sent, held ones included.
    pub fn bytes_up(&self) -> u64 {
        self.shared.bytes_up.load(Ordering::Relaxed)
    }

    /// How many bytes the server has sent, held ones included.
    pub fn bytes_down(&self) -> u64 {
        self.shared.bytes_down.load(Ordering::Relaxed)
    }

    /// How often a client has begun to send after it was last sent something, or at first: the round trips of
    /// all connections so far. The difference over a piece of work is the number of times that it waited for
    /// the network.
    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::Relaxed)
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.reset_all();
        // A connection wakes the thread that accepts them.
        if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ = acceptor.join();
        }
        self.reset_all();
    }
}

#[derive(Debug)]
enum Upstream {
    Unix(PathBuf),
    Tcp(String, u16),
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of file descriptors: the connection waits for one.
            thread::sleep(LOOK_UP);
            continue;
        };
        let shared = Arc::clone(shared);
        // A connection that cannot be served is closed, which the client sees.
        let _ = spawn("proxy-connect", move || drop(serve(stream, &shared)));
    }
}

/// Connects to the server and passes bytes in both directions, until both sides have closed.
fn serve(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let client = Socket::tcp(client)?;
    let server = match &shared.upstream {
        Upstream::Tcp(host, port) => Socket::tcp(TcpStream::connect((host.as_str(), *port))?)?,
        Upstream::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(LOOK_UP))?;
            Socket::Unix(stream)
        }
    };
    let connection = Arc::new(Connection {
        client,
        server,
        asked: AtomicBool::new(false),
        broken: AtomicBool::new(false),
    });
    {
        let mut connections = lock(&shared.connections);
        connections.retain(|other| other.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
    }
    if shared.stopped.load(Ordering::Relaxed) {
        return Ok(());
    }
    for direction in [Direction::Up, Direction::Down] {
        let (sender, receiver) = sync_channel(CHUNKS_UNDER_WAY);
        let (line, end) = (Arc::clone(shared), Arc::clone(&connection));
        let reader = spawn("proxy-read", move || read(direction, &line, &end, &sender));
        let (line, end) = (Arc::clone(shared), Arc::clone(&connection));
        let writer = spawn("proxy-write", move || write(direction, &line, &end, &receiver));
        if reader.is_err() || writer.is_err() {
            connection.reset();
        }
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(256 * 1024)
        .spawn(work)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
