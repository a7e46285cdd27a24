use std::sync::Arc;

use super::ErrorKind;

/// Why a client could not be taken out of its database, put into another, or erased.
///
/// Nothing was committed of what was to be restored. No variant holds a value of a row.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// A table that is neither the clients' nor declared to be something else: its rows would be forgotten.
    #[error("table {table} is neither the clients' nor shared: protect it, share it or leave it out")]
    UnclassifiedTable {
        /// The table, with its schema.
        table: String,
    },
    /// A table was to be left out that the database does not have.
    #[error("there is no table {table} to leave out")]
    UnknownTable {
        /// The name that was given.
        table: String,
    },
    /// The database of one client has rows of another.
    #[error("table {table} of its own database has rows of another client")]
    ForeignRows {
        /// The table, with its schema.
        table: String,
    },
    /// The tables of both sides differ.
    #[error("table {table} is not the same on both sides: {reason}")]
    SchemaDiffers {
        /// The table, with its schema.
        table: String,
        /// How they differ.
        reason: String,
    },
    /// The client that was to be restored into has rows already.
    #[error("table {table} has rows of the client already")]
    NotEmpty {
        /// The table, with its schema.
        table: String,
    },
    /// The file was cut short or changed, or is none of a client.
    #[error("the file is damaged, or none of a client: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file was written by a later version of the crate.
    #[error("the file has version {version}, which is not known")]
    UnknownVersion {
        /// Its version.
        version: u16,
    },
    /// What is in the table after loading is not what was exported: a trigger may have changed it.
    #[error("table {table} does not have after loading what it had: {reason}")]
    ContentDiffers {
        /// The table, with its schema.
        table: String,
        /// How it differs.
        reason: String,
    },
    /// The client may not be erased, or not yet.
    #[error("the client is not to be erased: {reason}")]
    NotErasable {
        /// Why.
        reason: String,
    },
    /// Rows are left where they were deleted: a trigger of the host keeps them, or made others.
    #[error("table {table} still has rows of the client")]
    RowsLeft {
        /// The table, with its schema.
        table: String,
    },
    /// Reading or writing the file failed.
    #[error("{step} the file failed")]
    File {
        /// What was being done: reading or writing.
        step: &'static str,
        /// What the reader or writer said.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl PortableError {
    pub(super) const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnclassifiedTable { .. }
            | Self::ForeignRows { .. }
            | Self::SchemaDiffers { .. }
            | Self::ContentDiffers { .. }
            | Self::RowsLeft { .. }
            | Self::File { .. } => ErrorKind::Installation,
            Self::UnknownTable { .. }
            | Self::NotEmpty { .. }
            | Self::Damaged { .. }
            | Self::UnknownVersion { .. }
            | Self::NotErasable { .. } => ErrorKind::Usage,
        }
    }
}
