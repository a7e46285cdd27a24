//! What the platform database knows of relocations.
#![expect(clippy::disallowed_methods, reason = "keeps the journal of relocations")]

use serde_json::Value;
use sqlx::postgres::PgQueryResult;
use sqlx::types::Json;
use uuid::Uuid;

use super::certificate::Certificate;
use super::phase::Phase;
use super::status::RelocationStatus;
use crate::client::{ClientId, PoolId};
use crate::directory::{PlatformDirectory, Writing, failed, refused};
use crate::error::{Error, RelocationError, Result};
use crate::secret::Sealed;

/// A relocation as the journal has it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    client_id: ClientId,
    phase: String,
    way: String,
    pub(super) attempt: i32,
    pub(super) source_pool: Option<PoolId>,
    pub(super) source_admin: Option<Sealed>,
    pub(super) target_pool: Option<PoolId>,
    pub(super) target_admin: Option<Sealed>,
    pub(super) fingerprint: String,
    pub(super) started: String,
    /// Whether it was cut over once.
    pub(super) was_moved: bool,
    /// Whether all rows were compared after that.
    pub(super) compared_in_full: bool,
}

/// A relocation to be noted.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    pub(super) client: ClientId,
    pub(super) plain: bool,
    pub(super) source_pool: Option<PoolId>,
    pub(super) target_pool: Option<PoolId>,
    /// For the app role and the admin role, of a target of its own.
    pub(super) target: Option<(Sealed, Sealed)>,
    pub(super) target_tier: Option<String>,
    pub(super) fingerprint: String,
}

const STEP: &str = "noting a relocation";

const COLUMNS: &str = "id, client_id, phase, way, attempt, source_pool, source_admin, target_pool, target_admin, fingerprint, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as started, \
     was_moved, coalesce((certificate ->> 'compared_in_full')::boolean, false) as compared_in_full";

impl Entry {
    pub(super) fn phase(&self) -> Phase {
        // The database's own constraint says that there are no others.
        Phase::named(&self.phase).unwrap_or(Phase::Planned)
    }

    pub(super) fn is_plain(&self) -> bool {
        self.way == "plain"
    }

    /// The relocation of a client that is under way.
    pub(super) async fn open(platform: &PlatformDirectory, client: ClientId) -> Result<Option<Self>> {
        let sql = sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from platform.relocations where client_id = $1 and ended_at is null"
        ));
        sqlx::query_as(sql)
            .bind(client)
            .fetch_optional(&platform.db)
            .await
            .map_err(failed("reading a relocation"))
    }

    /// Notes a relocation. The connections of the source are those that the client has now.
    pub(super) async fn create(platform: &PlatformDirectory, new: NewEntry) -> Result<()> {
        let (app, admin) = new.target.unzip();
        let mut writing = begin(platform).await?;
        sqlx::query(
            "insert into platform.relocations
                 (client_id, source_tier, way, source_pool, source_app, source_admin, target_pool, target_app, target_admin,
                  target_tier, fingerprint)
             select c.id, c.tier, $2, c.pool_id, c.app_connection, c.admin_connection, $4, $5, $6, $7, $8
             from platform.clients c
             where c.id = $1 and c.deleted_at is null and c.pool_id is not distinct from $3",
        )
        .bind(new.client)
        .bind(if new.plain { "plain" } else { "follow" })
        .bind(new.source_pool)
        .bind(new.target_pool)
        .bind(app)
        .bind(admin)
        .bind(new.target_tier)
        .bind(new.fingerprint)
        .execute(writing.conn()?)
        .await
        .map_err(|source| refused(STEP, format!("client {}", new.client), source))?;
        writing.commit().await
    }

    /// Notes how far it is. One that has ended keeps no connections.
    pub(super) async fn advance(&mut self, platform: &PlatformDirectory, phase: Phase) -> Result<()> {
        let mut writing = begin(platform).await?;
        let noted = sqlx::query(
            "update platform.relocations
             set phase = $2, failure = null, ended_at = case when $3 then now() end,
                 source_app = case when not $3 then source_app end,
                 source_admin = case when not $3 then source_admin end,
                 target_app = case when not $3 then target_app end,
                 target_admin = case when not $3 then target_admin end
             where id = $1 and attempt = $4",
        )
        .bind(self.id)
        .bind(phase.as_str())
        .bind(phase.is_ended())
        .bind(self.attempt)
        .execute(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        self.expect_one(&noted)?;
        writing.commit().await?;
        phase.as_str().clone_into(&mut self.phase);
        Ok(())
    }

    /// Notes that what changes is followed after all: moving it while writers wait took too long.
    pub(super) async fn follow(&mut self, platform: &PlatformDirectory) -> Result<()> {
        let mut writing = begin(platform).await?;
        let noted =
            sqlx::query("update platform.relocations set way = 'follow' where id = $1 and attempt = $2")
                .bind(self.id)
                .bind(self.attempt)
                .execute(writing.conn()?)
                .await
                .map_err(failed(STEP))?;
        self.expect_one(&noted)?;
        writing.commit().await?;
        "follow".clone_into(&mut self.way);
        Ok(())
    }

    /// Begins another attempt at the relocation of a client that is under way.
    pub(super) async fn begin_attempt(
        platform: &PlatformDirectory,
        client: ClientId,
    ) -> Result<Option<Self>> {
        let mut writing = begin(platform).await?;
        let sql = sqlx::AssertSqlSafe(format!(
            "update platform.relocations set attempt = attempt + 1
             where client_id = $1 and ended_at is null returning {COLUMNS}"
        ));
        let entry = sqlx::query_as(sql)
            .bind(client)
            .fetch_optional(writing.conn()?)
            .await
            .map_err(failed(STEP))?;
        writing.commit().await?;
        Ok(entry)
    }

    /// That this is the latest attempt still.
    pub(super) async fn expect_latest(&self, platform: &PlatformDirectory) -> Result<()> {
        let sql = "select from platform.relocations where id = $1 and attempt = $2 and ended_at is null";
        let latest = sqlx::query(sql)
            .bind(self.id)
            .bind(self.attempt)
            .fetch_optional(&platform.db)
            .await
            .map_err(failed("reading a relocation"))?;
        latest.map(drop).ok_or_else(|| self.taken())
    }

    /// That it was noted: this is the latest attempt still.
    pub(super) fn expect_one(&self, noted: &PgQueryResult) -> Result<()> {
        (noted.rows_affected() == 1)
            .then_some(())
            .ok_or_else(|| self.taken())
    }

    /// What is said to whoever is not the latest attempt any more.
    fn taken(&self) -> Error {
        Error::Relocation {
            client: self.client_id,
            step: STEP,
            source: RelocationError::Taken,
        }
    }

    /// Takes note of what was committed with something else.
    pub(super) fn is_now(&mut self, phase: Phase) {
        phase.as_str().clone_into(&mut self.phase);
    }

    /// Keeps the certificate; the platform database says when that is and whose.
    pub(super) async fn certify(
        &self,
        platform: &PlatformDirectory,
        certificate: &Certificate,
    ) -> Result<()> {
        let mut writing = begin(platform).await?;
        let noted = sqlx::query(
            "update platform.relocations r
             set certificate = $2 || jsonb_build_object(
                 'cut_over_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
                 'actor', coalesce(nullif(current_setting('platform.actor', true), ''), session_user))
             where r.id = $1 and r.attempt = $3",
        )
        .bind(self.id)
        .bind(Json(certificate))
        .bind(self.attempt)
        .execute(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        self.expect_one(&noted)?;
        writing.commit().await
    }

    /// Notes why an attempt ended. What is noted for people must not hide what failed.
    pub(super) async fn note_failure(&self, platform: &PlatformDirectory, failure: &Error) {
        let sql = "update platform.relocations set failure = left($2, 1000) where id = $1 and attempt = $3";
        let noted = sqlx::query(sql)
            .bind(self.id)
            .bind(told(failure))
            .bind(self.attempt)
            .execute(&platform.db)
            .await;
        if let Err(error) = noted {
            tracing::warn!(relocation = %self.id, %error, "why a relocation ended could not be noted");
        }
    }
}

/// Begins a transaction of the platform database, of whoever may be frozen in the middle of it: the server ends it
/// then, so that whoever takes over need not wait for what it has locked.
pub(super) async fn begin(platform: &PlatformDirectory) -> Result<Writing> {
    const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '15s'";
    platform.write_by(STEP, BEGIN).await
}

/// The error with what caused it.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// The latest relocation of a client.
pub(super) async fn status(
    platform: &PlatformDirectory,
    client: ClientId,
) -> Result<Option<RelocationStatus>> {
    let row: Option<StatusRow> = sqlx::query_as(
        "select client_id, phase, attempt, failure, certificate from platform.relocations
         where client_id = $1 order by started_at desc, id limit 1",
    )
    .bind(client)
    .fetch_optional(&platform.db)
    .await
    .map_err(failed("reading a relocation"))?;
    Ok(row.map(StatusRow::into_status))
}

/// The relocations that are under way.
pub(super) async fn unfinished(platform: &PlatformDirectory) -> Result<Vec<RelocationStatus>> {
    let rows: Vec<StatusRow> = sqlx::query_as(
        "select client_id, phase, attempt, failure, certificate from platform.relocations
         where ended_at is null order by started_at, id limit 1000",
    )
    .fetch_all(&platform.db)
    .await
    .map_err(failed("listing relocations"))?;
    Ok(rows.into_iter().map(StatusRow::into_status).collect())
}

#[derive(sqlx::FromRow)]
struct StatusRow {
    client_id: ClientId,
    phase: String,
    attempt: i32,
    failure: Option<String>,
    certificate: Option<Json<Value>>,
}

impl StatusRow {
    fn into_status(self) -> RelocationStatus {
        RelocationStatus {
            client: self.client_id,
            phase: Phase::named(&self.phase).unwrap_or(Phase::Planned),
            attempts: self.attempt,
            failure: self.failure,
            certificate: self
                .certificate
                .and_then(|Json(value)| serde_json::from_value(value).ok()),
        }
    }
}
