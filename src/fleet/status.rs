use super::database::FleetDatabase;
use super::fleet::Fleet;
use super::ledger;
use super::sets::Way;
use crate::error::Result;

/// How the fleet stands, as the platform knows it. No data database is asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FleetStatus {
    /// The newest of the host's migrations.
    pub newest: Option<i64>,
    /// Every database: pools first, by name.
    pub databases: Vec<DatabaseStatus>,
}

/// How a database of the fleet stands, as the platform knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseStatus {
    /// Which.
    pub database: FleetDatabase,
    /// The newest of the host's migrations that it is known to have.
    pub host_version: Option<i64>,
    /// The newest of the kernel's.
    pub kernel_version: Option<i64>,
    /// Whether it is known to have all of both.
    pub is_current: bool,
    /// Why it failed the last time, if it did.
    pub failure: Option<String>,
}

impl FleetStatus {
    /// How many databases are not known to be current.
    pub fn behind(&self) -> usize {
        self.databases
            .iter()
            .filter(|database| !database.is_current)
            .count()
    }

    pub(super) async fn of(fleet: &Fleet) -> Result<Self> {
        let listed = ledger::list(&fleet.platform).await?;
        let databases = listed.into_iter().map(|listed| {
            let known = listed.known.as_ref();
            DatabaseStatus {
                host_version: known.and_then(|known| known.host_version),
                kernel_version: known.and_then(|known| known.kernel_version),
                is_current: known
                    .is_some_and(|known| fleet.sets.is_there(Way::Up, listed.database.of, known)),
                failure: listed.failure,
                database: listed.database,
            }
        });
        Ok(Self {
            newest: fleet.sets.host.newest(),
            databases: databases.collect(),
        })
    }
}
