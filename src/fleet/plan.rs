use std::fmt;

use futures_util::stream;
use futures_util::{FutureExt, StreamExt};

use super::database::{FleetDatabase, Listed};
use super::fleet::Fleet;
use super::ledger;
use super::report::{Deferral, DeferredDatabase, FailedDatabase};
use super::ring;
use super::run::pending;
use super::sets::Way;
use super::visit::Visit;
use crate::error::{Error, Result};

/// What a run would do, ring by ring. Its text says it line by line.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FleetPlan {
    /// The rings by name, each with the databases that there is something to do in.
    pub rings: Vec<(String, Vec<PlannedDatabase>)>,
    /// How many databases are there already.
    pub current: usize,
    /// Those that have to wait.
    pub deferred: Vec<DeferredDatabase>,
    /// Those that would fail before anything is done.
    pub failing: Vec<FailedDatabase>,
}

/// A database that there is something to do in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedDatabase {
    /// Which.
    pub database: FleetDatabase,
    /// The newest of the host's migrations that it has.
    pub from: Option<i64>,
    /// What would be done, in order.
    pub migrations: Vec<PlannedMigration>,
}

/// A migration that would be applied or rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedMigration {
    /// Which set: `kernel` or `host`.
    pub set: &'static str,
    /// Its version.
    pub version: i64,
    /// What its file says it is.
    pub description: String,
}

enum Looked {
    Planned(PlannedDatabase),
    Current,
    Deferred(Deferral),
}

impl FleetPlan {
    /// Whether nothing would be done, and nothing has to wait.
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(|(_, databases)| databases.is_empty())
            && self.deferred.is_empty()
            && self.failing.is_empty()
    }

    pub(super) async fn of(fleet: &Fleet, way: Way) -> Result<Self> {
        let mut plan = Self::default();
        for (name, members) in ring::divide(&fleet.options.rings, ledger::list(&fleet.platform).await?)? {
            let members_count = members.len();
            let pending = pending(fleet, way, members);
            plan.current += members_count - pending.len();
            let looks = stream::iter(
                pending
                    .into_iter()
                    .map(|listed| look(fleet.clone(), way, listed).boxed()),
            );
            let looked: Vec<_> = looks.buffered(fleet.options.at_once).collect().await;
            let mut planned = Vec::new();
            for (database, looked) in looked {
                match looked {
                    Ok(Looked::Planned(database)) => planned.push(database),
                    Ok(Looked::Current) => plan.current += 1,
                    Ok(Looked::Deferred(why)) => plan.deferred.push(DeferredDatabase { database, why }),
                    Err(error) => plan.failing.push(FailedDatabase { database, error }),
                }
            }
            plan.rings.push((name, planned));
        }
        Ok(plan)
    }
}

/// What a run would find.
async fn look(fleet: Fleet, way: Way, listed: Listed) -> (FleetDatabase, Result<Looked>) {
    let looked = async {
        if let Some(client) = listed.relocating {
            return Ok(Looked::Deferred(Deferral::Relocating { client }));
        }
        let mut visit = Visit::begin(&fleet.platform, &listed, &fleet.sets, &fleet.options).await?;
        let survey = visit.survey().await;
        visit.end().await;
        let Some(survey) = survey? else {
            return Ok(Looked::Deferred(Deferral::NotInstalled));
        };
        let failed = |source| Error::Fleet {
            database: listed.database.to_string(),
            step: way.step(),
            source,
        };
        let mut migrations = Vec::new();
        let kernel = fleet.sets.kernel(listed.database.of);
        let sets = [
            (kernel, &survey.found.kernel),
            (&fleet.sets.host, &survey.found.host),
        ];
        for (set, applied) in sets {
            if way != Way::Up && set.name == kernel.name {
                continue;
            }
            let pending = set.pending(way, applied).map_err(failed)?;
            migrations.extend(pending.into_iter().map(|migration| PlannedMigration {
                set: set.name,
                version: migration.version,
                description: migration.description.to_string(),
            }));
        }
        if migrations.is_empty() {
            return Ok(Looked::Current);
        }
        Ok(Looked::Planned(PlannedDatabase {
            database: listed.database.clone(),
            from: survey.found.host.last().map(|applied| applied.version),
            migrations,
        }))
    }
    .await;
    (listed.database, looked)
}

impl fmt::Display for FleetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ring, databases) in &self.rings {
            if databases.is_empty() {
                continue;
            }
            writeln!(f, "{ring}:")?;
            for planned in databases {
                write!(f, "  {}", planned.database)?;
                if let Some(from) = planned.from {
                    write!(f, " (at {from})")?;
                }
                f.write_str(":")?;
                for migration in &planned.migrations {
                    write!(
                        f,
                        " {} {} {};",
                        migration.set, migration.version, migration.description
                    )?;
                }
                writeln!(f)?;
            }
        }
        for deferred in &self.deferred {
            writeln!(f, "waits: {}: {}", deferred.database, deferred.why)?;
        }
        for failing in &self.failing {
            writeln!(f, "fails: {}", super::failure::in_full(&failing.error))?;
        }
        write!(f, "{} there already", self.current)
    }
}
