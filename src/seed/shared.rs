#![expect(
    clippy::disallowed_methods,
    reason = "begins and ends the transactions that write what all clients read"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::batch::Batch;
use super::bound::{Belonging, Binder};
use super::conn::{Conn, Failed};
use super::report::Outcome;
use super::seeding::{Found, Mode, Run, SharedRows};
use super::work::Work;
use crate::client::{ClientId, Placement, PoolId};
use crate::directory::failed;
use crate::error::{Error, Result, SeedError};
use crate::schema::Catalogue;

/// A database that shared rows go into.
#[derive(Debug)]
pub(super) struct SharedIn {
    which: Which,
    /// What it is called.
    within: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Pool(PoolId),
    Of(ClientId),
}

impl Run<'_> {
    /// The databases that shared rows go into.
    pub(super) async fn databases(&self, found: &[Found<'_>]) -> Result<Vec<SharedIn>> {
        if self.plan.shared.iter().all(|rows| rows.rows.is_empty()) {
            return Ok(Vec::new());
        }
        let pools: Vec<(PoolId, String)> =
            sqlx::query_as("select id, name from platform.pools order by name")
                .fetch_all(&self.seed.platform.db)
                .await
                .map_err(failed("listing pools"))?;
        let pools = pools
            .into_iter()
            .map(|(id, name)| (Which::Pool(id), format!("pool {name}")));
        let mut databases: BTreeMap<Which, String> = pools.collect();
        let dedicated = |slug: &str| format!("database of {slug}");
        match self.seed.shared_rows {
            SharedRows::OfFleet => {
                let clients: Vec<(ClientId, String)> = sqlx::query_as(
                    "select id, slug from platform.clients
                     where hosting = 'dedicated' and status = 'active' and deleted_at is null",
                )
                .fetch_all(&self.seed.platform.db)
                .await
                .map_err(failed("listing clients"))?;
                databases.extend(
                    clients
                        .into_iter()
                        .map(|(id, slug)| (Which::Of(id), dedicated(&slug))),
                );
            }
            SharedRows::OfClients => {
                if found.is_empty() {
                    return Err(Error::Seed {
                        of: "the shared rows".to_owned(),
                        step: "finding their databases",
                        source: Box::new(SeedError::NoDatabase),
                    });
                }
                let mut named = BTreeMap::new();
                for record in found.iter().filter_map(|(_, record)| record.as_ref()) {
                    let (which, within) = match record.placement {
                        Placement::Dedicated => (Which::Of(record.id), dedicated(record.slug.as_str())),
                        Placement::Pool(id) => {
                            let which = Which::Pool(id);
                            (
                                which,
                                databases.remove(&which).unwrap_or_else(|| format!("pool {id}")),
                            )
                        }
                    };
                    named.entry(which).or_insert(within);
                }
                databases = named;
            }
        }
        let databases = databases
            .into_iter()
            .map(|(which, within)| SharedIn { which, within });
        Ok(databases.collect())
    }

    /// The shared rows of one database.
    pub(super) async fn shared(&self, database: &SharedIn) -> Result<Vec<Outcome>> {
        let at = match database.which {
            Which::Pool(id) => format!("pool {id}"),
            Which::Of(id) => format!("database of {id}"),
        };
        let lease = self.alone(&at, &database.within).await?;
        let mut conn = match database.which {
            Which::Pool(id) => self.seed.platform.pool_admin(id).await?,
            Which::Of(id) => self.seed.platform.dedicated_admin(id).await?,
        };
        let outcome = self.shared_by(&mut conn, database).await;
        let _ = conn.close().await;
        if let Some(lease) = lease {
            lease.end().await;
        }
        outcome
    }

    async fn shared_by(&self, conn: &mut PgConnection, database: &SharedIn) -> Result<Vec<Outcome>> {
        let fail = |step, source| Error::Seed {
            of: database.within.clone(),
            step,
            source: Box::new(source),
        };
        let lost = |step| {
            let within = database.within.clone();
            move |source: sqlx::Error| Error::Unreachable {
                database: within,
                step,
                source: source.into(),
            }
        };
        let wait = self
            .seed
            .wait
            .as_millis()
            .min(i32::MAX.unsigned_abs().into())
            .to_string();
        sqlx::query("select set_config('lock_timeout', $1, false)")
            .bind(wait)
            .execute(&mut *conn)
            .await
            .map_err(lost("bounding the wait for locks"))?;
        let catalogue = Catalogue::load(conn)
            .await
            .map_err(lost("reading the catalogue"))?;
        let belonging = match database.which {
            Which::Pool(_) => Belonging::Shared,
            Which::Of(_) => Belonging::SharedAlone,
        };
        let described = [self.plan.shared.as_slice()];
        let tables = Binder::new(&catalogue, belonging, &self.seed.forms, &described).bind(&self.plan.shared);
        let tables = tables.map_err(|source| fail("holding its rows against its tables", source))?;
        let work = Work {
            client: None,
            within: &database.within,
            forms: &self.seed.forms,
            secrets: &self.secrets,
            most_findings: self.seed.findings,
            seen: Mutex::default(),
        };
        let batches = Batch::all(&tables, self.seed.batch_rows);
        let begin = match self.mode {
            Mode::Apply => "begin isolation level read committed, read write",
            Mode::Look => "begin isolation level repeatable read, read only",
        };
        conn.execute(sqlx::raw_sql(begin))
            .await
            .map_err(lost("beginning"))?;
        let done = self.all(&mut Conn::Admin(conn), &work, &batches, &tables).await;
        let end = if done.is_ok() { "commit" } else { "rollback" };
        let ended = conn.execute(sqlx::raw_sql(end)).await;
        let (suspects, source) = match done {
            Ok(outcomes) => {
                ended.map_err(|source| {
                    let table = "all tables".to_owned();
                    fail(
                        "committing",
                        SeedError::Statement {
                            table,
                            source: source.into(),
                        },
                    )
                })?;
                return Ok(outcomes);
            }
            Err(Failed::Other(error)) => return Err(error),
            Err(Failed::Seed(source)) => return Err(fail(self.step(), source)),
            Err(Failed::Values(suspects, source)) => (suspects, source),
        };
        let conn = tokio::sync::Mutex::new(conn);
        let found = suspects.found(source, |sql, values| {
            let conn = &conn;
            async move {
                Conn::Admin(&mut **conn.lock().await)
                    .ask(sql, values, None)
                    .await
                    .is_ok()
            }
        });
        Err(fail(self.step(), found.await))
    }
}
