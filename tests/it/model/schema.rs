//! Random tables, and how each kind of database spells them.

use std::fmt::Write as _;

use uuid::Uuid;

use super::cell::{Cell, KINDS, Kind};
use super::random::Random;

/// Tables, the one that all clients share first. A table refers to itself or to those before it.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) tables: Vec<Table>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// The key first, then a text that no two rows of a client have in common, then others.
    pub(super) columns: Vec<Column>,
    pub(super) references: Vec<Reference>,
    pub(super) is_shared: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// A foreign key to the key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) column: usize,
    pub(super) to: usize,
}

/// How a database has the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// With `client_id`, protected.
    Kernel,
    /// As an older system made them.
    Legacy,
}

/// The rows of a client by table.
pub(super) type Rows = Vec<Vec<Vec<Cell>>>;

pub(super) const KEY: usize = 0;
pub(super) const NATURAL: usize = 1;
const TENANT_TABLES: usize = 5;

const NAMES: [&str; 14] = [
    "order",
    "Select",
    "odd \"one\"",
    "a'b",
    "$1",
    "a;b",
    "two words",
    "ünï",
    "where",
    "(",
    "related_1",
    "x--y",
    "t",
    "found",
];

/// A name that no other of its kind has.
fn name(random: &mut Random, at: usize, dots: bool) -> String {
    match random.below(10) {
        0..5 => format!("{} {at}", random.pick(&NAMES)),
        5 if dots => format!("a.b{at}"),
        _ => format!("c{at}"),
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Schema {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        for at in 0..=TENANT_TABLES {
            let is_shared = at == 0;
            let key = *random.pick(&[Kind::Integer, Kind::BigInt, Kind::Uuid, Kind::Text]);
            // Texts are compared in the most ways.
            let mut kinds = vec![(key, false), (Kind::Text, false), (Kind::Text, true)];
            let mut references = Vec::new();
            for _ in 0..if is_shared { 0 } else { 1 + random.below(3) } {
                let to = random.below(at + 1);
                let kind = if to == at {
                    key
                } else {
                    tables[to].columns[KEY].kind
                };
                // A key to itself may be null, or there would be no first row.
                let nullable = to == at || random.chance(60);
                references.push(Reference {
                    column: kinds.len(),
                    to,
                });
                kinds.push((kind, nullable));
            }
            for _ in 0..3 + random.below(6) {
                kinds.push((*random.pick(&KINDS), random.chance(65)));
            }
            let columns = (kinds.into_iter().enumerate())
                .map(|(at, (kind, nullable))| Column {
                    name: if at == KEY && random.chance(50) {
                        "id".to_owned()
                    } else {
                        name(random, at, true)
                    },
                    kind,
                    nullable,
                })
                .collect();
            tables.push(Table {
                name: format!("m{}", name(random, at, false)),
                columns,
                references,
                is_shared,
            });
        }
        Self { tables }
    }

    /// What makes the tables.
    pub(super) fn ddl(&self, form: Form, app_role: &str) -> String {
        let mut sql = String::new();
        for table in &self.tables {
            let has_client = form == Form::Kernel && !table.is_shared;
            let client = if has_client { "client_id, " } else { "" };
            let mut parts: Vec<String> = Vec::new();
            if has_client {
                parts.push("client_id uuid not null".to_owned());
            }
            for column in &table.columns {
                let not_null = if column.nullable { "" } else { " not null" };
                let (name, kind) = (quoted(&column.name), column.kind);
                parts.push(format!("{name} {}{}{not_null}", kind.sql(), kind.collation()));
            }
            let of = |column: usize| quoted(&table.columns[column].name);
            parts.push(format!("primary key ({client}{})", of(KEY)));
            parts.push(format!("unique ({client}{})", of(NATURAL)));
            for reference in &table.references {
                let to = &self.tables[reference.to];
                let client = if to.is_shared { "" } else { client };
                // Deferred, so that a delete that is rolled back meets none.
                parts.push(format!(
                    "foreign key ({client}{}) references {} ({client}{}) deferrable initially deferred",
                    of(reference.column),
                    quoted(&to.name),
                    quoted(&to.columns[KEY].name)
                ));
            }
            let name = quoted(&table.name);
            let _ = writeln!(sql, "create table {name} ({});", parts.join(", "));
            let verb = if table.is_shared { "share" } else { "protect" };
            let _ = match form {
                Form::Kernel => writeln!(sql, "select tenantry.{verb}('{}');", name.replace('\'', "''")),
                Form::Legacy => writeln!(
                    sql,
                    "grant select, insert, update, delete on {name} to {app_role};"
                ),
            };
        }
        sql
    }

    /// What fills them with the rows of a client; with those that all share, if it is the first.
    pub(super) fn inserts(&self, form: Form, client: Uuid, rows: &Rows, first: bool) -> String {
        let mut sql = "begin;\n".to_owned();
        for (table, rows) in self.tables.iter().zip(rows) {
            if rows.is_empty() || (table.is_shared && !first) {
                continue;
            }
            let has_client = form == Form::Kernel && !table.is_shared;
            let mut names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
            if has_client {
                names.insert(0, "client_id".to_owned());
            }
            let _ = writeln!(
                sql,
                "insert into {} ({}) values",
                quoted(&table.name),
                names.join(", ")
            );
            for (at, row) in rows.iter().enumerate() {
                let mut values: Vec<String> = (row.iter().zip(&table.columns))
                    .map(|(cell, column)| cell.literal(column.kind))
                    .collect();
                if has_client {
                    values.insert(0, format!("'{client}'"));
                }
                let end = if at + 1 == rows.len() { ";" } else { "," };
                let _ = writeln!(sql, "({}){end}", values.join(", "));
            }
        }
        sql + "commit;\n"
    }

    /// The rows of one client; of the shared table, those given.
    pub(super) fn rows(&self, random: &mut Random, shared: Option<&Vec<Vec<Cell>>>) -> Rows {
        let mut all: Rows = Vec::new();
        for (at, table) in self.tables.iter().enumerate() {
            if let (true, Some(rows)) = (table.is_shared, shared) {
                all.push(rows.clone());
                continue;
            }
            let mut rows: Vec<Vec<Cell>> = Vec::new();
            let most = if table.is_shared {
                4
            } else {
                *random.pick(&[2, 9, 16])
            };
            for number in 0..12 + most {
                // Keys are few, so that clients have the same.
                if rows.len() >= most || random.chance(40) {
                    continue;
                }
                let mut row = Vec::with_capacity(table.columns.len());
                for (column, of) in table.columns.iter().enumerate() {
                    row.push(match (column, of.kind) {
                        (KEY, Kind::Integer | Kind::BigInt) => {
                            Cell::Int(number.try_into().unwrap_or_default())
                        }
                        (KEY, Kind::Uuid) => Cell::Uuid(Uuid::from_u128(number as u128)),
                        (KEY, _) => Cell::Text(format!("k{number}")),
                        (NATURAL, _) => Cell::Text(format!("n{}", number * 7 % 31)),
                        (_, _) if of.nullable && random.chance(25) => Cell::Null,
                        (_, kind) => kind.value(random),
                    });
                }
                let mut is_whole = true;
                for reference in &table.references {
                    let to = if reference.to == at {
                        &rows
                    } else {
                        &all[reference.to]
                    };
                    let nullable = table.columns[reference.column].nullable;
                    row[reference.column] = match to.len() {
                        0 if nullable => Cell::Null,
                        0 => {
                            is_whole = false;
                            Cell::Null
                        }
                        _ if nullable && random.chance(20) => Cell::Null,
                        count => to[random.below(count)][KEY].clone(),
                    };
                }
                if is_whole {
                    rows.push(row);
                }
            }
            all.push(rows);
        }
        all
    }

    /// The columns of a table of such kinds.
    pub(super) fn columns(&self, table: usize, of: impl Fn(Kind) -> bool) -> Vec<usize> {
        let columns = &self.tables[table].columns;
        (0..columns.len()).filter(|at| of(columns[*at].kind)).collect()
    }

    /// Whether another table refers to it, or it to itself.
    pub(super) fn is_referred_to(&self, table: usize) -> bool {
        (self.tables.iter()).any(|other| other.references.iter().any(|reference| reference.to == table))
    }
}
