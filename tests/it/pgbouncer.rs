//! A PgBouncer in transaction mode before the test server, and what it promises.
//!
//! It listens on a Unix socket only, in a directory of its own, as the user that a private server runs as: root is
//! refused by it, and the server's directory is open to that user alone. It is gone with the process that
//! started it, even when that is killed.
#![expect(clippy::disallowed_methods, reason = "talks to the server through it")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use futures_util::future::try_join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};
use tenantry::testing::{DelayProxy, Fixture, PgServer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::private_server::{end, gone, helper_of, is_alive, this_program};
use crate::support::HOST;

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

/// Longer than it takes to start, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where programs of administrators are, which are not on everybody's PATH.
const USUAL_PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

/// The variable that has tests pass where there is no PgBouncer.
const OPT_OUT: &str = "TENANTRY_WITHOUT_PGBOUNCER";

/// The port only names the socket's file.
const PORT: u16 = 6432;

/// Parent of the pooler: the end of its input is the death of whoever holds the other end of the pipe. It
/// leaves the output to the pooler, whose end is then seen there.
const KEEPER: &str = r#"
program=$1; dir=$2
"$program" "$dir/pgbouncer.ini" </dev/null 2>&1 &
exec >/dev/null
trap '' HUP INT TERM
read -r _
kill -KILL $!
wait
cd / && rm -rf "$dir"
"#;

/// A running PgBouncer. Dropped, it is stopped and its files are removed.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    directory: PathBuf,
    keeper: Child,
    log: Arc<Mutex<Vec<String>>>,
}

/// A login that it lets in, and logs in to the server with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

impl PgBouncer {
    /// One before the server, for this login, with so many server connections for each database, once it
    /// accepts connections. `None` only where this machine has no PgBouncer, and the environment says that
    /// this is all right.
    pub(crate) async fn start(
        server: &PgServer,
        login: Login<'_>,
        connections: usize,
    ) -> Result<Option<Self>, Failure> {
        let Some(program) = program() else {
            return if std::env::var(OPT_OUT).is_ok_and(|value| value == "1") {
                Ok(None)
            } else {
                Err(format!(
                    "no pgbouncer on PATH or in the usual places; install it, or set {OPT_OUT}=1 to go without its tests"
                )
                .into())
            };
        };
        let (directory, account) = directory(server)?;
        fs::write(directory.path().join("users"), login.line())?;
        fs::write(
            directory.path().join("pgbouncer.ini"),
            configuration(&server.connect_options("postgres"), directory.path(), connections),
        )?;

        let mut keeper = Command::new("/bin/sh");
        // `$0` is in the directory, so that a list of processes tells whose keeper it is.
        keeper
            .args(["-c", KEEPER])
            .arg(directory.path().join("keeper"))
            .arg(program)
            .arg(directory.path());
        // A group of its own: Ctrl-C is for us, and the keeper acts after us.
        keeper.current_dir("/").process_group(0);
        keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some((uid, gid)) = account {
            keeper.uid(uid).gid(gid);
        }
        let mut keeper = keeper.spawn()?;
        let output = keeper.stdout.take().ok_or("the keeper has no output")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let pooler = Self {
            directory: directory.keep(),
            keeper,
            log: Arc::clone(&log),
        };
        // Its output is read to the end: it would wait for room in the pipe.
        let (up, is_up) = oneshot::channel();
        std::thread::Builder::new()
            .name("pgbouncer-log".to_owned())
            .spawn(move || follow(output, &log, up))?;
        match timeout(PATIENCE, is_up).await {
            Ok(Ok(())) => Ok(Some(pooler)),
            Ok(Err(_exited)) => Err(format!("pgbouncer did not start: {}", pooler.log()).into()),
            Err(_late) => Err(format!("pgbouncer is not up in time: {}", pooler.log()).into()),
        }
    }

    /// One before the databases of the fixture, for the app role.
    pub(crate) async fn before(fixture: &Fixture, connections: usize) -> Result<Option<Self>, Failure> {
        let password = password(&fixture.app_url("any"))?;
        let login = Login {
            user: fixture.app_role(),
            password: &password,
        };
        Self::start(fixture.server(), login, connections).await
    }

    /// The URL of a database through it, of the role and the password that are in a URL past it.
    pub(crate) fn url(&self, direct: &str) -> Result<String, Failure> {
        let options: PgConnectOptions = direct.parse()?;
        let database = options.get_database().ok_or("the URL names no database")?;
        let mut url = url::Url::parse(&format!("postgres:///{database}"))?;
        url.query_pairs_mut()
            .append_pair("host", &self.directory.to_string_lossy())
            .append_pair("port", &PORT.to_string())
            .append_pair("user", options.get_username())
            .append_pair("password", &password(direct)?)
            .append_pair("sslmode", "disable");
        Ok(url.into())
    }

    /// A proxy before it, and the URL of a database through both.
    pub(crate) async fn proxied(&self, direct: &str) -> Result<(DelayProxy, String), Failure> {
        let through: PgConnectOptions = self.url(direct)?.parse()?;
        let proxy = DelayProxy::start(&through).await?;
        let database = through.get_database().ok_or("the URL names no database")?;
        let url = proxy.url_as(through.get_username(), &password(direct)?, database);
        Ok((proxy, url))
    }

    /// Whether the tests are to go without one, and do.
    pub(crate) fn is_left_out() -> bool {
        program().is_none() && std::env::var(OPT_OUT).is_ok_and(|value| value == "1")
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It is killed, not asked, so this takes a moment at most.
        let _ = self.keeper.wait();
    }
}

impl Login<'_> {
    fn line(self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        format!("{} {}\n", quoted(self.user), quoted(self.password))
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(USUAL_PLACES.map(PathBuf::from))
        .map(|directory| directory.join("pgbouncer"))
        .find(|program| program.is_file())
}

/// A directory of its own, and the user to run as where that is not our own.
fn directory(server: &PgServer) -> Result<(tempfile::TempDir, Option<(u32, u32)>), Failure> {
    // Where a private server has its directory, its user can have one, and the path is short enough.
    let base = server.directory().and_then(Path::parent);
    let base = base.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let directory = tempfile::Builder::new()
        .prefix("tenantry-pgbouncer-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(base)?;
    if fs::metadata(directory.path())?.uid() != 0 {
        return Ok((directory, None));
    }
    let (uid, gid) = (nobody("-u")?, nobody("-g")?);
    chown(directory.path(), Some(uid), Some(gid))?;
    Ok((directory, Some((uid, gid))))
}

fn nobody(which: &str) -> Result<u32, Failure> {
    let output = Command::new("id").args([which, "nobody"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn configuration(server: &PgConnectOptions, directory: &Path, connections: usize) -> String {
    let host = server
        .get_socket()
        .map_or(server.get_host().to_owned(), |socket| {
            socket.to_string_lossy().into_owned()
        });
    let (port, directory) = (server.get_port(), directory.display());
    // Startup parameters are not ignored, and statements not followed: as little help as any version gives.
    format!(
        "[databases]
* = host='{host}' port={port}

[pgbouncer]
listen_addr =
listen_port = {PORT}
unix_socket_dir = {directory}
pidfile = {directory}/pid
auth_type = md5
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = {connections}
max_db_connections = {connections}
max_client_conn = 200
"
    )
}

/// Keeps the log, and tells when it says that it accepts connections.
fn follow(output: impl io::Read, log: &Mutex<Vec<String>>, up: oneshot::Sender<()>) {
    let mut up = Some(up);
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let is_up = line.contains("process up");
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        if is_up && let Some(up) = up.take() {
            let _ = up.send(());
        }
    }
}

pub(crate) fn password(url: &str) -> Result<String, Failure> {
    let url = url::Url::parse(url)?;
    let named = url.query_pairs().find(|(name, _)| name == "password");
    let password = named.map(|(_, password)| password.into_owned());
    Ok(password
        .or_else(|| url.password().map(str::to_owned))
        .unwrap_or_default())
}

#[tokio::test]
async fn transactions_of_many_connections_share_the_few_of_the_server() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let Some(pooler) = PgBouncer::before(&fixture, 2).await? else {
        return Ok(());
    };
    let options = options(&pooler, &fixture.app_url(&fixture.database("pool-1")))?;
    let mut open = try_join_all((0..8).map(|_| options.connect())).await?;
    let mut backends = Vec::new();
    for _ in 0..3 {
        let answers = open.iter_mut().map(backend);
        backends.extend(try_join_all(answers).await?);
    }
    backends.sort_unstable();
    backends.dedup();
    assert!(backends.len() <= 2, "{backends:?}");

    // In a transaction a connection keeps its own.
    let conn = &mut open[0];
    conn.execute(sqlx::raw_sql("begin")).await?;
    let first = backend(conn).await?;
    for _ in 0..5 {
        assert_eq!(backend(conn).await?, first);
    }
    conn.execute(sqlx::raw_sql("commit")).await?;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_refused() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let Some(pooler) = PgBouncer::before(&fixture, 1).await? else {
        return Ok(());
    };
    let options = options(&pooler, &fixture.app_url(&fixture.database("pool-1")))?;
    options.connect().await?.close().await?;
    let refused = options.password("wrong").connect().await;
    assert!(refused.is_err(), "{}", pooler.log());
    fixture.close().await;
    Ok(())
}

/// Not a test: the process that the test below starts and kills.
#[tokio::test]
#[ignore = "the other process of another test"]
async fn helper_process() -> Outcome {
    if std::env::var_os("TENANTRY_HELPER").is_none() {
        return Ok(());
    }
    let server = PgServer::shared().await?;
    let login = Login {
        user: "postgres",
        password: "",
    };
    let pooler = PgBouncer::start(&server, login, 1)
        .await?
        .ok_or("it is not there")?;
    let pid = fs::read_to_string(pooler.directory.join("pid"))?;
    println!("\nSERVED {} {}", pid.trim(), pooler.directory.display());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

#[tokio::test]
async fn it_is_gone_with_a_process_that_is_killed() -> Outcome {
    if PgBouncer::is_left_out() {
        return Ok(());
    }
    let mut child = helper_of(module_path!(), &this_program()).spawn()?;
    let output = child.stdout.as_mut().ok_or("the helper has no output")?;
    let said = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("SERVED ").map(str::to_owned))
        .ok_or("the helper failed")?;
    let (pid, directory) = said.split_once(' ').ok_or("a pid and a directory")?;
    let (pid, directory) = (pid.parse()?, Path::new(directory));
    assert!(is_alive(pid) && directory.exists());
    end(child);
    gone(pid, directory).await;
    Ok(())
}

/// Through the pooler, with no startup parameter that it does not know, and no statement that it would have to.
fn options(pooler: &PgBouncer, direct: &str) -> Result<PgConnectOptions, Failure> {
    let options: PgConnectOptions = pooler.url(direct)?.parse()?;
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

async fn backend(conn: &mut PgConnection) -> sqlx::Result<i32> {
    // In one message: of two, the second may go to another.
    let row = conn.fetch_one(sqlx::raw_sql("select pg_backend_pid()")).await?;
    row.try_get(0)
}
