//! What the crate tells of itself, through `tracing` and counters.
//!
//! | span, at level debug | fields | is open while |
//! |---|---|---|
//! | `tenantry.resolve` | `client`: the name asked for | a client's route is looked up, its database opened if it is not |
//! | `tenantry.begin` | `client`: its id | a transaction is begun, its wait for a connection included |
//! | `tenantry.statement` | `client`, `verb`, `of`: the table or function | a statement of the builder or a call runs, retries included |
//!
//! Events of the same spans: at debug level a dead connection that is replaced and a client that is followed to
//! where it moved; at info level a database that is opened, a scope key that was read again and values that were
//! sealed anew; at warn level a connection that could not be cleaned or repaired, and a version with a known leak that is served.
//!
//! Each statement on a pool database is an event of the target `tenantry::statement`, at level debug, or warn where
//! it took longer than [`ConnectionOptions::slow_statement`](crate::ConnectionOptions::slow_statement):
//!
//! | field | is |
//! |---|---|
//! | `client` | the client's id |
//! | `sql` | the text as it was prepared, with `$1` where a value is bound; what the host wrote into it is there |
//! | `outcome` | `answered`, `refused: ` and the SQLSTATE, `not answered` where the connection was lost, `given up` where its future was dropped |
//! | `elapsed` | the time it took |
//!
//! The messages that bind, begin and end are not: their text holds tickets. sqlx's own log of statements, the target
//! `sqlx::query`, is off on pool databases for the same reason. On a dedicated database there are no tickets, and it is
//! sqlx's log that tells of statements, at debug, and from a second on at warn; it holds no bound values either.
//!
//! A run over the [`Fleet`](crate::Fleet) tells at info level of each migration that was applied or rolled back
//! (`database`, `set`, `version`, `direction`, `elapsed`), of databases that have to wait (`why`), and of its end (`end`,
//! `done`, `current`, `failed`, `deferred`); at warn level of databases that failed.
//!
//! The counters of each pool database are [`PoolStatistics`](crate::PoolStatistics). No span, event or counter
//! holds a ticket, a credential, a bound value or a row.

use tracing::{Span, debug_span};

use crate::client::{ClientId, ClientRef};

pub(crate) fn resolve(client: &ClientRef) -> Span {
    debug_span!("tenantry.resolve", %client)
}

pub(crate) fn begin(client: ClientId) -> Span {
    debug_span!("tenantry.begin", %client)
}

pub(crate) fn statement(client: ClientId, verb: &str, of: &str) -> Span {
    debug_span!("tenantry.statement", %client, verb, of)
}
