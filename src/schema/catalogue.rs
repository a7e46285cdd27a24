#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

mod function;
#[cfg(test)]
mod made;
mod nearest;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgConnection;

pub(crate) use self::function::Function;
use self::function::FunctionRow;
pub(crate) use self::nearest::nearest_name;
use self::table::TableRow;
pub(crate) use self::table::{Column, ForeignKey, Table, TableKind};

/// The tables and functions that the app role may name, with the SQL that each is spelt with.
///
/// Identifiers reach generated SQL only from here: a name that the catalogue does not know is an error
/// before anything is sent.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    tables: HashMap<String, Arc<Table>>,
    functions: HashMap<String, Vec<Arc<Function>>>,
    /// How often the catalogue of the open database was read before.
    pub(crate) generation: u32,
    /// The types that have arrays, each with the type of its arrays.
    arrays: HashMap<u32, u32>,
}

/// The column that scopes a table.
pub(crate) const CLIENT_COLUMN: &str = "client_id";

/// The parameter that scopes a function.
pub(crate) const CLIENT_PARAMETER: &str = "p_client_id";

impl Catalogue {
    /// Reads what the role of the connection may name. Its statements have no names: behind a pooler, those
    /// would stay in a session that others use.
    pub(crate) async fn load(conn: &mut PgConnection) -> sqlx::Result<Self> {
        // A dedicated database that an older system made has no kernel.
        let has_kernel: bool = sqlx::query_scalar("select to_regprocedure('tenantry.kernel()') is not null")
            .persistent(false)
            .fetch_one(&mut *conn)
            .await?;
        let shared: Vec<i64> = if has_kernel {
            sqlx::query_scalar("select unnest(k.shared_tables)::int8 from tenantry.kernel() k")
                .persistent(false)
                .fetch_all(&mut *conn)
                .await?
        } else {
            Vec::new()
        };
        let tables: Vec<TableRow> = sqlx::query_as(TABLES)
            .bind(&shared)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;
        let functions: Vec<FunctionRow> = sqlx::query_as(FUNCTIONS)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;

        let arrays: Vec<(i64, i64)> = sqlx::query_as(ARRAYS)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;

        let oid = |oid| u32::try_from(oid).unwrap_or_default();
        let mut catalogue = Self {
            arrays: arrays
                .into_iter()
                .map(|(of, array)| (oid(of), oid(array)))
                .collect(),
            ..Self::default()
        };
        for row in tables {
            let (qualified, name, visible) = (row.qualified.clone(), row.name.clone(), row.visible);
            let table = Arc::new(Table::from(row));
            if visible {
                catalogue.tables.insert(name, Arc::clone(&table));
            }
            catalogue.tables.insert(qualified, table);
        }
        for row in functions {
            let name = row.name.clone();
            catalogue
                .functions
                .entry(name)
                .or_default()
                .push(Arc::new(row.into()));
        }
        Ok(catalogue)
    }

    /// A table by its name, or by `schema.name` where it is not on the search path.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// The functions and procedures of that name on the search path.
    pub(crate) fn functions(&self, name: &str) -> &[Arc<Function>] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// Takes functions of these names for ones that run with the rights of their caller.
    pub(crate) fn allow_security_definers(&mut self, names: &[String]) {
        for name in names {
            let functions = self.functions.get_mut(name).into_iter().flatten();
            for function in functions.filter_map(Arc::get_mut) {
                function.security_definer = false;
            }
        }
    }

    /// The type of the arrays of a type.
    pub(crate) fn array_of(&self, type_oid: u32) -> Option<u32> {
        self.arrays.get(&type_oid).copied()
    }

    pub(crate) fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

const TABLES: &str = include_str!("catalogue/tables.sql");

const FUNCTIONS: &str = include_str!("catalogue/functions.sql");

const ARRAYS: &str =
    "select oid::int8, typarray::int8 from pg_type where typarray <> 0 and typtype in ('b', 'd', 'e', 'r')";
