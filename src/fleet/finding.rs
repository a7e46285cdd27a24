use std::fmt;

use futures_util::stream;
use futures_util::{FutureExt, StreamExt};

use super::database::{FleetDatabase, Listed};
use super::fleet::Fleet;
use super::ledger;
use super::report::Deferral;
use super::sets::Way;
use super::visit::Visit;
use crate::error::{Error, FleetError, Result};

/// Something that is not as it should be with a database of the fleet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FleetFinding {
    /// Which.
    pub database: FleetDatabase,
    /// What.
    pub drift: FleetDrift,
}

/// How a database differs from what it should be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FleetDrift {
    /// A migration was changed after it was applied, is not known here, or is half applied.
    Migration(FleetError),
    /// Migrations are not applied.
    Behind {
        /// Which set: `kernel` or `host`.
        set: &'static str,
        /// Their versions.
        versions: Vec<i64>,
    },
    /// A migration is not applied that is older than one that is.
    OutOfOrder {
        /// Its version.
        version: i64,
        /// The newest that is applied.
        newest: i64,
    },
    /// The database says another version of itself than its ledger of migrations does.
    Version {
        /// What it says.
        says: Option<i64>,
        /// What it has.
        has: Option<i64>,
    },
    /// The platform knows another set of migrations than the database has: it was migrated past the fleet.
    Unnoted,
    /// The tables are not those that the last migration left: they were changed by hand.
    Shape,
    /// It was not compared.
    NotCompared(Deferral),
    /// It could not be asked.
    NotAsked(Error),
}

/// Every database is asked, so many at once.
pub(super) async fn all(fleet: &Fleet) -> Result<Vec<FleetFinding>> {
    let listed = ledger::list(&fleet.platform).await?;
    let asked = stream::iter(
        listed
            .into_iter()
            .map(|listed| look(fleet.clone(), listed).boxed()),
    );
    let found: Vec<Vec<FleetFinding>> = asked.buffered(fleet.options.at_once).collect().await;
    Ok(found.into_iter().flatten().collect())
}

async fn look(fleet: Fleet, listed: Listed) -> Vec<FleetFinding> {
    let drifts = match drifts(&fleet, &listed).await {
        Ok(drifts) => drifts,
        Err(error) => vec![FleetDrift::NotAsked(error)],
    };
    let finding = |drift| FleetFinding {
        database: listed.database.clone(),
        drift,
    };
    drifts.into_iter().map(finding).collect()
}

async fn drifts(fleet: &Fleet, listed: &Listed) -> Result<Vec<FleetDrift>> {
    let mut visit = Visit::begin(&fleet.platform, listed, &fleet.sets, &fleet.options).await?;
    let Some(survey) = visit.survey().await? else {
        return Ok(vec![FleetDrift::NotCompared(Deferral::NotInstalled)]);
    };
    let shape = visit.state_of(&survey).await?.shape;
    visit.end().await;
    let mut drifts = Vec::new();
    let sets = [
        (fleet.sets.kernel(listed.database.of), &survey.found.kernel),
        (&fleet.sets.host, &survey.found.host),
    ];
    for (set, applied) in sets {
        drifts.extend(set.problems(applied).map(FleetDrift::Migration));
        let sound: Vec<_> = applied
            .iter()
            .filter(|applied| set.problems(std::slice::from_ref(applied)).next().is_none())
            .cloned()
            .collect();
        let newest = applied.last().map_or(i64::MIN, |applied| applied.version);
        let missing = set.pending(Way::Up, &sound).unwrap_or_default();
        let missing = missing.iter().map(|migration| migration.version);
        let missing: Vec<_> = missing
            .filter(|version| applied.iter().all(|applied| applied.version != *version))
            .collect();
        let older = missing.iter().filter(|version| **version < newest);
        drifts.extend(older.map(|version| FleetDrift::OutOfOrder {
            version: *version,
            newest,
        }));
        let behind: Vec<_> = missing
            .iter()
            .copied()
            .filter(|version| *version > newest)
            .collect();
        if !behind.is_empty() {
            drifts.push(FleetDrift::Behind {
                set: set.name,
                versions: behind,
            });
        }
    }
    let has = survey.found.host.last().map(|applied| applied.version);
    if survey.says != has {
        drifts.push(FleetDrift::Version {
            says: survey.says,
            has,
        });
    }
    let state = survey.state();
    if let Some(known) = &listed.known {
        let known_of = (&known.host_checksum, &known.kernel_checksum);
        if known.host_checksum.is_some() && known_of != (&state.host_checksum, &state.kernel_checksum) {
            drifts.push(FleetDrift::Unnoted);
        }
        match listed.relocating {
            // Keys and triggers come and go with it.
            Some(client) => drifts.push(FleetDrift::NotCompared(Deferral::Relocating { client })),
            None if known.shape.is_some() && known.shape != shape => drifts.push(FleetDrift::Shape),
            None => {}
        }
    }
    Ok(drifts)
}

impl fmt::Display for FleetDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |versions: &[i64]| {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            versions.join(", ")
        };
        let version =
            |version: &Option<i64>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        match self {
            Self::Migration(error) => error.fmt(f),
            Self::Behind { set, versions } => {
                write!(f, "the {set} migrations {} are not applied", listed(versions))
            }
            Self::OutOfOrder { version, newest } => {
                write!(f, "migration {version} is not applied, and {newest} is")
            }
            Self::Version { says, has } => {
                write!(
                    f,
                    "it says that it is at version {} and is at {}",
                    version(says),
                    version(has)
                )
            }
            Self::Unnoted => f.write_str("it was migrated past the fleet"),
            Self::Shape => f.write_str("its tables are not those that its last migration left"),
            Self::NotCompared(why) => write!(f, "it was not compared: {why}"),
            Self::NotAsked(error) => write!(f, "it could not be asked: {}", super::failure::in_full(error)),
        }
    }
}

impl fmt::Display for FleetFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.database, self.drift)
    }
}
