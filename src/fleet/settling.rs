#![expect(clippy::disallowed_methods, reason = "corrects the ledger of a database")]

use sqlx::AssertSqlSafe;

use super::database::FleetDatabase;
use super::fleet::Fleet;
use super::ledger;
use super::visit::Visit;
use crate::directory::FleetOwner;
use crate::error::{Error, FleetError, Result};

/// What somebody made of a migration that was half applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Whatever it does is done.
    Applied,
    /// Nothing of it is left: it is applied anew by the next run.
    Undone,
}

impl Fleet {
    /// Says what became of a migration without a transaction that began and did not end, after somebody looked: an
    /// index that was built concurrently may be there, be invalid, or not be there. The next run goes on from that.
    ///
    /// # Errors
    /// [`Error::Fleet`] where no such migration is half applied, the database is none of the fleet, or somebody else
    /// migrates it; [`Error::Unreachable`]; [`Error::MissingCredential`]; [`Error::Platform`].
    ///
    /// # Cancel safety
    /// Dropped, it is settled or not.
    pub async fn settle(&self, of: FleetOwner, version: i64, settled: Settled) -> Result<()> {
        const STEP: &str = "settling a migration";
        let fleet = ledger::list(&self.platform).await?;
        let listed = fleet.into_iter().find(|listed| listed.database.of == of);
        let listed = listed.ok_or_else(|| Error::Fleet {
            database: "the fleet".to_owned(),
            step: STEP,
            source: FleetError::UnknownDatabase {
                name: of.as_uuid().to_string(),
            },
        })?;
        let mut visit = Visit::begin(&self.platform, &listed, &self.sets, &self.options).await?;
        visit.lock().await?;
        let table = &self.sets.host.ledger;
        let sql = match settled {
            Settled::Applied => {
                format!("update {table} set success = true where version = $1 and not success")
            }
            Settled::Undone => format!("delete from {table} where version = $1 and not success"),
        };
        let changed = sqlx::query(AssertSqlSafe(sql))
            .bind(version)
            .execute(&mut visit.conn)
            .await;
        let changed = visit.told(STEP, changed)?.rows_affected();
        let database: &FleetDatabase = visit.database;
        let outcome = if changed == 0 {
            Err(Error::Fleet {
                database: database.to_string(),
                step: STEP,
                source: FleetError::NotHalfApplied { version },
            })
        } else {
            tracing::info!(%database, version, ?settled, "a migration that was half applied was settled");
            Ok(())
        };
        visit.end().await;
        outcome
    }
}
