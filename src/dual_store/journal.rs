//! What the platform database knows of dual stores.
#![expect(
    clippy::disallowed_methods,
    reason = "keeps the phases and notes of dual stores"
)]

use std::sync::Arc;
use std::time::Duration;

use super::divergence::Divergence;
use super::phase::StorePhase;
use crate::client::ClientId;
use crate::directory::{PlatformDirectory, Writing, failed, refused};
use crate::error::{DualStoreError, Error, Result};

/// The entry of one store of one client. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) platform: PlatformDirectory,
    pub(super) client: ClientId,
    pub(super) name: Arc<str>,
    pub(super) key_wait: Duration,
    pub(super) settled_after: Duration,
    pub(super) keep_divergences: i32,
}

/// A write that the second store does not have yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[non_exhaustive]
pub struct PendingRepair {
    /// The key of the record.
    pub key: String,
    /// Why the second store does not have it: the kind of its error, with SQLSTATE and constraint where it is PostgreSQL.
    /// Its own words, which may quote the record, are not kept.
    pub failure: String,
    /// How often it was tried.
    pub attempts: i32,
}

/// What is noted.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(super) struct Noted {
    /// Writes that the second store does not have.
    pub(super) failed: i64,
    /// Writes under way, or whose processes died.
    pub(super) under_way: i64,
    pub(super) divergences: i64,
    /// Whether others were found that are not among those.
    pub(super) unlisted: bool,
    /// How often one was found.
    pub(super) found: i64,
    pub(super) is_verified: bool,
}

impl Noted {
    /// Whether the truth may not change. What is to be repaired cannot be waived.
    pub(super) fn stands_against(&self, stated: Option<&str>) -> bool {
        self.failed > 0 || (stated.is_none() && (self.divergences > 0 || self.unlisted || !self.is_verified))
    }
}

/// The entry, as it is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Entry {
    phase: String,
    /// Whether a change of the truth is about to be made: an announcement that nobody withdrew ends by itself.
    pub(super) announced: bool,
    pub(super) is_verified: bool,
    pub(super) dual_since: Option<String>,
    pub(super) stated: Option<String>,
    /// When it was read.
    pub(super) read_at: String,
}

const READING: &str = "reading a dual store";
const CHANGING: &str = "changing a dual store";

/// How long an announcement counts for those who read, and for whoever made it: less, so that it is never made use of
/// once a reader may have ceased to heed it.
const HEEDED: &str = "30 seconds";
const USED_WITHIN: &str = "20 seconds";

/// How many fields of a record that differs are kept by name.
const MOST_FIELDS: usize = 50;

impl Entry {
    pub(super) fn phase(&self) -> Result<StorePhase, DualStoreError> {
        // The database's own constraint says that there are no others, until a later version of the crate knows more.
        self.phase.parse().map_err(|_| DualStoreError::Changed {
            phase: self.phase.clone(),
        })
    }
}

impl Journal {
    pub(super) fn failed(&self, step: &'static str) -> impl Fn(DualStoreError) -> Error {
        let (client, store) = (self.client, self.name.to_string());
        move |source| Error::DualStore {
            client,
            store: store.clone(),
            step,
            source: Box::new(source),
        }
    }

    /// Makes the entry, unless it is there.
    pub(super) async fn open(&self) -> Result<()> {
        let mut writing = self.platform.write(CHANGING).await?;
        sqlx::query(
            "insert into platform.dual_stores (client_id, name) values ($1, $2) on conflict do nothing",
        )
        .bind(self.client)
        .bind(&*self.name)
        .execute(writing.conn()?)
        .await
        .map_err(|source| {
            refused(
                CHANGING,
                format!("dual store {} of client {}", self.name, self.client),
                source,
            )
        })?;
        writing.commit().await
    }

    pub(super) async fn entry(&self) -> Result<Entry> {
        let sql = sqlx::AssertSqlSafe(format!(
            "select phase, coalesce(announced_at > clock_timestamp() - interval '{HEEDED}', false) as announced,
                    verified_at is not null as is_verified, dual_since::text as dual_since, stated,
                    clock_timestamp()::text as read_at
             from platform.dual_stores where client_id = $1 and name = $2"
        ));
        let entry: Option<Entry> = sqlx::query_as(sql)
            .bind(self.client)
            .bind(&*self.name)
            .fetch_optional(&self.platform.db)
            .await
            .map_err(failed(READING))?;
        entry.ok_or_else(|| self.failed("reading the phase")(DualStoreError::Gone))
    }

    /// What is noted, as the transaction sees it.
    pub(super) async fn noted(&self, writing: Option<&mut Writing>) -> Result<Noted> {
        let query = sqlx::query_as(
            "select count(*) filter (where failure is not null) as failed,
                    count(*) filter (where failure is null) as under_way,
                    (select count(*) from platform.dual_store_divergences d where d.client_id = $1 and d.name = $2)
                        as divergences,
                    exists (select from platform.dual_store_findings f
                            where f.client_id = $1 and f.name = $2 and f.unlisted_at is not null) as unlisted,
                    coalesce((select f.found from platform.dual_store_findings f
                              where f.client_id = $1 and f.name = $2), 0) as found,
                    exists (select from platform.dual_stores s
                            where s.client_id = $1 and s.name = $2 and s.verified_at is not null) as is_verified
             from platform.dual_store_notes where client_id = $1 and name = $2",
        )
        .bind(self.client)
        .bind(&*self.name);
        let noted = match writing {
            Some(writing) => query.fetch_one(writing.conn()?).await,
            None => query.fetch_one(&self.platform.db).await,
        };
        noted.map_err(failed(READING))
    }

    /// Some of the writes that the second store does not have.
    pub(super) async fn pending(&self, limit: usize) -> Result<Vec<PendingRepair>> {
        sqlx::query_as(
            "select key, failure, attempts from platform.dual_store_notes
             where client_id = $1 and name = $2 and failure is not null order by id limit $3",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.platform.db)
        .await
        .map_err(failed(READING))
    }

    /// Keys to be repaired: those whose time has come, or all that failed; and those of writes that died, once they
    /// are over for sure.
    pub(super) async fn due(&self, all: bool, after: &str, limit: usize) -> Result<Vec<String>> {
        sqlx::query_scalar(
            r#"select distinct key collate "C" as key from platform.dual_store_notes
               where client_id = $1 and name = $2 and key collate "C" > $6
                 -- Without a second store, they wait until there is one.
                 and exists (select from platform.dual_stores s
                             where s.client_id = $1 and s.name = $2 and s.phase not in ('setup', 'clean_up'))
                 and ((failure is not null and ($3 or retry_at <= clock_timestamp()))
                      or (failure is null and noted_at < clock_timestamp() - $4 * interval '1 millisecond'))
               order by 1 limit $5"#,
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(all)
        .bind(millis(self.settled_after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(after)
        .fetch_all(&self.platform.db)
        .await
        .map_err(failed(READING))
    }

    /// Some of the records that were seen to differ.
    pub(super) async fn divergences(&self, limit: usize) -> Result<Vec<Divergence>> {
        let rows: Vec<(String, String, Vec<String>)> = sqlx::query_as(
            "select key, kind, fields from platform.dual_store_divergences
             where client_id = $1 and name = $2 order by key limit $3",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.platform.db)
        .await
        .map_err(failed(READING))?;
        let read =
            |(key, kind, fields): (String, String, Vec<String>)| Divergence::of_row(key, &kind, fields);
        Ok(rows.into_iter().map(read).collect())
    }

    pub(super) async fn note_divergence(&self, divergence: &Divergence) -> Result<()> {
        let fields = divergence.kind.fields();
        sqlx::query("select platform.note_divergence($1, $2, $3, $4, $5, $6)")
            .bind(self.client)
            .bind(&*self.name)
            .bind(&divergence.key)
            .bind(divergence.kind.as_str())
            .bind(&fields[..fields.len().min(MOST_FIELDS)])
            .bind(self.keep_divergences)
            .execute(&self.platform.db)
            .await
            .map(drop)
            .map_err(failed(CHANGING))
    }

    /// Takes note that a record agrees in both stores.
    pub(super) async fn forget_divergence(&self, key: &str) -> Result<()> {
        sqlx::query(
            "delete from platform.dual_store_divergences where client_id = $1 and name = $2 and key = $3",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(key)
        .execute(&self.platform.db)
        .await
        .map(drop)
        .map_err(failed(CHANGING))
    }

    /// Takes note that both stores were compared in full and hold the same, unless one was written alone since then.
    pub(super) async fn note_verified(&self, dual_since: &str, began: &str) -> Result<()> {
        let mut writing = self.platform.write(CHANGING).await?;
        sqlx::query(
            "update platform.dual_stores set verified_at = clock_timestamp()
             where client_id = $1 and name = $2 and dual_since::text = $3",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(dual_since)
        .execute(writing.conn()?)
        .await
        .map_err(failed(CHANGING))?;
        // Those that are not listed were compared with all others, and agree: but for those that were found since.
        sqlx::query(
            "update platform.dual_store_findings set unlisted_at = null
             where client_id = $1 and name = $2 and unlisted_at < $3::text::timestamptz",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(began)
        .execute(writing.conn()?)
        .await
        .map_err(failed(CHANGING))?;
        writing.commit().await
    }

    /// Has nobody remember the phase. Returns the mark of the announcement.
    pub(super) async fn announce(&self) -> Result<String> {
        let mut writing = self.platform.write(CHANGING).await?;
        let announced: Option<String> = sqlx::query_scalar(
            "update platform.dual_stores set announced_at = clock_timestamp()
             where client_id = $1 and name = $2 returning announced_at::text",
        )
        .bind(self.client)
        .bind(&*self.name)
        .fetch_optional(writing.conn()?)
        .await
        .map_err(failed(CHANGING))?;
        writing.commit().await?;
        announced.ok_or_else(|| self.failed("changing the phase")(DualStoreError::Gone))
    }

    /// Takes an announcement back that was not made use of.
    pub(super) async fn withdraw(&self, announced: &str) -> Result<()> {
        sqlx::query(
            "update platform.dual_stores set announced_at = null
             where client_id = $1 and name = $2 and announced_at::text = $3",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(announced)
        .execute(&self.platform.db)
        .await
        .map(drop)
        .map_err(failed(CHANGING))
    }

    /// Begins a change of the phase: nobody begins a write until it ends.
    pub(super) async fn change(&self, wait: Duration) -> Result<Writing> {
        let mut writing = self.platform.write(CHANGING).await?;
        let locked = sqlx::query(
            "select pg_advisory_xact_lock(platform.store_lock($1, $2))
             from (select set_config('lock_timeout', $3, true)) bounded",
        )
        .bind(self.client)
        .bind(&*self.name)
        .bind(format!("{}ms", wait.as_millis().max(1)))
        .execute(writing.conn()?)
        .await;
        match locked {
            Ok(_) => Ok(writing),
            Err(error) if is_busy(&error) => Err(self.failed("changing the phase")(DualStoreError::Busy {
                waited: wait,
            })),
            Err(error) => Err(failed(CHANGING)(error)),
        }
    }

    /// Changes the phase, if it is still that one and the announcement is heeded.
    pub(super) async fn advance(
        &self,
        writing: &mut Writing,
        from: StorePhase,
        to: StorePhase,
        announced: Option<&str>,
        stated: Option<&str>,
    ) -> Result<bool> {
        let sql = sqlx::AssertSqlSafe(format!(
            "update platform.dual_stores
             set phase = $4, announced_at = null, stated = $6,
                 dual_since = case when $4 = 'setup' then null
                                   when $3 = 'setup' then clock_timestamp() else dual_since end,
                 verified_at = case when $4 <> 'setup' then verified_at end
             where client_id = $1 and name = $2 and phase = $3
               and ($5::text is null
                    or (announced_at::text = $5 and announced_at > clock_timestamp() - interval '{USED_WITHIN}'))"
        ));
        let changed = sqlx::query(sql)
            .bind(self.client)
            .bind(&*self.name)
            .bind(from.as_str())
            .bind(to.as_str())
            .bind(announced)
            .bind(stated)
            .execute(writing.conn()?)
            .await
            .map_err(|source| {
                refused(
                    CHANGING,
                    format!("dual store {} of client {}", self.name, self.client),
                    source,
                )
            })?;
        if changed.rows_affected() == 1 && matches!(to, StorePhase::Setup | StorePhase::CleanUp) {
            // What was seen of a second store says nothing once it is none; in the last phase nor do notes.
            sqlx::query(
                "with forgotten as (
                     delete from platform.dual_store_divergences where client_id = $1 and name = $2),
                 seen as (
                     delete from platform.dual_store_findings where client_id = $1 and name = $2)
                 delete from platform.dual_store_notes where client_id = $1 and name = $2 and $3",
            )
            .bind(self.client)
            .bind(&*self.name)
            .bind(to == StorePhase::CleanUp)
            .execute(writing.conn()?)
            .await
            .map_err(failed(CHANGING))?;
        }
        Ok(changed.rows_affected() == 1)
    }
}

pub(super) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// Whether a lock was waited for in vain.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01")) || matches!(error, sqlx::Error::PoolTimedOut)
}
