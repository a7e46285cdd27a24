#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

mod order;

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;

pub(crate) use self::order::by_reference;
use crate::client::{ClientId, Placement};
use crate::error::{Error, PortableError, Result};

/// The tables of a database that hold the rows of one client, parents first as far as they are no circle.
///
/// It is exhaustive: a table that nobody declared to be one thing or the other stops it, so that no row is forgotten.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) tables: Vec<HostTable>,
    /// Whether the rows of other clients are in the same tables.
    pub(crate) shared: bool,
    pub(crate) client: ClientId,
    /// What was to be left out and is no table.
    pub(crate) not_there: Vec<String>,
}

/// A table that holds rows of the client.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct HostTable {
    pub(crate) oid: i64,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Schema and name, quoted.
    pub(crate) sql: String,
    pub(crate) partitioned: bool,
    elsewhere: bool,
    columns: Json<Vec<HostColumn>>,
    sequences: Json<Vec<HostSequence>>,
    references: Json<Vec<Reference>>,
    /// The partitions that have rows, quoted; none where the table has its rows itself.
    pub(crate) leaves: Vec<String>,
}

/// A column, as the catalogue spells it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HostColumn {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// The same name for the same type in another database.
    pub(crate) type_name: String,
    /// The type as a statement here spells it.
    pub(crate) type_sql: String,
    pub(crate) generated: bool,
    is_client: bool,
    /// Whether its values travel as text: their binary form is of this database alone, or there is none.
    pub(crate) as_text: bool,
    /// What of a value is hashed.
    pub(crate) hashed: String,
    /// Whether that is what travels.
    hashed_as_sent: bool,
}

/// A sequence that a column takes its values from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HostSequence {
    pub(crate) column: String,
    pub(crate) sql: String,
    pub(crate) increment: i64,
    /// The last value that was taken, if any was.
    pub(crate) last: Option<i64>,
}

/// A foreign key, by the table that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reference {
    pub(crate) to: i64,
    /// Whether it can be checked at the end of a transaction.
    pub(crate) deferrable: bool,
}

/// Where sqlx notes the host's migrations, unless it is told another name.
const LEDGER: &str = "_sqlx_migrations";

impl Manifest {
    /// Reads the catalogue in a transaction, as a role that sees all of it. `left_out` names tables, as `schema.name`,
    /// that are not the client's though nothing else says so.
    pub(crate) async fn read(
        conn: &mut PgConnection,
        client: ClientId,
        placement: Placement,
        left_out: &[String],
    ) -> Result<Self> {
        let failed = |source| Error::of_statement(client, "reading the tables of its database", source);
        // Names of types tell their schemas then.
        sqlx::query("select set_config('search_path', 'pg_catalog', true)")
            .execute(&mut *conn)
            .await
            .map_err(failed)?;
        let tables: Vec<HostTable> = sqlx::query_as(include_str!("manifest/tables.sql"))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .map_err(failed)?;
        let has_kernel: bool = sqlx::query_scalar("select to_regclass('tenantry.shared_tables') is not null")
            .fetch_one(&mut *conn)
            .await
            .map_err(failed)?;
        let declared: Vec<i64> = if has_kernel {
            sqlx::query_scalar("select relation::int8 from tenantry.shared_tables")
                .persistent(false)
                .fetch_all(&mut *conn)
                .await
                .map_err(failed)?
        } else {
            Vec::new()
        };
        sqlx::query("set local search_path to default")
            .execute(&mut *conn)
            .await
            .map_err(failed)?;

        let refuse = |source| Error::Portable { client, source };
        let shared = matches!(placement, Placement::Pool(_));
        let mut of_client = Vec::with_capacity(tables.len());
        let mut not_there = left_out.to_vec();
        for table in tables {
            let name = table.qualified();
            not_there.retain(|left_out| *left_out != name);
            if table.name == LEDGER || declared.contains(&table.oid) || left_out.contains(&name) {
                continue;
            }
            if table.elsewhere || (shared && !table.has_client()) {
                return Err(refuse(PortableError::UnclassifiedTable { table: name }));
            }
            of_client.push(table);
        }
        Ok(Self {
            tables: by_reference(of_client).into_iter().flatten().collect(),
            shared,
            client,
            not_there,
        })
    }

    /// The table of that schema and name.
    pub(crate) fn table(&self, schema: &str, name: &str) -> Option<&HostTable> {
        self.tables
            .iter()
            .find(|table| table.schema == schema && table.name == name)
    }

    /// What of a table is the client's, to stand behind `from`.
    pub(crate) fn rows_of(&self, table: &HostTable) -> String {
        // A table that others inherit from has their rows otherwise, and they have them as well.
        let only = if table.partitioned { "" } else { "only " };
        if self.shared {
            format!("{only}{} where client_id = '{}'", table.sql, self.client)
        } else {
            format!("{only}{}", table.sql)
        }
    }
}

impl HostTable {
    /// Schema and name, not quoted.
    pub(crate) fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether its rows say whose they are.
    pub(crate) fn has_client(&self) -> bool {
        self.columns.iter().any(|column| column.is_client)
    }

    /// The columns that a row is made of: not its client, and nothing that is computed.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &HostColumn> {
        self.columns
            .iter()
            .filter(|column| !column.is_client && !column.generated)
    }

    /// Whether the rows that travel tell their hash.
    pub(crate) fn hashed_as_sent(&self) -> bool {
        self.columns().all(|column| column.hashed_as_sent)
    }

    pub(crate) fn sequences(&self) -> &[HostSequence] {
        &self.sequences
    }

    pub(crate) fn references(&self) -> &[Reference] {
        &self.references
    }

    /// By the names of its columns.
    pub(crate) fn by_name(&self) -> HashMap<&str, &HostColumn> {
        self.columns()
            .map(|column| (column.name.as_str(), column))
            .collect()
    }
}
