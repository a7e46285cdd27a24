#![expect(clippy::disallowed_methods, reason = "delivers what is told of clients")]

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::database_provisioner::HookError;
use crate::client::ClientId;
use crate::directory::{PlatformDirectory, Writing, failed};
use crate::error::{Error, Result};

const STEP: &str = "delivering events";

/// What happened to a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientEventKind {
    /// It was created, and is not served yet.
    Created,
    /// It was set up, and is served.
    Activated,
    /// It is not served until it is resumed.
    Suspended,
    /// It is served again.
    Resumed,
    /// It is not served any more.
    Archived,
    /// It is unknown from now on.
    Deleted,
    /// It was deleted, and is not any more.
    Restored,
    /// It has another tier.
    TierChanged,
    /// It lives in another database.
    Relocated,
    /// Anything else, by the name that the platform database has for it.
    Other(String),
}

impl From<&str> for ClientEventKind {
    fn from(kind: &str) -> Self {
        match kind {
            "created" => Self::Created,
            "activated" => Self::Activated,
            "suspended" => Self::Suspended,
            "resumed" => Self::Resumed,
            "archived" => Self::Archived,
            "deleted" => Self::Deleted,
            "restored" => Self::Restored,
            "tier_changed" => Self::TierChanged,
            "relocated" => Self::Relocated,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Something that happened to a client, written in the transaction in which it did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClientEvent {
    /// Its number, by which one that is told twice is known.
    pub id: i64,
    /// The client.
    pub client: ClientId,
    /// What happened.
    pub kind: ClientEventKind,
    /// When.
    pub at: SystemTime,
    /// Its slug, tier and status since, as a JSON object.
    pub detail: serde_json::Value,
}

/// Where events go: a webhook, a queue, a mail.
#[async_trait]
pub trait EventSink: Send + Sync + std::fmt::Debug {
    /// Takes an event. Once it has, the event is not told again, unless the process is killed just then.
    ///
    /// # Errors
    /// Why it could not: the event, and those after it, are told again the next time.
    async fn take(&self, event: &ClientEvent) -> Result<(), HookError>;
}

#[derive(sqlx::FromRow)]
struct EventRow {
    id: i64,
    client_id: ClientId,
    kind: String,
    at: i64,
    detail: serde_json::Value,
}

impl PlatformDirectory {
    /// Tells of so many events at most that were not told yet, in their order, each at least once. Returns how many
    /// were. One process tells at a time: where another does, this is 0.
    ///
    /// The order is that of the changes' transactions of one client; those of two clients that overlapped may be
    /// told the other way round.
    ///
    /// # Errors
    /// [`Error::Hook`] where the sink did not take one: those before it are told.
    ///
    /// # Cancel safety
    /// Dropped, the event that was being told is told again the next time.
    pub async fn deliver_events(&self, sink: &dyn EventSink, limit: u16) -> Result<u16> {
        let mut delivered = 0;
        while delivered < limit {
            let mut writing = self.write(STEP).await?;
            match deliver_next(&mut writing, sink).await {
                Ok(true) => writing.commit().await?,
                none_or_failed => {
                    // Who tells next finds nobody at it: a transaction that is dropped ends only when the server
                    // hears of it.
                    let ended = writing.roll_back().await;
                    none_or_failed?;
                    ended?;
                    break;
                }
            }
            delivered += 1;
        }
        Ok(delivered)
    }
}

/// Tells of the event that is next. False where there is none, or another process is at it.
async fn deliver_next(writing: &mut Writing, sink: &dyn EventSink) -> Result<bool> {
    // One at a time: the order of a client's events is theirs.
    let alone: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock(1413828180, 2)")
        .fetch_one(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
    if !alone {
        return Ok(false);
    }
    let row: Option<EventRow> = sqlx::query_as(
        "select id, client_id, kind, (extract(epoch from at) * 1000000)::bigint as at, detail
         from platform.events where delivered_at is null order by id limit 1",
    )
    .fetch_optional(writing.conn()?)
    .await
    .map_err(failed(STEP))?;
    let Some(row) = row else { return Ok(false) };
    let event = ClientEvent {
        id: row.id,
        client: row.client_id,
        kind: row.kind.as_str().into(),
        at: SystemTime::UNIX_EPOCH + Duration::from_micros(row.at.unsigned_abs()),
        detail: row.detail,
    };
    sink.take(&event).await.map_err(|source| Error::Hook {
        client: event.client,
        hook: format!("telling of event {}", event.id),
        source: source.into(),
    })?;
    sqlx::query("update platform.events set delivered_at = now() where id = $1")
        .bind(event.id)
        .execute(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
    Ok(true)
}
