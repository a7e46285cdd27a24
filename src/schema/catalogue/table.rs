use std::collections::HashMap;

use serde::Deserialize;
use sqlx::types::Json;

use super::CLIENT_COLUMN;

/// A table as the app role may name it.
#[expect(clippy::struct_excessive_bools, reason = "an entry of a catalogue")]
#[derive(Debug)]
pub(crate) struct Table {
    /// Schema and name, as they are.
    pub(crate) qualified: String,
    /// The name alone.
    pub(crate) name: String,
    /// Schema and name, quoted.
    pub(crate) sql: String,
    pub(crate) kind: TableKind,
    /// Whether it has `client_id`, which on a dedicated database it may not.
    pub(crate) has_client: bool,
    /// Whether COPY can load it: it is no view.
    pub(crate) takes_copies: bool,
    /// Whether a read runs code of the host's, which can leave something on the session; whether a write does.
    reads_run_code: bool,
    writes_run_code: bool,
    /// Every column but `client_id`, quoted and joined by commas.
    pub(crate) visible_columns: String,
    /// Every column but `client_id`, in the table's order.
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    keys: Vec<Key>,
    foreign_keys: Vec<ForeignKey>,
}

/// How a table relates to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableKind {
    /// Has `client_id`: scoped on a pool.
    Tenant,
    /// Declared as read by all clients and written by none.
    Shared,
    /// Neither: refused on a pool, ordinary on a dedicated database.
    Plain,
}

/// A column that callers see.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its name, quoted.
    pub(crate) sql: String,
    /// Its type with its modifier, as SQL spells it.
    pub(crate) type_sql: String,
    pub(crate) type_oid: u32,
    pub(crate) not_null: bool,
}

/// A unique index over whole columns and all rows.
#[derive(Debug)]
pub(crate) struct Key {
    /// Whether `client_id` is among its columns.
    pub(crate) has_client: bool,
    /// The others, in its order.
    pub(crate) columns: Vec<String>,
}

/// A foreign key, without its pair of `client_id`.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) columns: Vec<String>,
    /// The table that it refers to, by schema and name.
    pub(crate) to: String,
    pub(crate) to_columns: Vec<String>,
}

impl Table {
    /// The schema alone.
    pub(crate) fn schema(&self) -> &str {
        let end = self.qualified.len().saturating_sub(self.name.len() + 1);
        self.qualified.get(..end).unwrap_or_default()
    }

    /// Whether a statement runs code of the host's.
    pub(crate) fn runs_code(&self, writes: bool) -> bool {
        if writes {
            self.writes_run_code
        } else {
            self.reads_run_code
        }
    }

    /// A column; never `client_id`.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.by_name.get(name).map(|at| &self.columns[*at])
    }

    /// Every column but `client_id`, in the table's order.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The primary key, or else a unique one of columns that are never null: what tells one row of a client
    /// from all others.
    pub(crate) fn identity(&self) -> Option<&Key> {
        let never_null = |key: &&Key| {
            (key.columns.iter()).all(|name| self.column(name).is_some_and(|column| column.not_null))
        };
        self.keys.iter().find(never_null)
    }

    /// The unique key over these columns, in any order.
    pub(crate) fn key_over(&self, names: &[&str]) -> Option<&Key> {
        let over = |key: &&Key| {
            key.columns.len() == names.len()
                && key.columns.iter().all(|column| names.contains(&column.as_str()))
        };
        self.keys.iter().find(over)
    }

    /// Whether no two rows of a client are equal in these columns, unless by nulls.
    pub(crate) fn is_unique_over(&self, names: &[&str]) -> bool {
        let within = |key: &Key| key.columns.iter().all(|column| names.contains(&column.as_str()));
        self.keys.iter().any(within)
    }

    pub(crate) fn foreign_keys_to(&self, table: &Self) -> impl Iterator<Item = &ForeignKey> {
        let to = table.qualified.clone();
        self.foreign_keys.iter().filter(move |key| key.to == to)
    }
}

#[expect(clippy::struct_excessive_bools, reason = "a row of a catalogue")]
#[derive(sqlx::FromRow)]
pub(super) struct TableRow {
    pub(super) read_runs_code: bool,
    pub(super) write_runs_code: bool,
    pub(super) takes_copies: bool,
    pub(super) qualified: String,
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) visible: bool,
    pub(super) shared: bool,
    pub(super) columns: Vec<String>,
    pub(super) quoted: Vec<String>,
    pub(super) types: Vec<String>,
    pub(super) type_oids: Vec<i64>,
    pub(super) not_null: Vec<bool>,
    pub(super) keys: Json<Vec<KeyRow>>,
    pub(super) foreign_keys: Json<Vec<ForeignKeyRow>>,
}

#[derive(Deserialize)]
pub(super) struct KeyRow {
    pub(super) columns: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct ForeignKeyRow {
    pub(super) columns: Vec<String>,
    pub(super) to: String,
    pub(super) to_columns: Vec<String>,
}

impl From<TableRow> for Table {
    fn from(row: TableRow) -> Self {
        let has_client = row.columns.iter().any(|column| column == CLIENT_COLUMN);
        let spelt = row.columns.into_iter().zip(row.quoted);
        let typed = row.types.into_iter().zip(row.type_oids).zip(row.not_null);
        let columns: Vec<Column> = spelt
            .zip(typed)
            .map(|((name, sql), ((type_sql, type_oid), not_null))| Column {
                name,
                sql,
                type_sql,
                type_oid: u32::try_from(type_oid).unwrap_or_default(),
                not_null,
            })
            .filter(|column| column.name != CLIENT_COLUMN)
            .collect();
        Self {
            qualified: row.qualified,
            name: row.name,
            sql: row.sql,
            takes_copies: row.takes_copies,
            reads_run_code: row.read_runs_code,
            writes_run_code: row.read_runs_code || row.write_runs_code,
            kind: match (row.shared, has_client) {
                (true, _) => TableKind::Shared,
                (false, true) => TableKind::Tenant,
                (false, false) => TableKind::Plain,
            },
            has_client,
            visible_columns: super::joined(columns.iter().map(|column| &column.sql)),
            by_name: (columns.iter().enumerate())
                .map(|(at, column)| (column.name.clone(), at))
                .collect(),
            columns,
            keys: row.keys.0.into_iter().map(Key::from).collect(),
            foreign_keys: row.foreign_keys.0.into_iter().map(ForeignKey::from).collect(),
        }
    }
}

impl From<KeyRow> for Key {
    fn from(row: KeyRow) -> Self {
        Self {
            has_client: row.columns.iter().any(|column| column == CLIENT_COLUMN),
            columns: row
                .columns
                .into_iter()
                .filter(|column| column != CLIENT_COLUMN)
                .collect(),
        }
    }
}

impl From<ForeignKeyRow> for ForeignKey {
    fn from(row: ForeignKeyRow) -> Self {
        let pairs = row.columns.into_iter().zip(row.to_columns);
        let (columns, to_columns) = pairs.filter(|(column, _)| column != CLIENT_COLUMN).unzip();
        Self {
            columns,
            to: row.to,
            to_columns,
        }
    }
}
