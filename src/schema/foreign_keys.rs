#![expect(
    clippy::disallowed_methods,
    reason = "takes foreign keys off and puts them back"
)]

use sqlx::{AssertSqlSafe, PgConnection};

use super::Manifest;
use crate::client::ClientId;
use crate::error::{Error, Result};

/// The foreign keys between the tables of a client that has its database to itself, taken off while rows are loaded:
/// to check all rows of a table at once takes a twentieth of what it takes to check each when it comes.
///
/// Everything happens in the transaction that loads: nobody else ever sees the tables without them. On a database that
/// others have rows in none is taken off: it would keep everybody from the tables.
#[derive(Debug)]
pub(crate) struct LiftedKeys {
    keys: Vec<LiftedKey>,
    client: ClientId,
}

#[derive(Debug, sqlx::FromRow)]
struct LiftedKey {
    /// The table that refers to another, quoted.
    table: String,
    name: String,
    lift: String,
    put_back: String,
}

impl LiftedKeys {
    /// Takes them off tables that are locked and have no rows. Those that could not be put back as they were stay, and
    /// so do those that lead to shared tables.
    pub(crate) async fn lift(conn: &mut PgConnection, manifest: &Manifest) -> Result<Self> {
        let client = manifest.client;
        let mut lifted = Self {
            keys: Vec::new(),
            client,
        };
        if manifest.shared {
            return Ok(lifted);
        }
        let failed =
            |source| Error::of_statement(client, "taking off the foreign keys of its tables", source);
        // Definitions tell the schemas of tables then.
        let path = "set local search_path = pg_catalog";
        sqlx::raw_sql(path).execute(&mut *conn).await.map_err(failed)?;
        let tables: Vec<i64> = manifest.tables.iter().map(|table| table.oid).collect();
        lifted.keys = sqlx::query_as(include_str!("foreign_keys.sql"))
            .bind(tables)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .map_err(failed)?;
        let mut sql: Vec<&str> = lifted.keys.iter().map(|key| key.lift.as_str()).collect();
        sql.push("set local search_path to default");
        sqlx::raw_sql(AssertSqlSafe(sql.join("; ")))
            .execute(conn)
            .await
            .map_err(failed)?;
        Ok(lifted)
    }

    /// Puts them back, which checks all rows.
    pub(crate) async fn put_back(self, conn: &mut PgConnection) -> Result<()> {
        for LiftedKey {
            table,
            name,
            put_back,
            ..
        } in self.keys
        {
            sqlx::raw_sql(AssertSqlSafe(put_back))
                .execute(&mut *conn)
                .await
                .map_err(|source| {
                    let step = format!("checking the foreign key {name} of {table}");
                    Error::of_statement(self.client, step, source)
                })?;
        }
        Ok(())
    }
}
