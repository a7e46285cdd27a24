use std::error::Error as _;
use std::fmt;

use serde::Serialize;

use crate::error::Error;

/// How bad a [`Symptom`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Everybody is served; it is better mended.
    Advice,
    /// Somebody is not served, or will not be, or is not guarded as intended.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Advice => "advice",
            Self::Problem => "problem",
        })
    }
}

/// Something that is wrong, where, and what to do about it. It holds no credential and no value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Symptom {
    /// The check that found it, such as `pool.unreachable`: it stays the same from version to version.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The database, pool or client.
    pub about: String,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl Symptom {
    pub(super) fn problem(
        check: &'static str,
        about: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            check,
            severity: Severity::Problem,
            about: about.into(),
            what: what.into(),
            mend: mend.into(),
        }
    }

    pub(super) fn advice(
        check: &'static str,
        about: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Advice,
            ..Self::problem(check, about, what, mend)
        }
    }
}

/// An error and what it was caused by, as one line.
pub(super) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
