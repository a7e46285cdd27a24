#![expect(
    clippy::disallowed_methods,
    reason = "finds the table and the partition to be indexed"
)]

use sqlx::{AssertSqlSafe, PgConnection};

use super::failed;
use crate::client::{ClientId, Placement};
use crate::error::{Error, Result};
use crate::schema::vectors::VectorColumn;
use crate::schema::{CLIENT_COLUMN, nearest_name};

/// A column of vectors, as the catalogue spells it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) column: String,
    /// Schema and table, and the column, quoted.
    table_sql: String,
    column_sql: String,
    partitioned: bool,
    /// Whether the rows of other clients are in the table.
    shared: bool,
    client_column: bool,
}

/// The table that holds the client's rows: the table itself, or one of its partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) relation: i64,
    /// Whether the index is of the client's rows alone.
    pub(super) of_client: bool,
}

#[derive(sqlx::FromRow)]
struct ColumnRow {
    name: String,
    quoted: String,
    kind: String,
    dimensions: i32,
}

/// More than an HNSW index of half precision takes.
const MAX_DIMENSIONS: i32 = 4_000;

impl Target {
    /// The column by the names that the caller has for it.
    pub(super) async fn find(
        admin: &mut PgConnection,
        client: ClientId,
        place: Placement,
        table: &str,
        column: &str,
    ) -> Result<Self> {
        let failed = failed(client, "looking for a column of vectors");
        let found: Option<(i64, String, String, String, bool)> = sqlx::query_as(TABLE)
            .bind(table)
            .fetch_optional(&mut *admin)
            .await
            .map_err(&failed)?;
        let Some((relation, schema, name, table_sql, partitioned)) = found else {
            let names: Vec<String> = sqlx::query_scalar(TABLES)
                .fetch_all(admin)
                .await
                .map_err(&failed)?;
            return Err(Error::UnknownTable {
                client,
                table: table.to_owned(),
                nearest_name: nearest_name(table, names.iter().map(String::as_str)),
            });
        };
        let columns: Vec<ColumnRow> = sqlx::query_as(COLUMNS)
            .bind(relation)
            .fetch_all(admin)
            .await
            .map_err(&failed)?;
        let Some(vectors) = columns.iter().find(|known| known.name == column) else {
            return Err(Error::UnknownColumn {
                client,
                table: table.to_owned(),
                column: column.to_owned(),
                nearest_name: nearest_name(column, columns.iter().map(|known| known.name.as_str())),
            });
        };
        let refuse = |reason| Err(refusal(client, table, column, reason));
        if vectors.kind != "vector" {
            return refuse("it is not of the type vector");
        }
        if vectors.dimensions < 1 {
            return refuse("its type does not say how many dimensions it has");
        }
        if vectors.dimensions > MAX_DIMENSIONS {
            return refuse("an index takes 4,000 dimensions at most");
        }
        let client_column = columns.iter().any(|known| known.name == CLIENT_COLUMN);
        let shared = matches!(place, Placement::Pool(_));
        if shared && !client_column {
            return refuse("the table has no client_id, and is not of clients");
        }
        Ok(Self {
            schema,
            table: name,
            column: vectors.name.clone(),
            table_sql,
            column_sql: vectors.quoted.clone(),
            partitioned,
            shared,
            client_column,
        })
    }

    pub(super) fn column(&self) -> VectorColumn<'_> {
        VectorColumn {
            schema: &self.schema,
            table: &self.table,
            column: &self.column,
        }
    }

    /// Where the client's vectors are.
    pub(super) async fn leaf(&self, admin: &mut PgConnection, client: ClientId) -> Result<Leaf> {
        let failed = failed(client, "looking for its vectors");
        let Self {
            table_sql,
            column_sql,
            ..
        } = self;
        // On a database of its own the client may have a column of its id or not; it has all the rows.
        let of_client = if self.client_column {
            "client_id = $1"
        } else {
            "$1::uuid is not null"
        };
        let refuse = |reason| Err(refusal(client, &self.table, &self.column, reason));
        let first = format!(
            "select tableoid::int8 from {table_sql} where {of_client} and {column_sql} is not null limit 1"
        );
        let first: Option<i64> = sqlx::query_scalar(AssertSqlSafe(first))
            .bind(client)
            .fetch_optional(&mut *admin)
            .await
            .map_err(&failed)?;
        let Some(relation) = first else {
            return refuse("the client has no vectors there");
        };
        if self.partitioned {
            let another = format!(
                "select exists (select from {table_sql} where {of_client} and tableoid <> $2::oid and {column_sql} is not null)"
            );
            let another: bool = sqlx::query_scalar(AssertSqlSafe(another))
                .bind(client)
                .bind(relation)
                .fetch_one(admin)
                .await
                .map_err(&failed)?;
            if another {
                return refuse("the client's vectors are in several partitions");
            }
        }
        Ok(Leaf {
            relation,
            of_client: self.shared,
        })
    }
}

pub(super) fn refusal(client: ClientId, table: &str, column: &str, reason: &'static str) -> Error {
    Error::StatementRefused {
        client,
        what: format!("an index of its own on {table}.{column}"),
        reason,
    }
}

/// The tables of the host that are no partitions.
macro_rules! host_tables {
    ($columns:literal, $rest:literal) => {
        concat!(
            "select ",
            $columns,
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and not c.relispartition
               and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry')
               and n.nspname !~ '^pg_(toast|temp)' ",
            $rest
        )
    };
}

const TABLE: &str = host_tables!(
    "c.oid::int8, n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname), c.relkind = 'p'",
    "and (n.nspname || '.' || c.relname = $1 or (c.relname = $1 and pg_table_is_visible(c.oid)))
     order by c.relname = $1 desc limit 1"
);

const TABLES: &str = host_tables!("c.relname::text", "and pg_table_is_visible(c.oid)");

const COLUMNS: &str = "
select a.attname::text as name, quote_ident(a.attname) as quoted, t.typname::text as kind,
       a.atttypmod as dimensions
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped";
