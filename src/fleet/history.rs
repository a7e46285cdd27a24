use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Whether a migration was applied or rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MigrationDirection {
    /// Applied.
    Up,
    /// Rolled back.
    Down,
}

/// What was done to a database of the fleet, by whom and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetEntry {
    /// When it ended; for what was found in the database, when the database says that it was applied.
    pub at: SystemTime,
    /// Who did it. `None` for what was found in the database: it was done by hand, by the set-up of a client, or by a
    /// run that did not live to say so.
    pub actor: Option<String>,
    /// The run that it was part of; `None` for what was found.
    pub run: Option<Uuid>,
    /// The database by its name: of the pool, or the slug of the client.
    pub database: String,
    /// Which set: `kernel` or `host`.
    pub set: String,
    /// The migration.
    pub version: i64,
    /// Which way.
    pub direction: MigrationDirection,
    /// Of the migration's text, as sqlx has it; `None` where it is not known.
    pub checksum: Option<Vec<u8>>,
    /// How long it took; `None` where it is not known.
    pub elapsed: Option<Duration>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct EntryRow {
    at: i64,
    actor: Option<String>,
    run_id: Option<Uuid>,
    database_name: String,
    migrations: String,
    version: i64,
    direction: String,
    checksum: Option<Vec<u8>>,
    elapsed_ms: Option<i64>,
    failure: Option<String>,
}

impl EntryRow {
    pub(super) fn into_entry(self) -> FleetEntry {
        FleetEntry {
            at: moment(self.at),
            actor: self.actor,
            run: self.run_id,
            database: self.database_name,
            set: self.migrations,
            version: self.version,
            direction: if self.direction == MigrationDirection::Down.as_str() {
                MigrationDirection::Down
            } else {
                MigrationDirection::Up
            },
            checksum: self.checksum,
            elapsed: self.elapsed_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
            failure: self.failure,
        }
    }
}

/// From microseconds since 1970.
pub(super) fn moment(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs())
}

impl MigrationDirection {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for MigrationDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
