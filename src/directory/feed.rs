//! The changes of a platform database: as it notifies of them, or read from its log.
#![expect(clippy::disallowed_methods, reason = "reads the log of changes")]

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join;
use serde::Deserialize;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions, PgRow};
use sqlx::{FromRow, PgPool, Row, ValueRef};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use uuid::Uuid;

use super::platform::failed;
use super::{Change, Changes, Following};
use crate::client::{ClientId, PoolId};
use crate::error::Result;
use crate::plan::TierName;

/// The channel that the platform database notifies on; see its migration on notifications.
const CHANNEL: &str = "tenantry_clients";

const LISTENING: &str = "listening for changes";
const POLLING: &str = "reading the log of changes";

/// How long a connection to listen on is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is tried again to listen, where that did not work.
const LISTEN_AGAIN: Duration = Duration::from_mins(1);

/// How many entries of the log are read at once; more amount to a change of everything.
const MOST_ENTRIES: i64 = 10_000;

pub(super) async fn changes(db: &PgPool, following: &Following) -> Result<Changes> {
    if !following.listens {
        return poll(db.clone(), following.poll_every, None).await;
    }
    if let Some(changes) = listen(db, following.check_every).await? {
        return Ok(changes);
    }
    tracing::warn!("notifications of the platform database do not arrive: its log is read instead");
    let until = Instant::now() + LISTEN_AGAIN;
    poll(db.clone(), following.poll_every, Some(until)).await
}

/// `None` where nobody may listen, as on a standby, or what the database notifies of does not arrive here, as
/// through a transaction pooler.
async fn listen(db: &PgPool, check_every: Duration) -> Result<Option<Changes>> {
    let mut heard = Vec::new();
    let mut ear = match Ear::open(db, check_every, &mut heard).await {
        Ok(Some(ear)) => ear,
        Ok(None) => return Ok(None),
        Err(refused) if is_refusal(&refused) => {
            tracing::warn!(error = %refused, "the platform database cannot be listened to");
            return Ok(None);
        }
        Err(failure) => return Err(failed(LISTENING)(failure)),
    };
    let stream = async_stream::try_stream! {
        let mut check = interval_at(Instant::now() + check_every, check_every);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for change in heard.drain(..) {
                yield change;
            }
            ear.listen(&mut check, &mut heard).await.map_err(failed(LISTENING))?;
        }
    };
    Ok(Some(stream.boxed()))
}

/// Whether the server does not let anybody listen, or speak; not that a connection was ended, which is tried again.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    // Not supported, as on a standby or by a pooler; a read-only transaction; a statement that the pooler gave to
    // another session; missing rights.
    code.is_some_and(|code| {
        ["0A", "25", "26", "42"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

/// A connection that listens, and another that speaks to it, to see whether it hears. It would hear itself also
/// through a pooler that keeps the words of others from it.
struct Ear {
    listener: PgListener,
    speaker: PgPool,
    own_channel: String,
    patience: Duration,
}

impl Ear {
    /// On connections of its own: one that died must not take those of others with it, and others' work must not
    /// keep it from hearing.
    ///
    /// `None` where it does not hear.
    async fn open(db: &PgPool, patience: Duration, heard: &mut Vec<Change>) -> sqlx::Result<Option<Self>> {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(CONNECT_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with((*db.connect_options()).clone());
        let own_channel = format!("tenantry_heard_{}", Uuid::new_v4().simple());
        // At once: nothing is trusted for as long as nobody hears.
        let (mut listener, speaker) = try_join(PgListener::connect_with(&pool), pool.acquire()).await?;
        drop(speaker);
        listener.eager_reconnect(false);
        listener.listen_all([CHANNEL, &own_channel]).await?;
        let mut ear = Self {
            listener,
            speaker: pool,
            own_channel,
            patience,
        };
        Ok(ear.hears(heard).await?.then_some(ear))
    }

    /// The next notification; an error where the connection is lost.
    async fn next(&mut self) -> sqlx::Result<PgNotification> {
        let next = self.listener.try_recv().await?;
        next.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset).into())
    }

    /// Waits for what comes next, and sees from time to time whether it still hears.
    async fn listen(&mut self, check: &mut Interval, heard: &mut Vec<Change>) -> sqlx::Result<()> {
        tokio::select! {
            next = self.next() => {
                heard.extend(read(&next?));
                Ok(())
            }
            _ = check.tick() => {
                let arrived = self.hears(heard).await?;
                arrived.then_some(()).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut).into())
            }
        }
    }

    /// Whether it hears what it says. What else it hears meanwhile is added.
    async fn hears(&mut self, heard: &mut Vec<Change>) -> sqlx::Result<bool> {
        let patience = self.patience;
        let said = async {
            sqlx::query("select pg_notify($1, '')")
                .bind(&self.own_channel)
                .execute(&self.speaker)
                .await?;
            loop {
                let next = self.next().await?;
                if next.channel() == self.own_channel {
                    return Ok(true);
                }
                heard.extend(read(&next));
            }
        };
        match timeout(patience, said).await {
            Ok(said) => said,
            Err(_elapsed) => Ok(false),
        }
    }
}

fn read(notification: &PgNotification) -> Option<Change> {
    (notification.channel() == CHANNEL).then(|| change(notification.payload()))
}

/// What a payload says has changed.
fn change(payload: &str) -> Change {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Told {
        Client(Uuid),
        Pool(Uuid),
        Tier(String),
    }
    match serde_json::from_str(payload) {
        Ok(Told::Client(id)) => Change::Client(ClientId::from(id)),
        Ok(Told::Pool(id)) => Change::Pool(PoolId::from(id)),
        Ok(Told::Tier(name)) => Change::Tier(TierName::from(name.as_str())),
        // From a version of the crate that tells of more, perhaps.
        Err(_) => Change::Everything,
    }
}

/// Reads the log again and again, up to that moment if there is one.
async fn poll(db: PgPool, every: Duration, until: Option<Instant>) -> Result<Changes> {
    // Nothing is told of what was there before.
    let (mut horizon, _) = entries(&db, None).await.map_err(failed(POLLING))?;
    let stream = async_stream::try_stream! {
        let mut told = HashSet::new();
        let mut tick = interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while until.is_none_or(|until| Instant::now() < until) {
            tick.tick().await;
            let (next, found) = entries(&db, Some(&horizon)).await.map_err(failed(POLLING))?;
            let all_told = found.len() < usize::try_from(MOST_ENTRIES).unwrap_or(usize::MAX);
            if !all_told {
                yield Change::Everything;
            }
            let mut seen = HashSet::with_capacity(found.len());
            for entry in found {
                seen.insert(entry.id);
                if all_told && !told.contains(&entry.id) {
                    for change in entry.changes() {
                        yield change;
                    }
                }
            }
            horizon = next;
            told = seen;
        }
    };
    Ok(stream.boxed())
}

#[derive(sqlx::FromRow)]
struct Entry {
    id: i64,
    table: String,
    client_id: Option<ClientId>,
    before: Option<String>,
    after: Option<String>,
}

impl Entry {
    fn changes(self) -> Vec<Change> {
        if let Some(client) = self.client_id {
            return vec![Change::Client(client)];
        }
        // Both, where it has another name since.
        let before = self.before.filter(|name| self.after.as_ref() != Some(name));
        let named = [before, self.after].into_iter().flatten();
        named
            .map(|name| match self.table.as_str() {
                // The schema of a pool is named by its pool.
                "pools" | "known_schemas" => name
                    .parse::<Uuid>()
                    .map_or(Change::Everything, |id| Change::Pool(PoolId::from(id))),
                "tiers" => Change::Tier(TierName::from(name.as_str())),
                _ => Change::Everything,
            })
            .collect()
    }
}

/// What transactions logged that were not over at that horizon, and the horizon of this reading: every transaction
/// before it was over, so that what it logged has been seen. One statement, for one snapshot.
async fn entries(db: &PgPool, horizon: Option<&str>) -> sqlx::Result<(String, Vec<Entry>)> {
    let rows: Vec<PgRow> = sqlx::query(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text as horizon, l.*
           from (select) one left join lateral (
               select id, split_part(action, '.', 1) as "table", client_id,
                      coalesce(before ->> 'id', before ->> 'name') as before,
                      coalesce(after ->> 'id', after ->> 'name') as after
               from platform.audit_log where xid >= $1::text::xid8 order by id limit $2) l on true"#,
    )
    .bind(horizon)
    .bind(MOST_ENTRIES)
    .fetch_all(db)
    .await?;
    let horizon = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get("horizon")?;
    let entries = rows
        .iter()
        .filter(|row| row.try_get_raw("id").is_ok_and(|id| !id.is_null()));
    Ok((
        horizon,
        entries.map(Entry::from_row).collect::<sqlx::Result<_>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_what_changed_and_one_that_is_not_understood_that_all_may_have() {
        let id = Uuid::from_u128(7);
        assert_eq!(
            change(&format!(r#"{{"client": "{id}"}}"#)),
            Change::Client(id.into())
        );
        assert_eq!(change(&format!(r#"{{"pool": "{id}"}}"#)), Change::Pool(id.into()));
        assert_eq!(change(r#"{"tier": "champion"}"#), Change::Tier("champion".into()));
        for other in ["", "{}", r#"{"client": 5}"#, r#"{"region": "north"}"#] {
            assert_eq!(change(other), Change::Everything, "{other}");
        }
    }
}
