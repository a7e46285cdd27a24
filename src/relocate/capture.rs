//! Noting which rows of a client change, where it is served.
//!
//! Triggers note the keys of rows, for this client alone; nothing is asked of its other sessions. A table is locked
//! against writers while its triggers are made, so whoever wrote before has ended and is in every later snapshot, and
//! whoever writes after is noted: no write is missed, however long its connection was bound before.
#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::patience;
use super::session::Side;
use super::tables::Pair;
use crate::error::{Error, Result};

/// The logs of one direction of a relocation.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    prefix: String,
}

impl Capture {
    pub(super) fn of(relocation: Uuid) -> Self {
        let id = relocation.simple().to_string();
        Self {
            prefix: format!("change_{}", &id[..12]),
        }
    }

    /// The log of a table, which has the same name whatever other tables there are.
    pub(super) fn log(&self, pair: &Pair) -> String {
        let table = hex::encode(&Sha256::digest(pair.name())[..6]);
        format!("tenantry.{}_{table}", self.prefix)
    }

    /// Makes the logs and the triggers, where they are not there.
    pub(super) async fn install(
        &self,
        side: &Side,
        conn: &mut PgConnection,
        pairs: &[Pair],
        budget: Duration,
    ) -> Result<()> {
        for pair in pairs.iter().filter(|pair| pair.has_key()) {
            let sql = self.install_on(side, pair);
            let table = (pair.from.oid, pair.from.sql.as_str());
            patience::alone(side, conn, table, budget, "making its triggers", &sql).await?;
        }
        Ok(())
    }

    fn install_on(&self, side: &Side, pair: &Pair) -> String {
        let (table, log) = (&pair.from.sql, self.log(pair));
        let keys: Vec<&str> = pair
            .key_columns()
            .iter()
            .map(|(from, _)| from.sql.as_str())
            .collect();
        let of = |row: &str| {
            if keys.is_empty() {
                return "true".to_owned();
            }
            let values: Vec<String> = keys.iter().map(|key| format!("{row}.{key}")).collect();
            values.join(", ")
        };
        let owner = pair.from.has_client().then_some(side.client);
        let whole = |row: &str| match owner {
            Some(_) => format!("{row}.client_id, {}", of(row)),
            None => of(row),
        };
        let is_mine =
            |row: &str| owner.map(|client| format!("{row}.client_id = '{client}'::pg_catalog.uuid"));
        let when = |row| {
            is_mine(row)
                .map(|mine| format!("when ({mine})"))
                .unwrap_or_default()
        };
        let moved_key = format!(
            "when ({} ({}) is distinct from ({}))",
            is_mine("old")
                .map(|mine| format!("{mine} and"))
                .unwrap_or_default(),
            whole("old"),
            whole("new")
        );
        let mut sql = format!(
            "create table if not exists {log} as select {} from {table} with no data;
             alter table {log} enable row level security;
             revoke all on {log} from public;",
            if keys.is_empty() {
                "true as changed".to_owned()
            } else {
                keys.join(", ")
            }
        );
        for (row, values) in [("new", of("new")), ("old", of("old"))] {
            // Nothing in it is looked up by a path. Its owner alone may write to the log.
            // Writing to a String cannot fail.
            let _ = write!(sql, "create or replace function {log}_{row}() returns trigger language plpgsql security definer as
                     $tenantry$ begin insert into {log} values ({values}); return null; end $tenantry$;
                 revoke all on function {log}_{row}() from public;");
        }
        let name = |part: &str| format!("tenantry_{}_{part}", self.prefix);
        // Writing to a String cannot fail.
        let _ = write!(sql, "create or replace trigger {} after insert or update on {table} for each row {} execute function {log}_new();
             create or replace trigger {} after update on {table} for each row {moved_key} execute function {log}_old();
             create or replace trigger {} after delete on {table} for each row {} execute function {log}_old();
             create or replace trigger {} before truncate on {table} for each statement
                 execute function tenantry.refuse_truncate();",
            name("new"),
            when("new"),
            name("key"),
            name("old"),
            when("old"),
            name("all"));
        sql
    }

    /// Removes all triggers and logs that there are, whatever became of the tables since.
    pub(super) async fn remove(&self, side: &Side, conn: &mut PgConnection, budget: Duration) -> Result<()> {
        const STEP: &str = "removing its triggers";
        let failed = |source| Error::of_statement(side.client, STEP, source);
        let triggers: Vec<(i64, String, String)> = sqlx::query_as(
            "select c.oid::int8, c.oid::regclass::text,
                    string_agg(format('drop trigger %I on %s;', t.tgname, c.oid::regclass), ' ')
             from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
             where t.tgparentid = 0 and starts_with(t.tgname, $1)
             group by c.oid",
        )
        .bind(format!("tenantry_{}_", self.prefix))
        .persistent(false)
        .fetch_all(&mut *conn)
        .await
        .map_err(failed)?;
        for (oid, table, drop) in triggers {
            patience::alone(side, conn, (oid, &table), budget, STEP, &drop).await?;
        }
        let drops: Option<String> = sqlx::query_scalar(
            "select string_agg(sql, '; ') from (
                 select format('drop function %s', oid::regprocedure) as sql from pg_catalog.pg_proc
                 where pronamespace = 'tenantry'::regnamespace and starts_with(proname, $1)
                 union all
                 select format('drop table %s', oid::regclass) from pg_catalog.pg_class
                 where relnamespace = 'tenantry'::regnamespace and relkind = 'r' and starts_with(relname, $1)) drops",
        )
        .bind(format!("{}_", self.prefix))
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .map_err(failed)?;
        match drops {
            Some(drops) => side.run(conn, STEP, drops).await.map(drop),
            None => Ok(()),
        }
    }

    /// Whether each of the tables whose changes are followed has its log.
    pub(super) async fn is_whole(
        &self,
        side: &Side,
        conn: &mut PgConnection,
        pairs: &[Pair],
    ) -> Result<bool> {
        let logs: Vec<String> = (pairs.iter().filter(|pair| pair.has_key()))
            .map(|pair| format!("to_regclass('{}') is not null", self.log(pair)))
            .collect();
        let sql = format!("select true = all (array[{}]::boolean[])", logs.join(", "));
        side.value(conn, "looking for its logs", sql).await
    }
}
