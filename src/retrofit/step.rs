use std::fmt;

use serde::{Deserialize, Serialize};

use super::phase::RetrofitPhase;

/// A step of a plan: what is done, and what undoes it. Steps are undone from the last to the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) phase: RetrofitPhase,
    /// The table, with its schema; none of a step that is about the database.
    pub(super) table: String,
    pub(super) forward: Option<Action>,
    pub(super) backward: Option<Action>,
    /// The number of the step that this one has to be undone before, if it is there for the way back alone: that one
    /// may have been done, and this one not be reached.
    pub(super) back_of: Option<i32>,
}

/// How a step is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// In a transaction that takes tables for itself, each time for no longer than a turn.
    Turn {
        /// The tables, quoted.
        tables: Vec<String>,
        /// Against whom.
        against: Against,
        sql: String,
    },
    /// In a transaction that nobody who reads or writes waits for.
    Quiet { sql: String },
    /// An index is built while its table is written to, unless it is there.
    Build {
        /// Quoted, with its schema.
        index: String,
        /// What it is of, for people.
        key: String,
        sql: String,
    },
    /// An index is dropped while its table is written to, if it is there.
    DropIndex {
        /// Quoted, with its schema.
        index: String,
    },
    /// Rows without a client get theirs, batch by batch; those that match nothing stop it.
    Assign {
        /// Quoted.
        table: String,
        oid: i64,
        /// The primary key of the row `r`, as JSON.
        key: String,
        /// The client of the row `r`.
        client: String,
    },
    /// That no row has another client than would be assigned to it again, or it is not gone back.
    Sole {
        /// Quoted.
        table: String,
        /// The client of the row `r`.
        client: String,
    },
}

/// Against whom a table is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Against {
    /// Those who write wait; those who read do not.
    Writers,
    Everybody,
}

impl Against {
    pub(super) const fn mode(self) -> &'static str {
        match self {
            Self::Writers => "share row exclusive",
            Self::Everybody => "access exclusive",
        }
    }
}

impl Action {
    pub(super) fn quiet(sql: impl Into<String>) -> Self {
        Self::Quiet { sql: sql.into() }
    }

    pub(super) fn turn(table: &str, sql: impl Into<String>) -> Self {
        Self::Turn {
            tables: vec![table.to_owned()],
            against: Against::Everybody,
            sql: sql.into(),
        }
    }
}

impl fmt::Display for Action {
    /// As SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn { tables, against, sql } => write!(
                f,
                "begin; lock table {} in {} mode; {sql}; commit;",
                tables.join(", "),
                against.mode()
            ),
            Self::Quiet { sql } | Self::Build { sql, .. } => write!(f, "{sql};"),
            Self::DropIndex { index } => write!(f, "drop index concurrently if exists {index};"),
            // In batches of blocks.
            Self::Assign { table, client, .. } => write!(
                f,
                "update only {table} r set client_id = {client} where client_id is null;"
            ),
            Self::Sole { table, client } => write!(
                f,
                "select client_id, count(*) from only {table} r where client_id is distinct from {client} group by 1;"
            ),
        }
    }
}
