//! The one connection of whoever retrofits a database.
#![expect(clippy::disallowed_methods, reason = "speaks to a database as its admin role")]

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::options::RetrofitOptions;
use super::step::Against;
use crate::client::PoolId;
use crate::directory::PlatformDirectory;
use crate::error::{Error, Result, RetrofitError};

/// A session of the admin role that nobody else has beside it: its lock ends with it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: PgConnection,
    pub(super) database: String,
}

/// `tenantry` and `retrofit`, as two numbers that nobody else takes.
const LOCK: &str = "select pg_try_advisory_lock(1952804449, 1919251046)";

/// Nothing is bound by time but what waits for a lock. A server that notices that its client is gone ends what it is at.
const SETTINGS: &str = "select set_config(name, case name when 'client_connection_check_interval' then '500ms' else '0' end, false)
     from pg_settings
     where name in ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout',
                    'idle_session_timeout', 'client_connection_check_interval')";

/// How long whoever maintains a table is waited for: nobody else waits behind that, and the server has its own upkeep
/// give way within a second.
const UPKEEP: Duration = Duration::from_secs(10);

/// The pause after a turn, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The SQLSTATEs of a lock that was waited for in vain.
const NOT_GOT: [&str; 3] = ["55P03", "57014", "40P01"];

impl Session {
    /// Connects, to look around.
    pub(super) async fn connect(platform: &PlatformDirectory, pool: PoolId) -> Result<Self> {
        const STEP: &str = "preparing a session of the admin role";
        let mut session = Self {
            conn: platform.pool_admin(pool).await?,
            database: format!("pool {pool}"),
        };
        session
            .run(STEP, "set application_name = 'tenantry retrofit'")
            .await?;
        session.run(STEP, SETTINGS).await?;
        let has_kernel: bool = sqlx::query_scalar("select to_regclass('tenantry.retrofits') is not null")
            .fetch_one(&mut session.conn)
            .await
            .map_err(|source| session.failed(STEP, source))?;
        if has_kernel {
            Ok(session)
        } else {
            Err(session.error(STEP, RetrofitError::NoKernel))
        }
    }

    /// Makes it the only one that changes anything.
    pub(super) async fn take(&mut self, patience: Duration) -> Result<()> {
        const STEP: &str = "locking the tables against other processes";
        let began = Instant::now();
        let mut turn = 0;
        loop {
            let locked: bool = sqlx::query_scalar(LOCK)
                .fetch_one(&mut self.conn)
                .await
                .map_err(|source| self.failed(STEP, source))?;
            if locked {
                return Ok(());
            }
            if began.elapsed() >= patience {
                return Err(self.error(STEP, RetrofitError::Taken));
            }
            tokio::time::sleep(pause(turn)).await;
            turn += 1;
        }
    }

    pub(super) fn error(&self, step: impl Into<String>, source: RetrofitError) -> Error {
        Error::Retrofit {
            database: self.database.clone(),
            step: step.into(),
            source,
        }
    }

    pub(super) fn failed(&self, step: impl Into<String>, source: sqlx::Error) -> Error {
        self.error(step, RetrofitError::Statement(source.into()))
    }

    /// Runs statements that have no values, in one message: in one transaction, unless they say otherwise.
    pub(super) async fn run(&mut self, step: &str, sql: impl Into<String>) -> Result<u64> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.into()))
            .execute(&mut self.conn)
            .await;
        done.map(|done| done.rows_affected())
            .map_err(|source| self.failed(step, source))
    }

    /// Runs statements in a transaction that has tables for itself. Others wait behind whoever waits for a table, so
    /// that is done in turns, and given up after all of them; who was waited for is told then.
    pub(super) async fn in_turn(
        &mut self,
        options: &RetrofitOptions,
        step: &str,
        (tables, against): (&[String], Against),
        sql: &str,
    ) -> Result<()> {
        let began = Instant::now();
        let (names, turn) = (tables.join(", "), options.turn.as_millis());
        // First a lock that lets everybody pass who reads or writes, for which the server's upkeep gives way; then all
        // tables within one turn, whatever their number.
        let sql = format!(
            "begin; set local lock_timeout = {}; lock table {names} in share update exclusive mode; \
             set local lock_timeout = {turn}; set local statement_timeout = {turn}; \
             lock table {names} in {} mode; set local statement_timeout = 0; {sql}; commit",
            UPKEEP.as_millis(),
            against.mode()
        );
        let mut turns = 0;
        loop {
            let Err(error) = self.run(step, sql.clone()).await else {
                return Ok(());
            };
            self.run(step, "rollback").await?;
            if !error
                .sqlstate()
                .is_some_and(|code| NOT_GOT.contains(&code.as_str()))
            {
                return Err(error);
            }
            if began.elapsed() >= options.lock_wait {
                let blockers = self.blockers(tables).await?;
                return Err(self.error(step, RetrofitError::NotDrained { blockers }));
            }
            tokio::time::sleep(pause(turns)).await;
            turns += 1;
        }
    }

    /// The sessions that hold the tables.
    async fn blockers(&mut self, tables: &[String]) -> Result<Vec<String>> {
        let found = sqlx::query_scalar(
            "select distinct format('pid %s, %s, for %s', a.pid, coalesce(a.state, 'in a state that is not to be seen'),
                        coalesce(date_trunc('milliseconds', clock_timestamp() - a.xact_start)::text, 'some time'))
             from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
             where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid()
               and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
               and l.relation = any (select to_regclass(t)::oid from unnest($1::text[]) t)",
        )
        .bind(tables)
        .persistent(false)
        .fetch_all(&mut self.conn)
        .await;
        found.map_err(|source| self.failed("looking for transactions in flight", source))
    }
}

fn pause(turn: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(turn))
        .min(LONGEST_PAUSE)
}

/// Whether it was given up because somebody was waited for too long.
pub(super) fn gave_way(error: &Error) -> bool {
    error
        .sqlstate()
        .is_some_and(|code| matches!(code.as_str(), "55P03" | "40P01"))
}
