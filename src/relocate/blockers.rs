//! Whose transactions are waited for.
#![expect(clippy::disallowed_methods, reason = "looks at the sessions of a database")]

use sqlx::{AssertSqlSafe, PgConnection};

use super::session::Side;
use crate::error::{Error, Result};

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held<'a> {
    /// The transactions of the client, in a pool.
    ByClient,
    /// Those that write to one of these tables.
    OnTables(&'a [i64]),
}

/// Whom to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Nobody,
    Them,
}

/// The sessions that hold it, each by its pid, its state and the age of its transaction, as far as the role may see
/// them.
pub(super) async fn find(
    side: &Side,
    conn: &mut PgConnection,
    held: Held<'_>,
    end: End,
) -> Result<Vec<String>> {
    let end = match end {
        End::Them => "pg_catalog.pg_terminate_backend(a.pid, 1000)",
        End::Nobody => "false",
    };
    let holds = match held {
        Held::ByClient => format!(
            "l.locktype = 'advisory' and l.objsubid = 1 and exists (
                 select from tenantry.placement p where p.client_id = '{}'
                 and (l.classid::int8 << 32 | l.objid::int8) = tenantry.lock_key(p.handle))",
            side.client
        ),
        Held::OnTables(oids) => {
            let oids: Vec<String> = oids.iter().map(ToString::to_string).collect();
            format!(
                "l.locktype = 'relation' and l.mode <> 'AccessShareLock' and l.relation::int8 = any ('{{{}}}'::int8[])",
                oids.join(", ")
            )
        }
    };
    let sql = format!(
        "select distinct format('pid %s, %s, for %s', a.pid, coalesce(a.state, 'in a state that is not to be seen'),
                       coalesce(date_trunc('milliseconds', clock_timestamp() - a.xact_start)::text, 'some time')),
                {end}
         from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
         where l.granted and l.pid <> pg_backend_pid()
           and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
           and {holds}"
    );
    let found: Vec<(String, bool)> = sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(|source| Error::of_statement(side.client, "looking for transactions in flight", source))?;
    Ok(found.into_iter().map(|(told, _)| told).collect())
}
