use std::error::Error as _;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use tenantry::{Error, ErrorKind};

/// How a command that ran to its end ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it was asked for.
    Done,
    /// It looked, and found something that is to be mended.
    Found,
}

impl Outcome {
    /// Found, where that is more than nothing.
    pub(crate) fn of_findings(found: usize) -> Self {
        if found == 0 { Self::Done } else { Self::Found }
    }

    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Found => ExitCode::from(1),
        }
    }
}

/// Why a command did not run to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What it was given does not do.
    Usage(String),
    /// A file or the terminal.
    Io(String),
    /// The library says why.
    Library(Box<Error>),
    /// Somebody interrupted it.
    Interrupted,
    /// Whoever read the output went away.
    NobodyReads,
}

impl Failure {
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    pub(crate) fn io(step: &str, error: &std::io::Error) -> Self {
        Self::Io(format!("{step}: {error}"))
    }

    pub(crate) fn file(step: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io(format!("{step} {}: {error}", path.display()))
    }

    /// What it is to a program that reads it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Io(_) => "io",
            Self::Interrupted => "interrupted",
            Self::NobodyReads => "output",
            Self::Library(error) => match error.kind() {
                ErrorKind::Client => "client",
                ErrorKind::Plan => "plan",
                ErrorKind::Temporary => "temporary",
                ErrorKind::Usage => "usage",
                ErrorKind::Installation => "installation",
                ErrorKind::Database => "database",
                ErrorKind::Ambiguous => "ambiguous",
                _ => "other",
            },
        }
    }

    /// What it was caused by, from the top down.
    pub(crate) fn causes(&self) -> Vec<String> {
        let Self::Library(error) = self else {
            return Vec::new();
        };
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some say what their cause says.
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            source = cause.source();
        }
        causes
    }

    /// It and what caused it, as a line.
    pub(crate) fn told(&self) -> String {
        let mut text = self.to_string();
        for cause in self.causes() {
            text.push_str(": ");
            text.push_str(&cause);
        }
        text
    }

    /// What whoever reads it can do.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Interrupted => Some("nothing is half done: give the command again to go on"),
            Self::Library(error) => match error.kind() {
                ErrorKind::Temporary => Some("give the command again"),
                ErrorKind::Installation => Some("`tenantry doctor` says what is wrong and how to mend it"),
                ErrorKind::Ambiguous => Some("it may have taken effect: look before you give it again"),
                _ => None,
            },
            Self::Usage(_) | Self::Io(_) | Self::NobodyReads => None,
        }
    }

    /// 2 for wrong use, as of unknown arguments; from 3 on what kind of error the library gave.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NobodyReads => 0,
            Self::Usage(_) => 2,
            Self::Io(_) => 8,
            Self::Interrupted => 130,
            Self::Library(error) => match error.kind() {
                ErrorKind::Usage => 2,
                ErrorKind::Client | ErrorKind::Plan => 3,
                ErrorKind::Temporary => 4,
                ErrorKind::Installation => 5,
                ErrorKind::Ambiguous => 7,
                _ => 6,
            },
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Io(what) => f.write_str(what),
            Self::Library(error) => error.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
            Self::NobodyReads => f.write_str("nobody reads the output"),
        }
    }
}
