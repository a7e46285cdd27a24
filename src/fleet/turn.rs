//! A database's turn in a run.
#![expect(clippy::disallowed_methods, reason = "keeps what databases say of themselves")]

use std::sync::Arc;
use std::time::Instant;

use futures_core::future::BoxFuture;
use sqlx::migrate::{Migrate, Migration};

use super::database::{FleetDatabase, Listed};
use super::event::FleetEvent;
use super::failure::in_full;
use super::history::MigrationDirection;
use super::ledger::{self, Done, Found, Noted};
use super::report::Deferral;
use super::run::Run;
use super::sets::{Set, Way};
use super::visit::{Survey, Visit};
use crate::directory::FleetOwner;
use crate::error::{Error, FleetError, Result};
use crate::schema::SchemaState;

/// What became of a database.
pub(super) enum Outcome {
    /// After so many migrations.
    Done(usize),
    Deferred(Deferral),
    Failed(Error),
}

/// What is known at the end of a visit, however it ended.
#[derive(Default)]
struct Visited {
    found: Option<Found>,
    /// `None` where it could not be asked.
    state: Option<SchemaState>,
    done: Vec<Done>,
    /// Whether anything may have been changed.
    begun: bool,
}

impl Run {
    pub(super) fn boxed(
        self: Arc<Self>,
        listed: Listed,
    ) -> BoxFuture<'static, Result<(FleetDatabase, Outcome)>> {
        Box::pin(async move { self.database(listed).await })
    }

    /// An error is the platform's: one of the database is an outcome.
    async fn database(&self, listed: Listed) -> Result<(FleetDatabase, Outcome)> {
        let database = listed.database.clone();
        // As it is now: the run may have begun long ago.
        let relocating = ledger::relocating(&self.fleet.platform, database.of).await?;
        if let Some(client) = relocating {
            return Ok((
                database.clone(),
                self.deferred(&database, Deferral::Relocating { client }).await,
            ));
        }
        self.tell(FleetEvent::DatabaseBegan {
            database: database.clone(),
        })
        .await;
        let mut visited = Visited::default();
        let outcome = match Visit::begin(
            &self.fleet.platform,
            &listed,
            &self.fleet.sets,
            &self.fleet.options,
        )
        .await
        {
            Ok(mut visit) => {
                let outcome = self.visit(&mut visit, &mut visited).await;
                let survey = match &outcome {
                    Ok(Some((_, survey))) => Some(survey.clone()),
                    // It got less far than it was to; what it has, it may say.
                    Err(_) if visited.begun => match visit.survey().await {
                        Ok(Some(survey)) => {
                            Some(self.settle(&mut visit, survey.clone()).await.unwrap_or(survey))
                        }
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(survey) = &survey {
                    visited.state = visit.state_of(survey).await.ok();
                }
                visit.end().await;
                outcome
            }
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(None) => {
                return Ok((
                    database.clone(),
                    self.deferred(&database, Deferral::NotInstalled).await,
                ));
            }
            Ok(Some((migrations, _))) => Ok(migrations),
            Err(Error::Platform { step, source }) => return Err(Error::Platform { step, source }),
            Err(error) => Err(error),
        };
        self.note(&listed, &visited, outcome.as_ref().err()).await?;
        Ok(match outcome {
            Ok(migrations) => {
                self.tell(FleetEvent::DatabaseDone {
                    database: database.clone(),
                    migrations,
                })
                .await;
                (database, Outcome::Done(migrations))
            }
            Err(error) => {
                tracing::warn!(%database, %error, "a database of the fleet failed");
                self.tell(FleetEvent::DatabaseFailed {
                    database: database.clone(),
                    error: error.clone(),
                })
                .await;
                (database, Outcome::Failed(error))
            }
        })
    }

    async fn deferred(&self, database: &FleetDatabase, why: Deferral) -> Outcome {
        tracing::info!(%database, %why, "a database of the fleet has to wait");
        self.tell(FleetEvent::DatabaseDeferred {
            database: database.clone(),
            why,
        })
        .await;
        Outcome::Deferred(why)
    }

    async fn note(&self, listed: &Listed, visited: &Visited, failure: Option<&Error>) -> Result<()> {
        let failure = failure.map(in_full);
        // Where it could not be asked, what was known of it holds, unless it was touched.
        let state = match &visited.state {
            Some(state) => state.clone(),
            None if visited.begun => SchemaState {
                host_version: listed.known.as_ref().and_then(|known| known.host_version),
                ..SchemaState::default()
            },
            None => listed.known.clone().unwrap_or_default(),
        };
        let noted = Noted {
            state: &state,
            found: visited.found.as_ref(),
            done: &visited.done,
            failure: failure.as_deref(),
        };
        let direction = self.way.direction();
        ledger::end_database(&self.fleet.platform, self.id, direction, &listed.database, noted).await
    }

    /// How many migrations it took, and what it says then; `None` where it has no kernel.
    async fn visit(&self, visit: &mut Visit<'_>, visited: &mut Visited) -> Result<Option<(usize, Survey)>> {
        visit.lock().await?;
        let Some(survey) = visit.survey().await? else {
            return Ok(None);
        };
        visited.found = Some(survey.found.clone());
        let failed = |source| Error::Fleet {
            database: visit.database.to_string(),
            step: self.way.step(),
            source,
        };
        let sets = &self.fleet.sets;
        let kernel = sets.kernel(visit.database.of);
        // A roll back leaves the kernel as it is.
        let kernels = match self.way {
            Way::Up => kernel.pending(self.way, &survey.found.kernel).map_err(failed)?,
            Way::Down { .. } => Vec::new(),
        };
        let hosts = sets.host.pending(self.way, &survey.found.host).map_err(failed)?;
        if kernels.is_empty() && hosts.is_empty() {
            return Ok(Some((0, self.settle(visit, survey).await?)));
        }
        visited.begun = true;
        ledger::begin_database(&self.fleet.platform, visit.database.of, survey.says).await?;
        if let Way::Down { to } = self.way {
            self.lower(visit, &survey, to).await?;
        }
        for migration in &kernels {
            self.step(visit, kernel, migration, MigrationDirection::Up, visited)
                .await?;
        }
        if !kernels.is_empty()
            && let Some(app_role) = &survey.app_role
        {
            configure(visit, app_role).await?;
        }
        if !hosts.is_empty() {
            let ledger = &sets.host.ledger;
            let made = visit.conn.ensure_migrations_table(ledger).await;
            made.map_err(|source| Error::Migration {
                database: visit.database.to_string(),
                set: "host",
                source: source.into(),
            })?;
        }
        let direction = self.way.direction();
        for migration in &hosts {
            self.step(visit, &sets.host, migration, direction, visited)
                .await?;
        }
        let survey = visit.survey().await?.unwrap_or(survey);
        let survey = self.settle(visit, survey).await?;
        Ok(Some((kernels.len() + hosts.len(), survey)))
    }

    async fn step(
        &self,
        visit: &mut Visit<'_>,
        set: &Set,
        migration: &Migration,
        direction: MigrationDirection,
        visited: &mut Visited,
    ) -> Result<()> {
        let (database, version) = (visit.database, migration.version);
        let began = Instant::now();
        let outcome = visit.step(set, migration, direction, &self.tell).await;
        let failed = |source: FleetError| Error::Fleet {
            database: database.to_string(),
            step: self.way.step(),
            source,
        };
        let outcome = outcome.map_err(failed);
        visited.done.push(Done {
            set: set.name,
            version,
            checksum: migration.checksum.to_vec(),
            elapsed: outcome
                .as_ref()
                .map_or_else(|_| began.elapsed(), |elapsed| *elapsed),
            failure: outcome.as_ref().err().map(in_full),
        });
        let elapsed = outcome?;
        tracing::info!(%database, set = set.name, version, %direction, ?elapsed, "a database of the fleet was migrated");
        self.tell(FleetEvent::Migrated {
            database: database.clone(),
            set: set.name,
            version,
            direction,
            elapsed,
        })
        .await;
        Ok(())
    }

    /// Has the database say that it is older before it is: who needs more must not meet it half way.
    async fn lower(&self, visit: &mut Visit<'_>, survey: &Survey, to: i64) -> Result<()> {
        let versions = survey.found.host.iter().map(|applied| applied.version);
        let lowest = versions.filter(|version| *version <= to).max();
        let lowered = sqlx::query("update tenantry.installation set host_version = $1, host_checksum = null")
            .bind(lowest)
            .execute(&mut visit.conn)
            .await;
        visit.told("lowering its version", lowered)?;
        ledger::begin_database(&self.fleet.platform, visit.database.of, lowest).await
    }

    /// Has the database say what it has.
    async fn settle(&self, visit: &mut Visit<'_>, mut survey: Survey) -> Result<Survey> {
        let state = survey.state();
        let newest = survey.found.host.last().map(|applied| applied.version);
        let said = sqlx::query(
            "update tenantry.installation set host_version = $1, host_checksum = $2
             where (host_version, host_checksum) is distinct from ($1, $2)",
        )
        .bind(newest)
        .bind(&state.host_checksum)
        .execute(&mut visit.conn)
        .await;
        visit.told("raising its version", said)?;
        survey.says = newest;
        Ok(survey)
    }
}

/// Grants the app role what a newer kernel has for it.
async fn configure(visit: &mut Visit<'_>, app_role: &str) -> Result<()> {
    let query = match visit.database.of {
        FleetOwner::Pool(_) => sqlx::query("select tenantry.configure($1)").bind(app_role),
        FleetOwner::Client(client) => sqlx::query("select tenantry.configure($1, $2)")
            .bind(app_role)
            .bind(client),
    };
    let configured = query.execute(&mut visit.conn).await;
    visit.told("configuring its kernel", configured).map(drop)
}
