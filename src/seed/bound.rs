use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::cell::{Cell, MadeOf, Named, Reference};
use super::plan::{RowPlan, TablePlan, key_text};
use super::secret_form::Forms;
use crate::error::SeedError;
use crate::schema::{Catalogue, Table, TableKind, nearest_name};

/// The rows of one table, held against the catalogue of the database that they go into.
#[derive(Debug)]
pub(super) struct BoundTable {
    /// What the data sets call it.
    pub(super) named: String,
    pub(super) table: Arc<Table>,
    pub(super) key: Vec<String>,
    pub(super) rows: Vec<BoundRow>,
}

#[derive(Debug)]
pub(super) struct BoundRow {
    /// The place in the data set.
    pub(super) at: Arc<str>,
    /// The natural key, as the data set writes it.
    pub(super) key: String,
    /// By column, in order of their names.
    pub(super) cells: Vec<(String, BoundCell)>,
    /// How many rows of the same table, one referring to the next, are to be there before.
    pub(super) level: usize,
}

#[derive(Debug)]
pub(super) enum BoundCell {
    Value(Value),
    Row(BoundReference),
    Secret(MadeOf),
}

/// A row of a table by a unique key, and what of it is meant.
#[derive(Debug)]
pub(super) struct BoundReference {
    pub(super) at: Arc<str>,
    pub(super) table: Arc<Table>,
    pub(super) key: Vec<(String, BoundCell)>,
    pub(super) column: String,
    /// The key as text.
    pub(super) text: String,
    /// Whether the data sets describe the row.
    pub(super) is_described: bool,
}

/// Whose rows they are, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belonging {
    /// A client's, in a pool database.
    Scoped,
    /// A client's, in a database of its own.
    Alone,
    /// All clients', in a pool database.
    Shared,
    /// All clients', in a database of one.
    SharedAlone,
}

/// What holds rows against the catalogue of one database.
pub(super) struct Binder<'b> {
    pub(super) catalogue: &'b Catalogue,
    pub(super) belonging: Belonging,
    pub(super) forms: &'b Forms,
    /// The tables and keys of all rows that are described for the client, and of shared ones.
    pub(super) described: HashSet<(String, String)>,
}

impl Belonging {
    const fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::SharedAlone)
    }

    /// Why rows of it do not go into a table of that kind.
    const fn refuses(self, table: &Table) -> Option<&'static str> {
        if !table.takes_copies {
            return Some("it is a view, or elsewhere");
        }
        match (self, table.kind) {
            (Self::Scoped | Self::Alone, TableKind::Shared) => {
                Some("all clients read it: its rows are shared ones")
            }
            (Self::Scoped, TableKind::Plain) => Some("it has no client_id, and is not shared"),
            (Self::Shared | Self::SharedAlone, TableKind::Tenant) => {
                Some("its rows are clients': they are those of each client, or of one")
            }
            (Self::Shared, TableKind::Plain) => Some("it is not declared as shared"),
            _ => None,
        }
    }
}

impl<'b> Binder<'b> {
    pub(super) fn new(
        catalogue: &'b Catalogue,
        belonging: Belonging,
        forms: &'b Forms,
        described: &[&[TablePlan<'_>]],
    ) -> Self {
        let tables = described.iter().flat_map(|tables| *tables);
        let described = tables.flat_map(|rows| {
            let table = catalogue
                .table(rows.table)
                .map_or_else(|| rows.table.to_owned(), |table| table.qualified.clone());
            let keys = rows.rows.iter().map(|row| key_text(rows.key, row.cells));
            keys.map(move |key| (table.clone(), key))
        });
        Self {
            catalogue,
            belonging,
            forms,
            described: described.collect(),
        }
    }

    /// A table without rows asks for nothing.
    pub(super) fn bind(&self, tables: &[TablePlan<'_>]) -> Result<Vec<BoundTable>, SeedError> {
        let mut named: HashMap<&str, &str> = HashMap::new();
        let mut bound = Vec::with_capacity(tables.len());
        for rows in tables {
            let Some(first) = rows.rows.first() else { continue };
            let at = &first.at;
            let table = self.table(rows.table, at)?;
            if let Some(other) = named.insert(&table.qualified, rows.table) {
                return Err(wrong(at, table, format!("it is named {other} elsewhere")));
            }
            if let Some(reason) = self.belonging.refuses(table) {
                return Err(wrong(at, table, reason.to_owned()));
            }
            unique(table, rows.key.iter().map(String::as_str), at)?;
            let of_table = rows.rows.iter().map(|row| self.row(table, rows.key, row));
            let mut of_table = of_table.collect::<Result<Vec<_>, _>>()?;
            super::order::level(table, &mut of_table)?;
            bound.push(BoundTable {
                named: rows.table.to_owned(),
                table: Arc::clone(table),
                key: rows.key.to_vec(),
                rows: of_table,
            });
        }
        super::order::in_order(bound)
    }

    fn row(&self, table: &Arc<Table>, key: &[String], row: &RowPlan<'_>) -> Result<BoundRow, SeedError> {
        let cells = row.cells.0.iter().map(|(column, cell)| {
            let cell = self.cell(table, column, cell, &row.at)?;
            Ok((column.clone(), cell))
        });
        Ok(BoundRow {
            at: Arc::clone(&row.at),
            key: key_text(key, row.cells),
            cells: cells.collect::<Result<_, SeedError>>()?,
            level: 0,
        })
    }

    fn cell(
        &self,
        table: &Arc<Table>,
        column: &str,
        cell: &Cell,
        at: &Arc<str>,
    ) -> Result<BoundCell, SeedError> {
        let of = table.column(column).ok_or_else(|| SeedError::UnknownColumn {
            at: at.to_string(),
            table: table.qualified.clone(),
            column: column.to_owned(),
            nearest: nearest_name(column, table.column_names()),
        })?;
        let wrong_value = || SeedError::WrongValue {
            at: at.to_string(),
            table: table.qualified.clone(),
            column: column.to_owned(),
            expected: of.type_sql.clone(),
            source: None,
        };
        match cell {
            // PostgreSQL would take its text.
            Cell::Value(Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_))
                if is_text(&of.type_sql) =>
            {
                Err(wrong_value())
            }
            Cell::Value(value) => Ok(BoundCell::Value(value.clone())),
            Cell::Row(reference) => {
                let default = || {
                    let target = self.table(&reference.table, at)?;
                    let mut keys = table.foreign_keys_to(target);
                    let pair = keys.find_map(|key| {
                        let pairs = key.columns.iter().zip(&key.to_columns);
                        pairs.into_iter().find(|(near, _)| *near == column)
                    });
                    Ok(pair.map(|(_, far)| far.clone()))
                };
                self.reference(reference, default, at).map(BoundCell::Row)
            }
            Cell::Secret(made) => {
                if !is_text(&of.type_sql) {
                    return Err(wrong_value());
                }
                if !self.forms.has(&made.form) {
                    return Err(SeedError::UnknownForm {
                        at: at.to_string(),
                        form: made.form.clone(),
                    });
                }
                Ok(BoundCell::Secret(made.clone()))
            }
        }
    }

    fn reference(
        &self,
        reference: &Reference,
        by_foreign_key: impl FnOnce() -> Result<Option<String>, SeedError>,
        at: &Arc<str>,
    ) -> Result<BoundReference, SeedError> {
        let table = self.table(&reference.table, at)?;
        // The admin role, who writes shared rows, reads those of every client.
        if self.belonging.is_shared() && table.kind == TableKind::Tenant {
            return Err(wrong(
                at,
                table,
                "its rows are clients', and a shared row refers to none of them".into(),
            ));
        }
        if self.belonging == Belonging::Scoped && table.kind == TableKind::Plain {
            return Err(wrong(at, table, "it has no client_id, and is not shared".into()));
        }
        unique(table, reference.key.0.keys().map(String::as_str), at)?;
        let column = match &reference.column {
            Some(column) => Some(column.clone()),
            None => match by_foreign_key()? {
                Some(column) => Some(column),
                None => match table.identity().map(|key| key.columns.as_slice()) {
                    Some([only]) => Some(only.clone()),
                    _ => None,
                },
            },
        };
        let column = column.ok_or_else(|| {
            wrong(
                at,
                table,
                "no foreign key says which of its columns is meant: say \"column\"".into(),
            )
        })?;
        if table.column(&column).is_none() {
            return Err(SeedError::UnknownColumn {
                at: at.to_string(),
                table: table.qualified.clone(),
                nearest: nearest_name(&column, table.column_names()),
                column,
            });
        }
        let text = reference.key.text();
        Ok(BoundReference {
            at: Arc::clone(at),
            key: self.key(table, &reference.key, at)?,
            is_described: self.described.contains(&(table.qualified.clone(), text.clone())),
            table: Arc::clone(table),
            column,
            text,
        })
    }

    fn key(
        &self,
        table: &Arc<Table>,
        key: &Named<Cell>,
        at: &Arc<str>,
    ) -> Result<Vec<(String, BoundCell)>, SeedError> {
        let cells = key.0.iter().map(|(column, cell)| {
            let cell = self.cell(table, column, cell, at)?;
            Ok((column.clone(), cell))
        });
        cells.collect()
    }

    fn table(&self, name: &str, at: &Arc<str>) -> Result<&'b Arc<Table>, SeedError> {
        self.catalogue.table(name).ok_or_else(|| SeedError::UnknownTable {
            at: at.to_string(),
            table: name.to_owned(),
            nearest: nearest_name(name, self.catalogue.table_names()),
        })
    }
}

impl BoundCell {
    /// The rows that it refers to, at any depth.
    pub(super) fn references(&self) -> Vec<&BoundReference> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(cell) = open.pop() {
            if let Self::Row(reference) = cell {
                found.push(reference);
                open.extend(reference.key.iter().map(|(_, cell)| cell));
            }
        }
        found
    }
}

fn wrong(at: &Arc<str>, table: &Table, reason: String) -> SeedError {
    SeedError::WrongTable {
        at: at.to_string(),
        table: table.qualified.clone(),
        reason,
    }
}

/// Only by a unique key is it known which row is meant, and that nobody adds another of it.
fn unique<'k>(table: &Table, columns: impl Iterator<Item = &'k str>, at: &Arc<str>) -> Result<(), SeedError> {
    let columns: Vec<&str> = columns.collect();
    if table.key_over(&columns).is_some() {
        return Ok(());
    }
    Err(wrong(
        at,
        table,
        format!("no unique key is over ({})", columns.join(", ")),
    ))
}

/// Whether it takes any text.
fn is_text(type_sql: &str) -> bool {
    let name = type_sql.split('(').next().unwrap_or_default();
    matches!(name, "text" | "character varying" | "character" | "citext")
}
