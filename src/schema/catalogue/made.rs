//! Catalogues that tests make.

use std::sync::Arc;

use sqlx::types::Json;

use super::table::{ForeignKeyRow, KeyRow};
use super::*;

impl Catalogue {
    /// Adds a table of the schema public, as the database would tell of it: of texts, with `id` as its key
    /// and vectors in `embedding`.
    pub(crate) fn add_table<S: AsRef<str>>(&mut self, name: &str, shared: bool, columns: &[S]) {
        self.add_table_with(name, shared, columns, &[], &[]);
    }

    /// Adds one whose columns refer to the `id` of other tables, and with more unique keys.
    pub(crate) fn add_table_with<S: AsRef<str>>(
        &mut self,
        name: &str,
        shared: bool,
        columns: &[S],
        refers: &[(&str, &str)],
        keys: &[&[&str]],
    ) {
        let columns: Vec<String> = columns.iter().map(|column| column.as_ref().to_owned()).collect();
        let has_client = columns.iter().any(|column| column == CLIENT_COLUMN);
        let scope = || has_client.then(|| CLIENT_COLUMN.to_owned()).into_iter();
        let scoped = |names: &[&str]| scope().chain(names.iter().map(|&name| name.to_owned())).collect();
        let primary = columns.iter().any(|column| column == "id").then(|| KeyRow {
            columns: scoped(&["id"]),
        });
        let others = keys.iter().map(|names| KeyRow {
            columns: scoped(names),
        });
        let foreign_keys = refers.iter().map(|(column, to)| ForeignKeyRow {
            columns: scoped(&[column]),
            to: format!("public.{to}"),
            to_columns: scoped(&["id"]),
        });
        let row = TableRow {
            read_runs_code: false,
            write_runs_code: false,
            takes_copies: true,
            qualified: format!("public.{name}"),
            name: name.to_owned(),
            sql: format!("public.{}", quote_ident(name)),
            visible: true,
            shared,
            quoted: columns.iter().map(|column| quote_ident(column)).collect(),
            types: columns
                .iter()
                .map(|column| {
                    if column == "embedding" {
                        "vector(3)"
                    } else {
                        "text"
                    }
                })
                .map(str::to_owned)
                .collect(),
            type_oids: columns.iter().map(|_| 25).collect(),
            not_null: columns.iter().map(|column| column == "id").collect(),
            columns,
            keys: Json(primary.into_iter().chain(others).collect()),
            foreign_keys: Json(foreign_keys.collect()),
        };
        // Of texts there are arrays, and of nothing else.
        self.arrays.insert(25, 1009);
        let table = Arc::new(Table::from(row));
        self.tables.insert(format!("public.{name}"), Arc::clone(&table));
        self.tables.insert(name.to_owned(), table);
    }

    /// Adds a function of the schema public that runs with the rights of its caller and reads; `change` may
    /// say otherwise.
    pub(crate) fn add_function<S: AsRef<str>>(
        &mut self,
        name: &str,
        parameters: &[S],
        defaults: i16,
        results: &[&str],
        change: impl FnOnce(&mut Function),
    ) {
        let mut function = Function::from(FunctionRow {
            name: name.to_owned(),
            sql: format!("public.{}", quote_ident(name)),
            parameters: parameters.iter().map(|name| name.as_ref().to_owned()).collect(),
            quoted_parameters: parameters.iter().map(|name| quote_ident(name.as_ref())).collect(),
            defaults,
            security_definer: false,
            is_procedure: false,
            writes: false,
            results: results.iter().map(|name| quote_ident(name)).collect(),
        });
        change(&mut function);
        self.functions
            .entry(name.to_owned())
            .or_default()
            .push(Arc::new(function));
    }
}

/// As the database quotes an identifier, but for the reserved words.
fn quote_ident(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    if name.starts_with(plain) && name.chars().all(|c| plain(c) || c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
