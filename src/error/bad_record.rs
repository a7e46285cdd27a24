use std::fmt;
use std::path::PathBuf;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct FilePosition {
    /// The file.
    pub file: PathBuf,
    /// The number of the record, from 1 on; `None` where it is no matter of one.
    pub record: Option<u64>,
    /// The line, from 1 on.
    pub line: u64,
    /// The byte of that line, from 1 on.
    pub column: u64,
}

/// A record of a file that cannot be taken as it is, or what is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRecord {
    /// Where it is; of what can be told so exactly, where in it.
    pub at: FilePosition,
    /// What is wrong.
    pub kind: BadRecordKind,
}

/// What is wrong with a record, or with a file of them. None holds a value of a record but its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRecordKind {
    /// It is not JSON.
    NotJson {
        /// What was expected, or is wrong.
        reason: String,
    },
    /// It is not UTF-8.
    NotUtf8,
    /// It is JSON, and no object.
    NotAnObject,
    /// A field is not there.
    MissingField {
        /// Its name.
        field: String,
    },
    /// A field is of another type, or is there twice.
    WrongField {
        /// The way to it.
        path: String,
    },
    /// Its key is empty.
    NoKey,
    /// It is filed under a key that is not its own.
    FiledElsewhere {
        /// Its own.
        key: String,
    },
    /// A record before it has the same key.
    DuplicateKey {
        /// The key.
        key: String,
        /// The file of the first.
        first_in: PathBuf,
        /// The number of the first in its file.
        first: u64,
    },
    /// It is larger than what is taken.
    TooLarge {
        /// The bytes that are taken.
        largest: u64,
    },
    /// The file ends within it.
    Unfinished,
    /// The file is neither a list of records nor an object of them by key.
    NotRecords,
    /// The target did not take it.
    Refused {
        /// The key.
        key: String,
        /// What is kept of what the target said.
        failure: String,
    },
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)?;
        match self.record {
            Some(record) => write!(f, " (record {record})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for BadRecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { reason } => write!(f, "it is not JSON: {reason}"),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::NotAnObject => f.write_str("it is no object"),
            Self::MissingField { field } => write!(f, "it has no field {field}"),
            Self::WrongField { path } => write!(f, "its field {path} is not as it should be"),
            Self::NoKey => f.write_str("its key is empty"),
            Self::FiledElsewhere { key } => write!(f, "it is {key}, and filed under another key"),
            Self::DuplicateKey { key, first_in, first } => {
                write!(f, "{key} is record {first} of {} already", first_in.display())
            }
            Self::TooLarge { largest } => write!(f, "it is larger than {largest} bytes"),
            Self::Unfinished => f.write_str("the file ends within it"),
            Self::NotRecords => f.write_str("the file is neither a list of records nor an object of them"),
            Self::Refused { key, failure } => write!(f, "{key} was not taken: {failure}"),
        }
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.kind)
    }
}
