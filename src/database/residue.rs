use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};

/// What a transaction can leave on its session for the next user to find: settings, role, WITH HOLD
/// cursors, LISTEN, advisory locks, temporary tables. The last values of sequences are discarded by
/// `tenantry.enter`: the scope is one of them. Prepared statements of the connection itself stay; DISCARD
/// ALL would drop them, and is refused inside a batch.
macro_rules! clear {
    ($rest:literal) => {
        concat!(
            "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; \
             SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; ",
            $rest
        )
    };
}

/// Clears a session of one's own. Its last row tells [`is_cleared`] of the prepared statements, which it
/// cannot clear.
pub(super) const CLEAR: &str = clear!(
    "SELECT count(*) FILTER (WHERE from_sql) AS tenantry_foreign, \
     count(*) FILTER (WHERE NOT from_sql) AS tenantry_own FROM pg_catalog.pg_prepared_statement()"
);

/// Clears a session behind a pooler, whoever had it before. One with statements prepared by SQL ends itself:
/// the pooler has no other way to be rid of it, and knows of those that it prepared.
pub(super) const CLEAR_POOLED: &str = clear!(
    "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid()) \
     WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() WHERE from_sql)"
);

/// Whether a row that [`CLEAR`] answered with says that the session is as clean as it makes it.
///
/// SQL can deallocate a statement that the connection prepared and prepare another of its name, which the
/// next client would run as its own. Nothing but closing the connection mends that.
pub(super) fn is_cleared(conn: &PgConnection, row: &PgRow) -> bool {
    let foreign = row.try_get::<i64, _>("tenantry_foreign");
    let own = row.try_get::<i64, _>("tenantry_own").map(usize::try_from);
    matches!((foreign, own), (Ok(0), Ok(Ok(own))) if own >= conn.cached_statements_size())
}

/// Why such a connection is closed.
pub(super) const NOT_CLEARED: &str = "its prepared statements were changed by SQL";
