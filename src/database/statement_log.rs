use std::borrow::Cow;
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;

use crate::client::ClientId;

/// Tells of a statement on a pool database when it is dropped: when it was answered, or was given up.
///
/// sqlx's own log of statements is off there: the messages that bind a session are statements, too, and hold
/// tickets in their text. What is told here is the text that was prepared, never its arguments.
pub(crate) struct StatementLog<S: AsRef<str>> {
    sql: S,
    client: ClientId,
    /// From how long on it is slow; zero for never.
    slow: Duration,
    since: Instant,
    outcome: Cow<'static, str>,
}

impl<S: AsRef<str>> StatementLog<S> {
    pub(super) fn new(client: ClientId, sql: S, slow: Duration) -> Self {
        Self {
            sql,
            client,
            slow,
            since: Instant::now(),
            outcome: Cow::Borrowed("given up"),
        }
    }

    /// Takes note of the answer.
    pub(crate) fn note<T>(&mut self, answered: &sqlx::Result<T>) {
        self.outcome = match answered {
            Ok(_) => Cow::Borrowed("answered"),
            Err(failed) => match failed.as_database_error().and_then(DatabaseError::code) {
                Some(code) => Cow::Owned(format!("refused: {code}")),
                None => Cow::Borrowed("not answered"),
            },
        };
    }
}

impl<S: AsRef<str>> Drop for StatementLog<S> {
    fn drop(&mut self) {
        let elapsed = self.since.elapsed();
        let (client, sql, outcome) = (self.client, self.sql.as_ref(), &*self.outcome);
        if !self.slow.is_zero() && elapsed >= self.slow {
            tracing::warn!(target: "tenantry::statement", %client, sql, outcome, ?elapsed, "a statement was slow");
        } else {
            tracing::debug!(target: "tenantry::statement", %client, sql, outcome, ?elapsed, "a statement");
        }
    }
}
