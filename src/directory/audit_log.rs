use std::time::{Duration, SystemTime};

use sqlx::{Postgres, QueryBuilder};

use super::PlatformDirectory;
use super::platform::failed;
use crate::client::ClientId;
use crate::error::Result;

/// A change of the platform database: who, when, which client, what, and what it was before and after.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its number. A later entry may have a smaller one where two transactions overlapped.
    pub id: i64,
    /// When.
    pub at: SystemTime,
    /// Who: the name given to [`acting_as`](PlatformDirectory::acting_as), else the database role.
    pub actor: String,
    /// The client that it is about; `None` of pools and tiers.
    pub client: Option<ClientId>,
    /// What: the table and what was done to it, such as `clients.update`.
    pub action: String,
    /// The columns that changed, and those that name the row, as they were. A secret says only that it is set.
    pub before: Option<serde_json::Value>,
    /// The same as they are since.
    pub after: Option<serde_json::Value>,
}

/// Which changes are listed. All, where it says nothing else.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    client: Option<ClientId>,
    actor: Option<String>,
    action: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl AuditFilter {
    /// Those about that client.
    #[must_use]
    pub fn client(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Those by that name.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Those of that action, such as `clients.update`.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = Some(action.into());
        self
    }

    /// Those at that time and later.
    #[must_use]
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Those before that time.
    #[must_use]
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: i64,
    at: i64,
    actor: String,
    client_id: Option<ClientId>,
    action: String,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
}

impl PlatformDirectory {
    /// So many changes at most, the newest first; those with a smaller number than `before` where it is given, which
    /// is the last of the page before. Between 1 and 1,000 at once: more are as 1,000.
    ///
    /// The log is written by the database in the transaction of each change, also of one by hand. It is append-only:
    /// no role may change an entry but a superuser who takes the trigger off.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform) where the database does not answer.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u16,
    ) -> Result<Vec<AuditEntry>> {
        let mut query = QueryBuilder::<Postgres>::new(
            "select id, (extract(epoch from at) * 1000000)::bigint as at, actor, client_id, action, before, after
             from platform.audit_log where true",
        );
        if let Some(client) = filter.client {
            query.push(" and client_id = ").push_bind(client);
        }
        if let Some(actor) = &filter.actor {
            query.push(" and actor = ").push_bind(actor.clone());
        }
        if let Some(action) = &filter.action {
            query.push(" and action = ").push_bind(action.clone());
        }
        for (bound, time) in [(" and at >= ", filter.since), (" and at < ", filter.until)] {
            if let Some(time) = time {
                query
                    .push(bound)
                    .push("'epoch'::timestamptz + interval '1 microsecond' * ")
                    .push_bind(micros(time));
            }
        }
        if let Some(before) = before {
            query.push(" and id < ").push_bind(before);
        }
        query
            .push(" order by id desc limit ")
            .push_bind(i64::from(limit.clamp(1, 1_000)));
        let rows: Vec<EntryRow> = query
            .build_query_as()
            .fetch_all(&self.db)
            .await
            .map_err(failed("reading the log of changes"))?;
        let entries = rows.into_iter().map(|row| AuditEntry {
            id: row.id,
            at: SystemTime::UNIX_EPOCH + Duration::from_micros(row.at.unsigned_abs()),
            actor: row.actor,
            client: row.client_id,
            action: row.action,
            before: row.before,
            after: row.after,
        });
        Ok(entries.collect())
    }
}

/// Since 1970; a time before that is as 1970, when there was no log.
fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
