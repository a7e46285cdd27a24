use std::time::SystemTime;

use serde::Serialize;

use super::figure::{Figure, Total, as_seconds};
use crate::client::{ClientId, PoolId};
use crate::directory::Usage;

/// What a client takes up: rows, bytes, its latest change, and its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Footprint {
    /// Whose.
    pub client: ClientId,
    /// The pool that its rows are in; `None` where it has a database of its own.
    pub pool: Option<PoolId>,
    /// Its tables, in order of their names. What it has none of is among them.
    pub tables: Vec<TableFootprint>,
    /// When it last changed anything.
    pub latest_change: LatestChange,
    /// When a manager last looked it up, as far as it told; `None` where none did. That is use, and no change.
    #[serde(serialize_with = "as_seconds")]
    pub last_seen: Option<SystemTime>,
    /// What it has used of each metered limit this month, in order of their names.
    pub calls: Vec<Usage>,
}

/// What a client takes up in one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableFootprint {
    /// The table, as `schema.name`. Its partitions are in it.
    pub table: String,
    /// How many rows.
    pub rows: Figure,
    /// How much of the disk. What that counts depends on who tells it: see
    /// [`estimate`](crate::Footprints::estimate) and [`exact`](crate::Footprints::exact).
    pub bytes: Figure,
}

/// When a client last changed anything, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LatestChange {
    /// A row has this value in the column that [`latest_by`](crate::FootprintOptions::latest_by) names, and none that
    /// was asked a later one. A row that was deleted tells nothing.
    Column {
        /// When.
        #[serde(serialize_with = "seconds")]
        at: SystemTime,
        /// The table of the row, as `schema.name`.
        table: String,
        /// The tables that have no such column, or no index that leads to it where only statistics are read.
        not_asked: Vec<String>,
    },
    /// No table that could be asked has a row of the client.
    Unknown,
}

fn seconds<S: serde::Serializer>(moment: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    as_seconds(&Some(*moment), serializer)
}

impl Footprint {
    /// All its rows.
    pub fn rows(&self) -> Total {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// All its bytes.
    pub fn bytes(&self) -> Total {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// What it has of the table, given as `schema.name`.
    pub fn table(&self, name: &str) -> Option<&TableFootprint> {
        self.tables.iter().find(|table| table.table == name)
    }
}

/// What the clients of a pool database take up, and what nobody does who is placed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolFootprint {
    /// The pool.
    pub pool: PoolId,
    /// What all files of the database take, those of shared tables and of the kernel included.
    pub bytes: u64,
    /// The tables that have clients' rows, in order of their names.
    pub tables: Vec<PoolTable>,
    /// The clients that are placed there and were not deleted, in the order that they were created in.
    pub clients: Vec<Footprint>,
}

/// A table of a pool database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolTable {
    /// The table, as `schema.name`. Its partitions are in it.
    pub table: String,
    /// How many rows it has, all clients' together.
    pub rows: Figure,
    /// What its files take, indexes and free space included.
    pub bytes: u64,
    /// Rows of clients that are not placed there, as after a relocation that is not completed or of one that was
    /// deleted and not erased. What is a guess of it may be placed clients' as well.
    pub others_rows: Figure,
    /// Their part of the files.
    pub others_bytes: Figure,
    /// How many rows were changed since the statistics were taken. Against many, they are out of date.
    pub changed_since: u64,
}
