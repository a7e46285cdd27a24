#![expect(
    clippy::disallowed_methods,
    reason = "builds and drops indexes while their tables are written to"
)]

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::target::{Leaf, Target};
use super::{Promoted, VectorIndex, failed};
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::schema::vectors::{Metric, OwnIndex, OwnIndexes, VectorColumn};

/// Builds and drops the indexes of a database, one at a time.
///
/// Two builds at once would wait for each other's transactions. The lock is the session's: it ends with the
/// connection, and so with what a dropped future left the server doing.
#[derive(Debug)]
pub(super) struct Builder<'c> {
    admin: &'c mut PgConnection,
    client: ClientId,
}

/// `tenantry` and `vectors`, as two numbers that nobody else takes.
const LOCK: &str = "select pg_try_advisory_lock(1952804449, 1986356340)";

/// How long another build is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long each transaction in flight is waited for. Writers do not wait behind who waits so: the lock that is
/// asked for lets them pass, and only changes to the table itself do not.
const LIMITS: &str = "set lock_timeout = '10s'; set statement_timeout = 0";

/// How often one that was given up is begun anew.
const TURNS: u32 = 3;

impl<'c> Builder<'c> {
    pub(super) async fn begin(admin: &'c mut PgConnection, client: ClientId) -> Result<Self> {
        let failed = failed(client, "locking the indexes of its database");
        let began = Instant::now();
        sqlx::raw_sql(LIMITS)
            .execute(&mut *admin)
            .await
            .map_err(&failed)?;
        // Asked for again and again: a build waits for every transaction, one that waits for its lock included.
        let mut pause = Duration::from_millis(20);
        loop {
            let locked: bool = sqlx::query_scalar(LOCK)
                .fetch_one(&mut *admin)
                .await
                .map_err(&failed)?;
            if locked {
                return Ok(Self { admin, client });
            }
            let waited = began.elapsed();
            if waited >= PATIENCE {
                return Err(Error::Busy {
                    client,
                    what: "another index that is built in its database",
                    waited,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Builds the index, unless it is there.
    pub(super) async fn build(
        &mut self,
        target: &Target,
        leaf: &Leaf,
        index: &VectorIndex,
    ) -> Result<Promoted> {
        let name = target.column().index_name(self.client, index.metric);
        if let Some(there) = self.own(target.column(), index.metric).await? {
            if there.valid {
                return Ok(promoted(&there, false));
            }
            self.drop_index(&there, TURNS).await?;
        }
        let building = failed(self.client, "building its own index");
        let sql = self.statement(&name, target, leaf, index).await?;
        self.set_resources(index).await.map_err(&building)?;
        for turn in 1.. {
            let outcome = self.execute(&sql).await;
            let Err(error) = outcome else { break };
            // What a build that was given up leaves slows every write. Where it cannot be dropped either, the next
            // call does it.
            if let Ok(Some(there)) = self.own(target.column(), index.metric).await
                && !there.valid
            {
                let _ = self.drop_index(&there, 1).await;
            }
            if turn == TURNS || !gave_way(&error) {
                return Err(building(error));
            }
        }
        // Counts the rows for who decides by them, and tells the planner of the table as it is.
        let analyze = self
            .composed("select format('analyze %s', $1::oid::regclass)", |query| {
                query.bind(leaf.relation)
            })
            .await?;
        self.execute(&analyze).await.map_err(&building)?;
        let built = self
            .own(target.column(), index.metric)
            .await?
            .filter(|built| built.valid);
        built
            .map(|built| promoted(&built, true))
            .ok_or_else(|| building(sqlx::Error::RowNotFound))
    }

    /// Drops the client's indexes on the column, whatever they are for. Says whether there were any.
    pub(super) async fn drop_all(&mut self, column: VectorColumn<'_>) -> Result<bool> {
        let mut any = false;
        for metric in Metric::ALL {
            if let Some(there) = self.own(column, metric).await? {
                self.drop_index(&there, TURNS).await?;
                any = true;
            }
        }
        Ok(any)
    }

    async fn own(&mut self, column: VectorColumn<'_>, metric: Metric) -> Result<Option<OwnIndex>> {
        let indexes = OwnIndexes::load(self.admin)
            .await
            .map_err(failed(self.client, "reading its own indexes"))?;
        Ok(indexes.find(column, self.client, metric).cloned())
    }

    async fn drop_index(&mut self, index: &OwnIndex, turns: u32) -> Result<()> {
        let sql = format!("drop index concurrently if exists {}", index.sql);
        for turn in 1.. {
            match self.execute(&sql).await {
                Err(error) if turn < turns && gave_way(&error) => {}
                outcome => return outcome.map_err(failed(self.client, "dropping its own index")),
            }
        }
        Ok(())
    }

    /// The statement that builds it. Every name is the catalogue's.
    async fn statement(
        &mut self,
        name: &str,
        target: &Target,
        leaf: &Leaf,
        index: &VectorIndex,
    ) -> Result<String> {
        let client = leaf.of_client.then_some(self.client);
        self.composed(CREATE, |query| {
            query
                .bind(name)
                .bind(index.metric.half_class())
                .bind(i32::from(index.m))
                .bind(i32::from(index.ef_construction))
                .bind(client)
                .bind(leaf.relation)
                .bind(&target.column)
        })
        .await
    }

    async fn set_resources(&mut self, index: &VectorIndex) -> sqlx::Result<()> {
        if let Some(mebibytes) = index.maintenance_memory_mb {
            self.execute(&format!("set maintenance_work_mem = '{mebibytes}MB'"))
                .await?;
        }
        if let Some(workers) = index.parallel_workers {
            self.execute(&format!("set max_parallel_maintenance_workers = {workers}"))
                .await?;
        }
        Ok(())
    }

    async fn composed<'q, F>(&mut self, sql: &'static str, bind: F) -> Result<String>
    where
        F: FnOnce(Composing<'q>) -> Composing<'q> + Send,
    {
        bind(sqlx::query_scalar(sql))
            .fetch_one(&mut *self.admin)
            .await
            .map_err(failed(
                self.client,
                "composing a statement of the catalogue's names",
            ))
    }

    /// Alone in its message: in a transaction, also one that several statements make, none of these runs.
    async fn execute(&mut self, sql: &str) -> sqlx::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *self.admin)
            .await
            .map(drop)
    }
}

type Composing<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, String, sqlx::postgres::PgArguments>;

fn promoted(index: &OwnIndex, built: bool) -> Promoted {
    Promoted {
        index: index.name.clone(),
        rows: u64::try_from(index.rows).unwrap_or_default(),
        built,
    }
}

/// Whether it waited too long for others, or each for the other.
fn gave_way(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}

/// The types of the column's extension are where that of the column is.
const CREATE: &str = "
select format(
           'create index concurrently %I on %I.%I using hnsw ((%I::%I.halfvec(%s)) %I.%I) with (m = %s, ef_construction = %s)',
           $1::text, n.nspname, c.relname, a.attname, tn.nspname, a.atttypmod, tn.nspname, $2::text, $3::int4, $4::int4)
       || case when $5::uuid is not null then format(' where client_id = %L', $5::uuid) else '' end
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attname = $7::text
join pg_type t on t.oid = a.atttypid
join pg_namespace tn on tn.oid = t.typnamespace
where c.oid = $6::oid";
