use std::sync::Arc;
use std::time::Duration;

use super::{ErrorKind, kind_of};

/// Why a data set could not be applied or looked at.
///
/// No variant holds a secret, or what was made of one. Places are those in the data set, such as
/// `tools.json: each_client[0].rows[2]`; the messages of PostgreSQL that are carried as a source can hold values of
/// the row that was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// The data set is not what one should be.
    #[error("{at}: {reason}")]
    Document {
        /// The place in it.
        at: String,
        /// What is wrong there.
        reason: String,
    },
    /// A file cannot be read.
    #[error("the file cannot be read")]
    File(#[source] Arc<std::io::Error>),
    /// A file is not what it should be. Nothing of what is in it is told.
    #[error("the file is not as it should be: {0}")]
    WrongFile(&'static str),
    /// A row is described twice.
    #[error("{at}: the row of {table} with the key {key} is described at {first} already")]
    NamedTwice {
        /// The table.
        table: String,
        /// The natural key.
        key: String,
        /// Where it is described first.
        first: String,
        /// Where it is described again.
        at: String,
    },
    /// Secrets that the data sets name are not there. There is no fallback.
    #[error("no secret is named {}", names.join(", "))]
    MissingSecret {
        /// Their names.
        names: Vec<String>,
    },
    /// The source of the secrets, or what is to be made of one, failed.
    #[error("the secret {name} could not be {what}")]
    Secret {
        /// Its name.
        name: String,
        /// What was to be done.
        what: &'static str,
        /// What it said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody makes that of a secret.
    #[error("{at}: nothing makes {form} of a secret")]
    UnknownForm {
        /// The place in the data set.
        at: String,
        /// What was asked for.
        form: String,
    },
    /// A table that the database does not have, or that the role may not see.
    #[error("{at}: no table {table}{}", super::nearest(nearest.as_deref()))]
    UnknownTable {
        /// The place in the data set.
        at: String,
        /// The name that was given.
        table: String,
        /// The table whose name is nearest.
        nearest: Option<String>,
    },
    /// A column that the table does not have.
    #[error("{at}: table {table} has no column {column}{}", super::nearest(nearest.as_deref()))]
    UnknownColumn {
        /// The place in the data set.
        at: String,
        /// The table.
        table: String,
        /// The name that was given.
        column: String,
        /// The column whose name is nearest.
        nearest: Option<String>,
    },
    /// The rows, or references to them, do not go with the table.
    #[error("{at}: table {table}: {reason}")]
    WrongTable {
        /// The place in the data set.
        at: String,
        /// The table.
        table: String,
        /// Why not.
        reason: String,
    },
    /// Tables, or rows of one, refer to each other in a circle.
    #[error("in a circle refer to each other: {}", of.join(", "))]
    Circle {
        /// The tables, or the places of the rows.
        of: Vec<String>,
    },
    /// A row refers to one that is neither in the database nor in the data sets.
    #[error("{at}: table {table} has no row {key}")]
    MissingReference {
        /// The place in the data set.
        at: String,
        /// The table that was referred to.
        table: String,
        /// The key of the row.
        key: String,
    },
    /// A value does not go into its column.
    #[error("{at}: {table}.{column} is {expected}, and the value is not")]
    WrongValue {
        /// The place in the data set.
        at: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        expected: String,
        /// What the database said, where it was asked.
        #[source]
        source: Option<Arc<sqlx::Error>>,
    },
    /// Another process is seeding the same, for longer than it was waited for.
    #[error("another process is seeding it, and was waited for {waited:?}")]
    Busy {
        /// How long it was waited for.
        waited: Duration,
    },
    /// There are shared rows and no client whose database they would go into.
    #[error("there are shared rows and no client: say that they are for the fleet")]
    NoDatabase,
    /// A database refused a statement.
    #[error("the rows of {table} were refused")]
    Statement {
        /// The table.
        table: String,
        /// What the database or the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
}

impl SeedError {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Document { .. }
            | Self::NamedTwice { .. }
            | Self::UnknownForm { .. }
            | Self::UnknownTable { .. }
            | Self::UnknownColumn { .. }
            | Self::WrongTable { .. }
            | Self::Circle { .. }
            | Self::MissingReference { .. }
            | Self::WrongValue { .. }
            | Self::NoDatabase => ErrorKind::Usage,
            Self::File(_) | Self::WrongFile(_) | Self::MissingSecret { .. } | Self::Secret { .. } => {
                ErrorKind::Installation
            }
            Self::Busy { .. } => ErrorKind::Temporary,
            Self::Statement { source, .. } => kind_of(source),
        }
    }
}
