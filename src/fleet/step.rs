//! One migration of one database.
#![expect(clippy::disallowed_methods, reason = "applies migrations and rolls them back")]

use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate, MigrateError, Migration};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::event::FleetEvent;
use super::history::MigrationDirection;
use super::sets::Set;
use super::visit::Visit;
use crate::error::FleetError;
use crate::schema::is_contended;

/// The pause after the first attempt, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How much longer than the server is waited for the server to give up.
const GRACE: Duration = Duration::from_secs(5);

impl Visit<'_> {
    /// Applies a migration or rolls it back, again and again while others hold what it locks. Says how long it took.
    pub(super) async fn step(
        &mut self,
        set: &Set,
        migration: &Migration,
        direction: MigrationDirection,
        tell: &mpsc::Sender<FleetEvent>,
    ) -> Result<Duration, FleetError> {
        let (set_name, version) = (set.name, migration.version);
        let mut attempts = 1;
        loop {
            let began = Instant::now();
            let bound = self.options.migration_timeout;
            let attempt = once(
                &mut self.conn,
                set,
                migration,
                direction,
                self.options.lock_timeout,
            );
            let Ok(outcome) = tokio::time::timeout(bound + GRACE, attempt).await else {
                return Err(FleetError::TimedOut {
                    set: set_name,
                    version,
                    after: bound,
                });
            };
            let Err(error) = outcome else {
                return Ok(began.elapsed());
            };
            let source = match error {
                MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
                other => sqlx::Error::Migrate(other.into()),
            };
            if migration.no_tx {
                return Err(FleetError::HalfApplied {
                    version,
                    source: Some(source.into()),
                });
            }
            if began.elapsed() >= bound && is_cancelled(&source) {
                return Err(FleetError::TimedOut {
                    set: set_name,
                    version,
                    after: bound,
                });
            }
            if !is_contended(&source) {
                return Err(FleetError::Failed {
                    set: set_name,
                    version,
                    source: source.into(),
                });
            }
            if attempts >= self.options.lock_attempts {
                return Err(FleetError::Contended {
                    set: set_name,
                    version,
                    attempts,
                    source: source.into(),
                });
            }
            let contended = FleetEvent::Contended {
                database: self.database.clone(),
                version,
                attempts,
            };
            // Nobody who listens is nobody to tell.
            let _ = tell.send(contended).await;
            tokio::time::sleep(pause(attempts)).await;
            attempts += 1;
        }
    }
}

/// The migration and the note of it: both or neither, but where it runs without a transaction. That one is noted as half
/// applied for as long as it runs.
async fn once(
    conn: &mut PgConnection,
    set: &Set,
    migration: &Migration,
    direction: MigrationDirection,
    lock_timeout: Duration,
) -> Result<(), MigrateError> {
    // Each time: a migration may have left the session with another.
    sqlx::query("select set_config('lock_timeout', $1, false)")
        .bind(lock_timeout.as_millis().to_string())
        .execute(&mut *conn)
        .await?;
    let ledger = &set.ledger;
    match (migration.no_tx, direction) {
        (false, MigrationDirection::Up) => conn.apply(ledger, migration).await.map(drop),
        (false, MigrationDirection::Down) => conn.revert(ledger, migration).await.map(drop),
        (true, MigrationDirection::Up) => {
            let noted = format!(
                "insert into {ledger} (version, description, success, checksum, execution_time)
                 values ($1, $2, false, $3, -1)"
            );
            sqlx::query(AssertSqlSafe(noted))
                .bind(migration.version)
                .bind(&*migration.description)
                .bind(&*migration.checksum)
                .execute(&mut *conn)
                .await?;
            let began = Instant::now();
            conn.execute(migration.sql.clone()).await?;
            let noted = format!("update {ledger} set success = true, execution_time = $2 where version = $1");
            sqlx::query(AssertSqlSafe(noted))
                .bind(migration.version)
                .bind(i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX))
                .execute(conn)
                .await?;
            Ok(())
        }
        (true, MigrationDirection::Down) => {
            let noted = format!("update {ledger} set success = false where version = $1");
            sqlx::query(AssertSqlSafe(noted))
                .bind(migration.version)
                .execute(&mut *conn)
                .await?;
            conn.execute(migration.sql.clone()).await?;
            let noted = format!("delete from {ledger} where version = $1");
            sqlx::query(AssertSqlSafe(noted))
                .bind(migration.version)
                .execute(conn)
                .await?;
            Ok(())
        }
    }
}

/// Whether the server ended the statement, as it does after its timeout.
fn is_cancelled(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "57014")
}

/// Cut short by up to a half, at random: those who wait for each other do not meet again.
fn pause(attempts: u32) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
        .min(LONGEST_PAUSE);
    let random = Uuid::new_v4().as_bytes()[15];
    whole.saturating_sub((whole / 512).saturating_mul(random.into()))
}
