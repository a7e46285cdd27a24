//! What a file says of the client and its tables.

use serde::{Deserialize, Serialize};

use crate::client::{ClientId, ClientRecord, Placement};
use crate::schema::{ContentHash, HostTable, Manifest};

/// How many rows of a client a table had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableRows {
    /// The table, with its schema.
    pub table: String,
    /// How many rows.
    pub rows: u64,
}

/// The first section of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Heading {
    pub(super) crate_version: String,
    pub(super) server_version: String,
    /// When the snapshot was taken, by the clock of the server.
    pub(super) taken_at: String,
    pub(super) client: Whose,
    pub(super) left_out: Vec<String>,
    /// In the order of their sections.
    pub(super) tables: Vec<FileTable>,
}

/// Who the client was, for people: nothing of it is restored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Whose {
    pub(super) id: ClientId,
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) tier: String,
    pub(super) placement: String,
}

/// A table in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FileTable {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<FileColumn>,
    pub(super) sequences: Vec<FileSequence>,
}

/// A column, by the name of its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileColumn {
    pub(super) name: String,
    pub(super) r#type: String,
    /// Whether its values are there as text.
    pub(super) as_text: bool,
}

/// How far the sequence of a column had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSequence {
    pub(super) column: String,
    pub(super) last: i64,
}

/// The section behind the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableEnd {
    pub(super) content: ContentHash,
}

/// The last section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) tables: u32,
    pub(super) rows: u64,
}

impl Whose {
    pub(super) fn of(record: &ClientRecord) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            slug: record.slug.to_string(),
            tier: record.tier.to_string(),
            placement: match record.placement {
                Placement::Pool(_) => "pool".to_owned(),
                Placement::Dedicated => "dedicated".to_owned(),
            },
        }
    }
}

impl Heading {
    pub(super) fn tables_of(manifest: &Manifest) -> Vec<FileTable> {
        manifest.tables.iter().map(FileTable::of).collect()
    }
}

impl FileTable {
    fn of(table: &HostTable) -> Self {
        Self {
            schema: table.schema.clone(),
            name: table.name.clone(),
            columns: table
                .columns()
                .map(|column| FileColumn {
                    name: column.name.clone(),
                    r#type: column.type_name.clone(),
                    as_text: column.as_text,
                })
                .collect(),
            sequences: table
                .sequences()
                .iter()
                .filter_map(|sequence| {
                    Some(FileSequence {
                        column: sequence.column.clone(),
                        last: sequence.last?,
                    })
                })
                .collect(),
        }
    }

    pub(super) fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}
