//! A server's parent: a shell that outlives us by as long as it takes to stop the server and remove its
//! files.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::account::Account;
use super::address::SOCKET_PORT;
use super::error::{ServerError, end_of};
use super::find::Programs;
use super::run::Run;

/// Reads orders from its standard input. The end of input is the death of whoever holds the other end of the
/// pipe, however it died: the kernel closes pipes for the killed too.
///
/// `holder` is the parent that reaps the server, and says in the files `pid` and `exited` whether there is
/// one.
const KEEPER: &str = r#"
template=$1; shift
cd "$(dirname "$0")" || exit 1
dir=$PWD
run() {
    {
        "$@" >>log 2>&1 &
        echo $! >pid.new; mv pid.new pid
        wait $!
        code=$?
        rm -f pid; echo $code >exited.new; mv exited.new exited
    } </dev/null &
    holder=$!
}
signal() {
    [ -n "$holder" ] || return
    # Whoever sends orders may have taken the mark of the exit away meanwhile: then there is no holder either.
    until [ -e pid ] || [ -e exited ] || ! kill -0 "$holder" 2>/dev/null; do sleep 0.02; done
    if read -r pid 2>/dev/null <pid; then kill "-$1" "$pid" 2>/dev/null; fi
    wait "$holder"
    holder=
}
finish() {
    trap '' HUP INT TERM
    signal QUIT
    # A killed server leaves a segment of shared memory, whose name is on line 7.
    if [ -e data/postmaster.pid ]; then
        set -- $(sed -n 7p data/postmaster.pid)
        [ -z "$2" ] || ipcrm -m "$2" 2>/dev/null
    fi
    cd /
    rm -rf "$dir" || { sleep 0.2; rm -rf "$dir"; }
}
holder=
trap finish EXIT
trap 'exit 1' HUP INT TERM
if cp -R "$template" data 2>>log; then run "$@"; else echo cp >exited; fi
while read -r order; do
    case $order in
        kill) signal KILL ;;
        stop) signal QUIT ;;
        start) signal QUIT; run "$@" ;;
    esac
done
"#;

/// Holds the keeper's pipe until the runner of a test run is gone, then removes the directory of the run.
///
/// A zombie answers `kill -0`, hence the look at its state.
const WATCHER: &str = r#"
trap '' HUP INT
alive() {
    kill -0 "$1" 2>/dev/null || return 1
    [ -r "/proc/$1/stat" ] || return 0
    read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" && [ "$state" != Z ]
}
while alive "$1"; do sleep 0.3; done
rm -rf "$2"
"#;

/// The pipe to the keeper of a server that dies with us.
#[derive(Debug)]
pub(super) struct Keeper {
    directory: PathBuf,
    shell: Option<Child>,
    orders: Option<ChildStdin>,
}

/// Whether the server is one that tests may kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mortality {
    Killable,
    Shared,
}

impl Keeper {
    /// Starts a keeper, which starts a server on a copy of the template in a new directory.
    pub(super) fn start(
        programs: &Programs,
        template: &Path,
        account: &Account,
        mortality: Mortality,
    ) -> Result<Self, ServerError> {
        let base = base(account);
        let directory = tempfile::Builder::new()
            .prefix("tenantry-pg-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&base)
            .map_err(ServerError::io("create the server's directory in", &base))?;
        account.give(directory.path())?;
        let mut shell = account.command("/bin/sh");
        // `$0` is in the directory, so that a list of processes tells whose keeper it is.
        shell
            .arg("-c")
            .arg(KEEPER)
            .arg(directory.path().join("keeper"))
            .arg(template);
        shell
            .arg(programs.bin.join("postgres"))
            .arg("-D")
            .arg(directory.path().join("data"));
        shell
            .arg("-k")
            .arg(directory.path())
            .arg("-p")
            .arg(SOCKET_PORT.to_string());
        if mortality == Mortality::Killable {
            // In the data directory, so that nothing is left in /dev/shm by a server that is killed.
            shell.args(["-c", "dynamic_shared_memory_type=mmap"]);
        }
        // A group of its own: Ctrl-C and a test runner's kill are for us, and the keeper acts after us.
        shell
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut shell = shell.spawn().map_err(ServerError::io("start", "/bin/sh"))?;
        let orders = shell.stdin.take();
        Ok(Self {
            directory: directory.keep(),
            shell: Some(shell),
            orders,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Hands the server over to a test run: it then dies with the runner and not with us.
    pub(super) fn hand_over(mut self, run: &Run) -> Result<PathBuf, ServerError> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(WATCHER).arg(self.directory.join("watcher"));
        shell.arg(run.runner().to_string()).arg(run.directory());
        shell
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        shell.stdout(self.orders.take().map_or_else(Stdio::null, Stdio::from));
        shell.spawn().map_err(ServerError::io("start", "/bin/sh"))?;
        self.shell = None;
        Ok(self.directory.clone())
    }

    /// Gives an order to the keeper. The directory tells when it is done: see [`State`].
    pub(super) fn order(&mut self, order: Order) -> Result<(), ServerError> {
        let (word, step) = match order {
            Order::Kill => ("kill\n", "kill the server in"),
            Order::Stop => ("stop\n", "stop the server in"),
            Order::Start => {
                let mark = self.directory.join("exited");
                if let Err(error) = fs::remove_file(&mark)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(ServerError::io("remove", mark)(error));
                }
                ("start\n", "start the server in")
            }
        };
        let orders = self.orders.as_mut().ok_or(std::io::ErrorKind::BrokenPipe.into());
        orders
            .and_then(|orders| orders.write_all(word.as_bytes()))
            .map_err(ServerError::io(step, &self.directory))
    }

    /// Stops the server and waits until it is gone with all its files.
    pub(super) fn stop(&mut self) -> Result<(), ServerError> {
        self.orders = None;
        let Some(mut shell) = self.shell.take() else {
            return Ok(());
        };
        shell
            .wait()
            .map(drop)
            .map_err(ServerError::io("wait for the server in", &self.directory))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The end of the pipe stops the server.
        self.orders = None;
        let Some(mut shell) = self.shell.take() else {
            return;
        };
        // The shell ends a moment later, and is a zombie until it is reaped. Without a thread to spare it
        // stays one.
        let _ = std::thread::Builder::new()
            .name("pg-reaper".to_owned())
            .spawn(move || shell.wait());
    }
}

/// What a keeper can be told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// `kill -9` to the server.
    Kill,
    /// Stop the server at once, if it runs, without saying goodbye to its clients.
    Stop,
    /// Start the server again. It must have exited: what the directory tells is of the old one until then.
    Start,
}

/// What the keeper says of the server in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Running { pid: u32 },
    Exited,
}

impl State {
    pub(super) fn read(directory: &Path) -> Self {
        if directory.join("exited").exists() || !directory.exists() {
            return Self::Exited;
        }
        let pid = fs::read_to_string(directory.join("pid"))
            .ok()
            .and_then(|pid| pid.trim().parse().ok());
        pid.map_or(Self::Starting, |pid| Self::Running { pid })
    }
}

/// The end of a server's log.
pub(super) fn log(directory: &Path) -> String {
    end_of(&String::from_utf8_lossy(
        &fs::read(directory.join("log")).unwrap_or_default(),
    ))
}

/// Where the directories of servers and runs are: the temporary directory, unless its name is too long for
/// the path of a socket (about 100 bytes) or the server's user cannot enter it.
pub(super) fn base(account: &Account) -> PathBuf {
    const LONGEST: usize = 60;
    let base = std::env::temp_dir();
    if base.as_os_str().len() <= LONGEST && account.can_enter(&base) {
        base
    } else {
        "/tmp".into()
    }
}
