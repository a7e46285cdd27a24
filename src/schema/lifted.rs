#![expect(
    clippy::disallowed_methods,
    reason = "takes foreign keys and indexes off and puts them back"
)]

use sqlx::{AssertSqlSafe, PgConnection};

use super::{KeyCheck, Manifest};
use crate::client::ClientId;
use crate::error::{Error, Result};

/// The foreign keys and indexes that are taken off the tables of a client that has its database to itself while rows
/// are loaded: to check all rows of a table at once takes a tenth of what it takes to check each when it comes, and
/// to build an index at once half.
///
/// Everything happens in the transaction that loads: nobody else ever sees the tables without them. On a database that
/// others have rows in nothing is taken off: it would keep everybody from the tables. Where the role may write as a
/// replica does, rows are loaded so there, and what their foreign keys ask for is checked at once as well.
#[derive(Debug)]
pub(crate) struct Lifted {
    parts: Vec<Part>,
    client: ClientId,
    /// Whether no trigger fires.
    silent: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct Part {
    /// What it is to put it back.
    step: String,
    /// None of one that goes with another.
    lift: Option<String>,
    put_back: String,
}

impl Part {
    fn check(key: &KeyCheck, mine: &str) -> Self {
        Self {
            step: key.step(),
            lift: None,
            put_back: key.check_all(mine),
        }
    }
}

impl Lifted {
    /// Takes them off tables that are locked and have no rows. What could not be put back as it was stays; so do keys
    /// that lead to shared tables, which others may use, and all that keeps rows unique.
    pub(crate) async fn lift(conn: &mut PgConnection, manifest: &Manifest) -> Result<Self> {
        let client = manifest.client;
        let mut lifted = Self {
            parts: Vec::new(),
            client,
            silent: false,
        };
        let failed = |source| {
            let step = "taking foreign keys and indexes off its tables";
            Error::of_statement(client, step, source)
        };
        // Definitions tell the schemas of what they name then.
        let path = "set local search_path = pg_catalog";
        sqlx::raw_sql(path).execute(&mut *conn).await.map_err(failed)?;
        let tables: Vec<i64> = manifest.tables.iter().map(|table| table.oid).collect();
        if manifest.shared {
            lifted.silent = sqlx::query_scalar(MAY_BE_SILENT)
                .bind(&tables)
                .fetch_one(&mut *conn)
                .await
                .map_err(failed)?;
            if lifted.silent {
                let mine = format!("client_id = '{client}'");
                let keys = KeyCheck::of(conn, &tables).await.map_err(failed)?;
                lifted.parts = keys.iter().map(|key| Part::check(key, &mine)).collect();
            }
        } else {
            lifted.parts = sqlx::query_as(include_str!("lifted.sql"))
                .bind(tables)
                .persistent(false)
                .fetch_all(&mut *conn)
                .await
                .map_err(failed)?;
        }
        let parts = lifted.parts.iter();
        let mut sql: Vec<&str> = parts.filter_map(|part| part.lift.as_deref()).collect();
        if lifted.silent {
            sql.push("set local session_replication_role = replica");
        }
        sql.push("set local search_path to default");
        sqlx::raw_sql(AssertSqlSafe(sql.join("; ")))
            .execute(conn)
            .await
            .map_err(failed)?;
        Ok(lifted)
    }

    /// Puts them back, which checks all rows.
    pub(crate) async fn put_back(self, conn: &mut PgConnection) -> Result<()> {
        if self.silent {
            let sql = "set local session_replication_role to default";
            let step = "writing as anybody does again";
            sqlx::raw_sql(sql)
                .execute(&mut *conn)
                .await
                .map_err(|source| Error::of_statement(self.client, step, source))?;
        }
        for Part { step, put_back, .. } in self.parts {
            sqlx::raw_sql(AssertSqlSafe(put_back))
                .execute(&mut *conn)
                .await
                .map_err(|source| Error::of_statement(self.client, step, source))?;
        }
        Ok(())
    }
}

/// Whether the role may write as a replica does; and no key is about periods, which are not checked so easily.
const MAY_BE_SILENT: &str = "
select pg_catalog.has_parameter_privilege('session_replication_role', 'set')
   and not exists (select from pg_catalog.pg_constraint r
                   where r.contype = 'f' and to_jsonb(r) ->> 'conperiod' = 'true'
                     and r.conrelid in (select p.relid::oid
                                        from unnest($1::oid[]) t (oid), pg_catalog.pg_partition_tree(t.oid) p
                                        union select unnest($1::oid[])))";
