//! What is said of a statement beside its SQL: which value is held against which column.

use sqlx::TypeInfo as _;
use sqlx::postgres::PgTypeInfo;

use super::expr::Node;
use super::relations::Relations;
use crate::schema::Column;

/// What conditions and assignments hold against columns.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) compared: Vec<Compared>,
    pub(super) tested: Vec<Tested>,
}

/// A column of a tenant table under an operator.
pub(super) struct Tested {
    /// As SQL names it.
    pub(super) table: String,
    pub(super) column: String,
    pub(super) operator: String,
}

/// A value that was held against a column.
pub(super) struct Compared {
    pub(super) column: String,
    pub(super) type_sql: String,
    pub(super) type_oid: u32,
    pub(super) given: PgTypeInfo,
    /// Whether it is an array of values that are each held against the column.
    pub(super) each: bool,
}

impl Notes {
    /// Notes that a column is under an operator.
    pub(super) fn tested(&mut self, node: &Node<'_>, operator: &str, relations: &Relations<'_>) {
        if let Node::Column(name) = node
            && let Ok((relation, column)) = relations.column(name)
            && relation.is_tenant()
        {
            self.tested.push(Tested {
                table: relation.table.sql.clone(),
                column: column.name.clone(),
                // As the catalogue has them.
                operator: match operator.trim() {
                    "like" => "~~",
                    "ilike" => "~~*",
                    operator => operator,
                }
                .to_owned(),
            });
        }
    }

    /// Notes that a value is held against a column; with `each`, every one of an array.
    pub(super) fn compared(&mut self, column: &Column, given: &PgTypeInfo, each: bool) {
        self.compared.push(Compared {
            column: column.name.clone(),
            type_sql: column.type_sql.clone(),
            type_oid: column.type_oid,
            given: given.clone(),
            each,
        });
    }
}

impl Compared {
    /// Whether the value's type is of another kind than the column's.
    pub(super) fn is_of_another_kind(&self) -> bool {
        let given = self.given.oid().map(|oid| oid.0);
        if given == Some(self.type_oid) {
            return false;
        }
        let base = self.type_sql.split(['(', '[']).next().unwrap_or_default().trim();
        let given = match self.given.name().strip_suffix("[]") {
            Some(element) if self.each => element,
            _ => self.given.name(),
        };
        let is_array = self.type_sql.ends_with("[]") || given.ends_with("[]");
        is_array || kind_of(&base.to_ascii_lowercase()) != kind_of(&given.to_ascii_lowercase())
    }
}

/// The types that the database turns into each other by itself, under one name.
fn kind_of(name: &str) -> &str {
    match name {
        "smallint" | "integer" | "bigint" | "int2" | "int4" | "int8" | "numeric" | "real"
        | "double precision" | "float4" | "float8" | "oid" => "number",
        "text" | "character varying" | "character" | "varchar" | "bpchar" | "char" | "name" | "\"char\"" => {
            "text"
        }
        "date" | "timestamp" | "timestamptz" | "timestamp without time zone" | "timestamp with time zone" => {
            "time"
        }
        "json" | "jsonb" => "json",
        "boolean" | "bool" => "bool",
        other => other,
    }
}
