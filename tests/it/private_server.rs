//! The private PostgreSQL of the feature `testing` and the delaying proxy, by what they promise.
#![expect(clippy::disallowed_methods, reason = "talks to the server that it tests")]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tenantry::testing::{DelayProxy, PgServer, ServerError, ServerSource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Longer than anything here takes, a first download included.
const PATIENCE: Duration = Duration::from_mins(2);

async fn connect(options: PgConnectOptions) -> PgConnection {
    options.connect().await.unwrap()
}

async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let mut probe = Command::new("sh");
    probe
        .args(["-c", r#"kill -0 "$1""#, "sh", &pid.to_string()])
        .stderr(Stdio::null());
    probe.status().unwrap().success()
}

/// Waits until neither the process nor the directory is there: nobody tells us, for who could is dead.
pub(crate) async fn gone(pid: u32, directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_alive(pid) || directory.exists() {
        assert!(
            Instant::now() < deadline,
            "left behind: {pid} {}",
            directory.display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn helper(program: &Path) -> Command {
    helper_of(module_path!(), program)
}

/// This program again, to run the test `helper_process` of a module alone, with none of the environment that
/// chooses a server.
pub(crate) fn helper_of(module: &str, program: &Path) -> Command {
    let module = module.split_once("::").unwrap().1;
    let mut command = Command::new(program);
    command.args([
        "--ignored",
        "--exact",
        "--nocapture",
        &format!("{module}::helper_process"),
    ]);
    command
        .env("TENANTRY_HELPER", "1")
        .env_remove("DATABASE_URL")
        .env_remove("NEXTEST_RUN_ID");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

pub(crate) fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Not a test: the process that the tests start and kill. It has a shared server until its input ends.
#[tokio::test]
#[ignore = "the other process of other tests"]
async fn helper_process() {
    if std::env::var_os("TENANTRY_HELPER").is_none() {
        return;
    }
    let begin = Instant::now();
    let server = PgServer::shared().await.unwrap();
    let mut connection = connect(server.connect_options("postgres")).await;
    assert_eq!(text(&mut connection, "select 'served'").await, "served");
    let directory = server.directory().unwrap_or(Path::new("-"));
    let (pid, source) = (server.pid().unwrap_or(0), server.source());
    println!(
        "\nSERVED {pid} {} {source:?} {}",
        directory.display(),
        begin.elapsed().as_millis()
    );
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// What a helper says of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Served {
    pid: u32,
    directory: PathBuf,
    source: String,
}

/// The next `count` reports of the helpers that write to this process's output.
fn served(child: &mut Child, count: usize) -> Vec<Served> {
    let lines = BufReader::new(child.stdout.as_mut().unwrap())
        .lines()
        .map(Result::unwrap);
    let reports = lines.filter_map(|line| {
        let line = line.strip_prefix("SERVED ")?.to_owned();
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap().to_owned();
        Some(Served {
            pid: word().parse().unwrap(),
            directory: word().into(),
            source: word(),
        })
    });
    let reports: Vec<_> = reports.take(count).collect();
    assert_eq!(reports.len(), count, "a helper failed");
    reports
}

pub(crate) fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn server_of_the_process_is_one_and_has_what_tests_need() {
    let server = PgServer::shared().await.unwrap();
    assert_eq!(PgServer::shared().await.unwrap().pid(), server.pid());
    let url: PgConnectOptions = server.url("postgres").parse().unwrap();
    for options in [server.connect_options("postgres"), url] {
        let mut connection = connect(options).await;
        assert_eq!(
            text(&mut connection, "select current_setting('is_superuser')").await,
            "on"
        );
        assert_eq!(text(&mut connection, "show wal_level").await, "logical");
        connection.close().await.unwrap();
    }
    // Debug output goes to logs, and a password does not.
    assert!(!format!("{server:?}").contains("password"));
}

#[tokio::test]
async fn private_server_has_pgvector_and_maps_case_beyond_ascii() {
    let server = PgServer::private().await.unwrap();
    let mut connection = connect(server.connect_options("postgres")).await;
    assert_eq!(
        text(&mut connection, "select lower('Ä') || upper('é')").await,
        "äÉ"
    );
    sqlx::query("create extension vector")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        text(&mut connection, "select ('[1,2]'::vector <-> '[4,6]')::text").await,
        "5"
    );
    sqlx::query("create role app login password 'x'")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("create database other")
        .execute(&mut connection)
        .await
        .unwrap();
    let app: PgConnectOptions = server.url_as("app", "p:w/1", "other").parse().unwrap();
    assert_eq!(
        text(
            &mut connect(app).await,
            "select current_user || '@' || current_database()"
        )
        .await,
        "app@other"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn private_server_is_closed_to_other_users_and_listens_on_no_port() {
    let server = PgServer::private().await.unwrap();
    let directory = server.directory().unwrap();
    assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700);
    let mut connection = connect(server.connect_options("postgres")).await;
    assert_eq!(text(&mut connection, "show listen_addresses").await, "");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn killed_server_comes_back_with_its_data() {
    let server = PgServer::private().await.unwrap();
    let mut connection = connect(server.connect_options("postgres")).await;
    sqlx::query("create table kept as select 'here' as it")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("checkpoint").execute(&mut connection).await.unwrap();
    let first = server.pid().unwrap();

    server.kill().await.unwrap();
    assert_eq!(server.pid(), None);
    assert!(sqlx::query("select 1").execute(&mut connection).await.is_err());
    assert!(server.connect_options("postgres").connect().await.is_err());

    server.restart().await.unwrap();
    assert_ne!(server.pid().unwrap(), first);
    let mut connection = connect(server.connect_options("postgres")).await;
    assert_eq!(text(&mut connection, "select it from kept").await, "here");

    // Without a kill before, it is a restart all the same.
    let second = server.pid().unwrap();
    server.restart().await.unwrap();
    assert_ne!(server.pid().unwrap(), second);
    assert!(sqlx::query("select 1").execute(&mut connection).await.is_err());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn stopped_server_leaves_nothing() {
    let server = PgServer::private().await.unwrap();
    let (pid, directory) = (server.pid().unwrap(), server.directory().unwrap().to_path_buf());
    // Its clients do not keep it alive.
    let _connection = connect(server.connect_options("postgres")).await;
    server.stop().await.unwrap();
    assert!(!is_alive(pid) && !directory.exists());
}

#[tokio::test]
async fn dropped_server_leaves_nothing_killed_or_not() {
    for killed in [false, true] {
        let server = PgServer::private().await.unwrap();
        let (pid, directory) = (server.pid().unwrap(), server.directory().unwrap().to_path_buf());
        let _connection = connect(server.connect_options("postgres")).await;
        if killed {
            server.kill().await.unwrap();
        }
        drop(server);
        gone(pid, &directory).await;
    }
}

#[tokio::test]
async fn shared_server_is_not_killed() {
    let server = PgServer::shared().await.unwrap();
    assert!(matches!(
        server.kill().await,
        Err(ServerError::NotPrivate { step: "kill" })
    ));
    assert!(matches!(
        server.restart().await,
        Err(ServerError::NotPrivate { .. })
    ));
    assert!(matches!(server.stop().await, Err(ServerError::NotPrivate { .. })));
}

#[tokio::test]
async fn server_dies_with_a_process_that_is_killed() {
    let mut child = helper(&this_program()).spawn().unwrap();
    let server = served(&mut child, 1).remove(0);
    assert!(is_alive(server.pid) && server.directory.exists());
    end(child);
    gone(server.pid, &server.directory).await;
}

#[tokio::test]
async fn server_of_database_url_comes_first() {
    let server = PgServer::private().await.unwrap();
    let mut child = helper(&this_program())
        .env("DATABASE_URL", server.url("postgres"))
        .spawn()
        .unwrap();
    let reported = served(&mut child, 1).remove(0);
    assert_eq!(
        (reported.source.as_str(), reported.pid),
        (&*format!("{:?}", ServerSource::DatabaseUrl), 0)
    );
    end(child);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn processes_of_one_run_share_a_server_that_dies_with_the_runner() {
    // A shell by the name of the runner: two helpers at once, a third when they are gone, and then it waits.
    let bin = tempfile::tempdir().unwrap();
    let runner = bin.path().join("cargo-nextest");
    symlink("/bin/sh", &runner).unwrap();
    let template = helper(&this_program());
    let mut command = Command::new(&runner);
    command
        .arg("-c")
        .arg(r#""$@" </dev/null & "$@" </dev/null & wait; "$@" </dev/null; read -r _"#);
    command
        .arg("runner")
        .arg(template.get_program())
        .args(template.get_args());
    let id = uuid::Uuid::new_v4();
    command
        .env("TENANTRY_HELPER", "1")
        .env_remove("DATABASE_URL")
        .env("NEXTEST_RUN_ID", id.to_string());
    let mut runner = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();

    let servers = served(&mut runner, 3);
    let first = &servers[0];
    assert!(servers.iter().all(|server| server == first), "{servers:?}");
    assert!(is_alive(first.pid));
    let run = first
        .directory
        .parent()
        .unwrap()
        .join(format!("tenantry-run-{id}"));
    assert!(run.exists());
    end(runner);
    gone(first.pid, &first.directory).await;
    gone(first.pid, &run).await;
}

#[tokio::test]
async fn processes_that_race_for_the_first_install_all_get_a_server() {
    // A target directory of their own, by which they find no wheel and no template.
    let target = tempfile::tempdir().unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(target.path().join("CACHEDIR.TAG"), "").unwrap();
    let program = target.path().join("it");
    fs::copy(this_program(), &program).unwrap();
    let mut children: Vec<_> = (0..2).map(|_| helper(&program).spawn().unwrap()).collect();
    let servers: Vec<_> = children
        .iter_mut()
        .map(|child| served(child, 1).remove(0))
        .collect();
    assert_ne!(servers[0].pid, servers[1].pid);
    let made = fs::read_dir(target.path().join("tenantry-testing")).unwrap();
    let names: Vec<_> = made
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names.iter().filter(|name| name.starts_with("template-")).count(),
        1,
        "{names:?}"
    );
    assert!(!names.iter().any(|name| name.ends_with(".partial")), "{names:?}");
    children.into_iter().for_each(end);
    for server in servers {
        gone(server.pid, &server.directory).await;
    }
}

/// A connection through a proxy in front of the shared server.
async fn proxied() -> (DelayProxy, PgConnection) {
    let server = PgServer::shared().await.unwrap();
    let proxy = DelayProxy::start(&server.connect_options("postgres"))
        .await
        .unwrap();
    let connection = connect(proxy.options(server.connect_options("postgres"))).await;
    (proxy, connection)
}

#[tokio::test]
async fn proxy_passes_on_bytes_and_urls() {
    let (proxy, mut connection) = proxied().await;
    let long: String = sqlx::query_scalar("select $1 || repeat('y', 3000000)")
        .bind("x".repeat(2_000_000))
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(long.len(), 5_000_000);
    assert!(proxy.bytes_up() > 2_000_000 && proxy.bytes_down() > 5_000_000);
    let user = PgServer::shared()
        .await
        .unwrap()
        .connect_options("postgres")
        .get_username()
        .to_owned();
    if PgServer::shared().await.unwrap().source() != ServerSource::DatabaseUrl {
        let url: PgConnectOptions = proxy.url_as(&user, "any", "postgres").parse().unwrap();
        assert_eq!(
            text(&mut connect(url).await, "select current_database()").await,
            "postgres"
        );
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn proxy_counts_round_trips() {
    let (proxy, mut connection) = proxied().await;
    // The first time it is also prepared.
    text(&mut connection, "select 'a'").await;
    for _ in 0..3 {
        let before = proxy.round_trips();
        text(&mut connection, "select 'a'").await;
        assert_eq!(proxy.round_trips() - before, 1);
    }
    let before = proxy.round_trips();
    let mut transaction = connection.begin().await.unwrap();
    text(&mut transaction, "select 'a'").await;
    transaction.commit().await.unwrap();
    assert_eq!(proxy.round_trips() - before, 3);
}

#[tokio::test]
async fn proxy_delays_each_way_and_not_each_chunk() {
    let (proxy, mut connection) = proxied().await;
    text(&mut connection, "select 'a'").await;
    for each_way in [Duration::from_micros(500), Duration::from_millis(10)] {
        proxy.set_delay(each_way);
        let mut trips = Vec::new();
        for _ in 0..20 {
            let begin = Instant::now();
            text(&mut connection, "select 'a'").await;
            trips.push(begin.elapsed());
        }
        // Never early. How late is a matter of the machine, so only the best of them is held to it.
        let best = trips.iter().min().unwrap();
        assert!(*best >= each_way * 2, "{trips:?}");
        assert!(*best < each_way * 2 + Duration::from_millis(50), "{trips:?}");
    }
    // 20 MB are some hundred chunks: one after the other they would take many seconds.
    proxy.set_delay(Duration::from_millis(50));
    let begin = Instant::now();
    assert_eq!(
        text(&mut connection, "select repeat('z', 20000000)").await.len(),
        20_000_000
    );
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn paused_replies_wait_while_the_server_works() {
    let (proxy, mut connection) = proxied().await;
    let mut other = connect(PgServer::shared().await.unwrap().connect_options("postgres")).await;
    let pid = text(&mut connection, "select pg_backend_pid()::text").await;
    sqlx::query("set application_name = 'before'")
        .execute(&mut connection)
        .await
        .unwrap();
    let down = proxy.bytes_down();
    proxy.pause();
    {
        // Unprepared: else it is the preparation's reply that is waited for.
        let set = sqlx::raw_sql("set application_name = 'after'").execute(&mut connection);
        tokio::pin!(set);
        // The server has done it, as the other connection sees, and the future still waits.
        let mut name = String::new();
        let deadline = Instant::now() + PATIENCE;
        while name != "after" {
            assert!(Instant::now() < deadline);
            assert!(timeout(Duration::from_millis(1), &mut set).await.is_err());
            let row = sqlx::query_scalar("select application_name from pg_stat_activity where pid = $1::int");
            name = row
                .bind(pid.parse::<i32>().unwrap())
                .fetch_one(&mut other)
                .await
                .unwrap();
        }
        assert!(proxy.bytes_down() > down);
        proxy.resume();
        timeout(PATIENCE, set).await.unwrap().unwrap();
    }
    assert_eq!(text(&mut connection, "show application_name").await, "after");
}

#[tokio::test]
async fn paused_requests_do_not_reach_the_server() {
    let (proxy, mut connection) = proxied().await;
    text(&mut connection, "select clock_timestamp()::text").await;
    let (up, down) = (proxy.bytes_up(), proxy.bytes_down());
    proxy.pause_requests();
    let ask = text(&mut connection, "select clock_timestamp()::text");
    tokio::pin!(ask);
    let deadline = Instant::now() + PATIENCE;
    while proxy.bytes_up() == up {
        assert!(Instant::now() < deadline);
        assert!(timeout(Duration::from_millis(1), &mut ask).await.is_err());
    }
    assert_eq!(proxy.bytes_down(), down);
    proxy.resume_requests();
    timeout(PATIENCE, ask).await.unwrap();
}

#[tokio::test]
async fn reset_breaks_open_connections_and_no_later_ones() {
    let (proxy, mut connection) = proxied().await;
    proxy.pause();
    let ask = sqlx::query("select 1").execute(&mut connection);
    tokio::pin!(ask);
    assert!(timeout(Duration::from_millis(5), &mut ask).await.is_err());
    proxy.reset_all();
    let error = timeout(PATIENCE, ask).await.unwrap().unwrap_err();
    let sqlx::Error::Io(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    proxy.resume();
    let server = PgServer::shared().await.unwrap();
    let mut later = connect(proxy.options(server.connect_options("postgres"))).await;
    assert_eq!(text(&mut later, "select 'a'").await, "a");
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn last_words_of_the_server_arrive_and_its_end_ends_the_connection() {
    let (proxy, mut connection) = proxied().await;
    let error = sqlx::query("select pg_terminate_backend(pg_backend_pid())")
        .execute(&mut connection)
        .await
        .unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().code().as_deref(),
        Some("57P01")
    );
    drop(connection);
    let deadline = Instant::now() + PATIENCE;
    while proxy.connections() > 0 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dropped_proxy_is_gone_with_its_connections() {
    let (proxy, mut connection) = proxied().await;
    proxy.pause();
    let port = proxy.port();
    drop(proxy);
    assert!(
        timeout(PATIENCE, sqlx::query("select 1").execute(&mut connection))
            .await
            .unwrap()
            .is_err()
    );
    match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
        Err(refused) => assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused),
        // The port is free, and the proxy of another test may have it: that one answers a request for TLS,
        // where this one was paused.
        Ok(mut stream) => {
            let mut answer = [0];
            stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
            timeout(PATIENCE, stream.read_exact(&mut answer))
                .await
                .unwrap()
                .unwrap();
        }
    }
}

#[tokio::test]
async fn server_that_died_by_itself_leaves_nothing_whatever_became_of_its_mark() {
    let server = PgServer::private().await.unwrap();
    let (pid, directory) = (server.pid().unwrap(), server.directory().unwrap().to_path_buf());
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    let mark = directory.join("exited");
    let deadline = Instant::now() + PATIENCE;
    while !mark.exists() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    fs::remove_file(&mark).unwrap();
    drop(server);
    gone(pid, &directory).await;
}
