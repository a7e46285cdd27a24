#![expect(
    clippy::disallowed_methods,
    reason = "sends the statements that compare and write rows; names come from the catalogue"
)]

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::client::ClientId;
use crate::error::{Error, SeedError};
use crate::schema::Table;
use crate::tenant::TenantTx;

/// Who writes: a client in its own scope, or the admin role where all clients read.
pub(super) enum Conn<'c> {
    Tenant(&'c mut TenantTx),
    Admin(&'c mut PgConnection),
}

/// Why rows could not be compared or written.
#[derive(Debug)]
pub(super) enum Failed {
    /// With the client or database to be named yet.
    Seed(SeedError),
    /// One that names it already.
    Other(Error),
    /// Some of the values do not go into their columns; which, is to be found out.
    Values(Suspects, sqlx::Error),
}

/// Rows of which one has a value that does not go into its column.
#[derive(Debug)]
pub(super) struct Suspects {
    /// Its name.
    pub(super) table: String,
    /// Names and types of the columns.
    pub(super) columns: Vec<(String, String)>,
    /// The place in the data set, and the values.
    pub(super) rows: Vec<(String, Vec<Value>)>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<SeedError> for Failed {
    fn from(error: SeedError) -> Self {
        Self::Seed(error)
    }
}

impl Conn<'_> {
    /// What the statement answers whose `$1` are rows, and whose `$2` is the client, where the table has one.
    pub(super) async fn ask(
        &mut self,
        sql: String,
        rows: Value,
        client: Option<ClientId>,
    ) -> sqlx::Result<Vec<PgRow>> {
        let query = sqlx::query(AssertSqlSafe(sql)).bind(Json(rows)).persistent(false);
        let query = match client {
            Some(client) => query.bind(client),
            None => query,
        };
        match self {
            Self::Tenant(tx) => query.fetch_all(&mut **tx).await,
            Self::Admin(conn) => query.fetch_all(&mut **conn).await,
        }
    }

    /// What the error of a statement on the table amounts to.
    pub(super) fn failed(&self, table: &Table, source: sqlx::Error) -> Failed {
        match self {
            Self::Tenant(tx) => {
                let step = format!("seeding {}", table.qualified);
                Failed::Other(Error::of_statement(tx.db().client().id, step, source))
            }
            Self::Admin(_) => Failed::Seed(SeedError::Statement {
                table: table.qualified.clone(),
                source: source.into(),
            }),
        }
    }
}

impl Suspects {
    /// Whether the database says that a value does not go into its column: it is no such value, or its domain
    /// refuses it.
    pub(super) fn are_meant_by(error: &sqlx::Error) -> bool {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| code.starts_with("22") || code == "23514")
    }

    /// Which value of which row it is, by asking for fewer and fewer. Each question may fail the transaction that it
    /// is asked in, so each has its own.
    pub(super) async fn found<F>(mut self, source: sqlx::Error, ask: impl Fn(String, Value) -> F) -> SeedError
    where
        F: Future<Output = bool>,
    {
        while self.rows.len() > 1 {
            let mut behind = self.rows.split_off(self.rows.len() / 2);
            if ask(probe(&self.columns), values(&self.rows, 0)).await {
                std::mem::swap(&mut self.rows, &mut behind);
            }
        }
        let mut guilty = 0;
        for number in 0..self.columns.len().saturating_sub(1) {
            let only = &self.columns[number..=number];
            if !ask(probe(only), values(&self.rows, number)).await {
                break;
            }
            guilty = number + 1;
        }
        let (column, expected) = self.columns.into_iter().nth(guilty).unwrap_or_default();
        let at = self.rows.into_iter().next().map(|(at, _)| at).unwrap_or_default();
        SeedError::WrongValue {
            at,
            table: self.table,
            column,
            expected,
            source: Some(source.into()),
        }
    }
}

/// Rows of columns of those types, `g.c0` and so on, and `g.n` for the number of the row, out of `$1`.
pub(super) fn recordset<'t>(types: impl Iterator<Item = &'t str>) -> String {
    let columns = types
        .enumerate()
        .map(|(number, type_sql)| format!(", c{number} {type_sql}"));
    format!(
        "pg_catalog.jsonb_to_recordset($1) as g(n int8{})",
        columns.collect::<String>()
    )
}

/// What it is made of.
pub(super) fn record<V: Iterator<Item = Value>>(rows: impl Iterator<Item = V>) -> Value {
    let rows = rows.enumerate().map(|(number, values)| {
        let values = values
            .enumerate()
            .map(|(column, value)| (format!("c{column}"), value));
        let number = ("n".to_owned(), number.into());
        Value::Object(std::iter::once(number).chain(values).collect())
    });
    Value::Array(rows.collect())
}

fn probe(columns: &[(String, String)]) -> String {
    let types = columns.iter().map(|(_, type_sql)| type_sql.as_str());
    format!("select count(*) from {}", recordset(types))
}

/// Those of the columns from that one on.
fn values(rows: &[(String, Vec<Value>)], from: usize) -> Value {
    let rows = rows.iter().map(|(_, values)| values.iter().skip(from).cloned());
    record(rows)
}
