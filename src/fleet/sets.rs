use sqlx::migrate::{Migration, Migrator};

use super::history::MigrationDirection;
use crate::directory::FleetOwner;
use crate::error::FleetError;
use crate::schema::{KERNEL_LEDGER, SchemaState, dedicated_kernel, fingerprint, fingerprint_of, pool_kernel};

/// The migrations that databases are brought to: the kernel's of both kinds, and the host's.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) pool: Set,
    pub(super) dedicated: Set,
    pub(super) host: Set,
}

#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// The table that says which are applied.
    pub(super) ledger: String,
    up: Vec<Migration>,
    down: Vec<Migration>,
    ignore_missing: bool,
    fingerprint: Vec<u8>,
}

/// A migration as a database notes it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) checksum: Vec<u8>,
    /// False from before a migration without a transaction begins until it ended.
    pub(super) success: bool,
    /// In microseconds since 1970.
    pub(super) at: i64,
    /// In nanoseconds; negative where nobody lived to say.
    pub(super) elapsed: i64,
}

/// Where all databases are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down { to: i64 },
}

impl Way {
    pub(super) const fn direction(self) -> MigrationDirection {
        match self {
            Self::Up => MigrationDirection::Up,
            Self::Down { .. } => MigrationDirection::Down,
        }
    }

    pub(super) const fn step(self) -> &'static str {
        match self {
            Self::Up => "migrating it",
            Self::Down { .. } => "rolling it back",
        }
    }
}

impl Sets {
    pub(super) fn new(host: &Migrator) -> Self {
        Self {
            pool: Set::new("kernel", KERNEL_LEDGER, &pool_kernel()),
            dedicated: Set::new("kernel", KERNEL_LEDGER, &dedicated_kernel()),
            host: Set::new("host", &host.table_name, host),
        }
    }

    pub(super) const fn kernel(&self, of: FleetOwner) -> &Set {
        match of {
            FleetOwner::Pool(_) => &self.pool,
            FleetOwner::Client(_) => &self.dedicated,
        }
    }

    /// Whether nothing is to be done, as far as is known: it need not be asked.
    pub(super) fn is_there(&self, way: Way, of: FleetOwner, known: &SchemaState) -> bool {
        match way {
            Way::Up => {
                known.host_checksum.as_ref() == Some(&self.host.fingerprint)
                    && known.kernel_checksum.as_ref() == Some(&self.kernel(of).fingerprint)
            }
            Way::Down { to } => {
                known.host_checksum.is_some() && known.host_version.is_none_or(|version| version <= to)
            }
        }
    }
}

impl Set {
    fn new(name: &'static str, ledger: &str, migrator: &Migrator) -> Self {
        let (down, up): (Vec<_>, Vec<_>) = migrator
            .iter()
            .cloned()
            .partition(|migration| migration.migration_type.is_down_migration());
        Self {
            name,
            ledger: ledger.to_owned(),
            up,
            down,
            ignore_missing: migrator.ignore_missing,
            fingerprint: fingerprint_of(migrator),
        }
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Option<i64> {
        self.up.iter().map(|migration| migration.version).max()
    }

    /// What keeps it from being rolled back to that version.
    pub(super) fn check_way_back(&self, to: i64) -> Result<(), FleetError> {
        let stuck = self.up.iter().rev().find(|migration| {
            migration.version > to && !self.down.iter().any(|down| down.version == migration.version)
        });
        match stuck {
            Some(migration) => Err(FleetError::NoWayBack {
                version: migration.version,
            }),
            None => Ok(()),
        }
    }

    /// What is to be done, in order, where those are applied.
    pub(super) fn pending(&self, way: Way, applied: &[Applied]) -> Result<Vec<&Migration>, FleetError> {
        if let Some(problem) = self.problems(applied).next() {
            return Err(problem);
        }
        let has = |version| applied.iter().any(|applied| applied.version == version);
        Ok(match way {
            Way::Up => self
                .up
                .iter()
                .filter(|migration| !has(migration.version))
                .collect(),
            Way::Down { to } => {
                let back = self.down.iter().rev();
                back.filter(|migration| migration.version > to && has(migration.version))
                    .collect()
            }
        })
    }

    /// Where the database's ledger and the migrations given do not fit.
    pub(super) fn problems<'a>(&'a self, applied: &'a [Applied]) -> impl Iterator<Item = FleetError> + 'a {
        let set = self.name;
        applied.iter().filter_map(move |applied| {
            let version = applied.version;
            if !applied.success {
                return Some(FleetError::HalfApplied {
                    version,
                    source: None,
                });
            }
            match self.up.iter().find(|migration| migration.version == version) {
                None if self.ignore_missing => None,
                None => Some(FleetError::Unknown { set, version }),
                Some(migration) if *migration.checksum != *applied.checksum => {
                    Some(FleetError::Changed { set, version })
                }
                Some(_) => None,
            }
        })
    }
}

/// That of what is applied; `None` where something is half applied.
pub(super) fn checksum_of(applied: &[Applied]) -> Option<Vec<u8>> {
    let whole = applied.iter().all(|applied| applied.success);
    whole.then(|| {
        fingerprint(
            applied
                .iter()
                .map(|applied| (applied.version, applied.checksum.as_slice())),
        )
    })
}
