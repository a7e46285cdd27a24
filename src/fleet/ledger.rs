//! What the platform database knows of the fleet.
#![expect(
    clippy::disallowed_methods,
    reason = "reads and writes the ledger of the fleet"
)]

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::database::{FleetDatabase, Listed};
use super::history::{EntryRow, FleetEntry, MigrationDirection};
use super::report::{FleetEnd, FleetReport};
use super::sets::{Applied, Way};
use crate::client::ClientId;
use crate::directory::{FleetOwner, PlatformDirectory, failed, write_schema};
use crate::error::Result;
use crate::schema::SchemaState;
use crate::secret::Sealed;

const NOTING: &str = "noting what was done to a database";

/// What became of one migration.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) set: &'static str,
    pub(super) version: i64,
    pub(super) checksum: Vec<u8>,
    pub(super) elapsed: Duration,
    pub(super) failure: Option<String>,
}

/// What a database's own ledgers said before it was touched, for what nobody lived to note.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) kernel: Vec<Applied>,
    pub(super) host: Vec<Applied>,
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    id: Uuid,
    name: String,
    admin_connection: Option<Sealed>,
    is_known: bool,
    host_version: Option<i64>,
    host_checksum: Option<Vec<u8>>,
    kernel_version: Option<i64>,
    kernel_checksum: Option<Vec<u8>>,
    shape: Option<String>,
    failure: Option<String>,
    relocating: Option<ClientId>,
}

/// The fleet: every pool, and every dedicated database of a client that is neither being set up nor deleted.
pub(super) async fn list(platform: &PlatformDirectory) -> Result<Vec<Listed>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select d.*, k.id is not null as is_known, k.host_version, decode(k.host_checksum, 'hex') as host_checksum, k.kernel_version,
                decode(k.kernel_checksum, 'hex') as kernel_checksum, k.shape, k.failure
         from (select 'pool' as kind, p.id, p.name, p.admin_connection,
                      (select r.client_id from platform.relocations r
                       where r.ended_at is null and p.id in (r.source_pool, r.target_pool) limit 1) as relocating
               from platform.pools p
               union all
               select 'dedicated', c.id, c.slug, c.admin_connection,
                      (select r.client_id from platform.relocations r
                       where r.ended_at is null and r.client_id = c.id limit 1)
               from platform.clients c
               where c.hosting = 'dedicated' and c.deleted_at is null and c.status <> 'provisioning'
                 and (c.app_connection is not null or c.admin_connection is not null)) d
         left join platform.known_schemas k on k.id = d.id
         order by d.kind desc, d.name",
    )
    .fetch_all(&platform.db)
    .await
    .map_err(failed("listing the fleet"))?;
    Ok(rows.into_iter().map(Row::into_listed).collect())
}

impl Row {
    fn into_listed(self) -> Listed {
        let of = if self.kind == "pool" {
            FleetOwner::Pool(self.id.into())
        } else {
            FleetOwner::Client(self.id.into())
        };
        Listed {
            database: FleetDatabase { of, name: self.name },
            admin: self.admin_connection,
            known: self.is_known.then_some(SchemaState {
                host_version: self.host_version,
                host_checksum: self.host_checksum,
                kernel_version: self.kernel_version,
                kernel_checksum: self.kernel_checksum,
                shape: self.shape,
            }),
            failure: self.failure,
            relocating: self.relocating,
        }
    }
}

/// Notes that a run begins. Those before it that did not end never will.
pub(super) async fn begin(
    platform: &PlatformDirectory,
    way: Way,
    target: Option<i64>,
    pending: usize,
) -> Result<Uuid> {
    const STEP: &str = "noting that a run begins";
    let mut writing = platform.write(STEP).await?;
    let run = sqlx::query_scalar(
        "with cut_off as (
             update platform.fleet_runs set ended_at = now(), outcome = 'interrupted' where ended_at is null)
         insert into platform.fleet_runs (direction, target, databases) values ($1, $2, $3) returning id",
    )
    .bind(way.direction().as_str())
    .bind(target)
    .bind(i32::try_from(pending).unwrap_or(i32::MAX))
    .fetch_one(writing.conn()?)
    .await
    .map_err(failed(STEP))?;
    writing.commit().await?;
    Ok(run)
}

pub(super) async fn end(
    platform: &PlatformDirectory,
    run: Uuid,
    end: &FleetEnd,
    report: &FleetReport,
) -> Result<()> {
    const STEP: &str = "noting that a run ended";
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let mut writing = platform.write(STEP).await?;
    sqlx::query(
        "update platform.fleet_runs set ended_at = now(), outcome = $2, migrated = $3, failed = $4 where id = $1",
    )
    .bind(run)
    .bind(end.as_str())
    .bind(count(report.done.len()))
    .bind(count(report.failed.len()))
    .execute(writing.conn()?)
    .await
    .map_err(failed(STEP))?;
    writing.commit().await
}

/// A client that is being relocated from or to the database.
pub(super) async fn relocating(platform: &PlatformDirectory, of: FleetOwner) -> Result<Option<ClientId>> {
    sqlx::query_scalar(
        "select client_id from platform.relocations
         where ended_at is null and $1 in (source_pool, target_pool, client_id) limit 1",
    )
    .bind(of.as_uuid())
    .fetch_optional(&platform.db)
    .await
    .map_err(failed("looking for relocations"))
}

/// Notes that it is not known any more what a database has, but for the version that it says it has.
pub(super) async fn begin_database(
    platform: &PlatformDirectory,
    of: FleetOwner,
    host_version: Option<i64>,
) -> Result<()> {
    const STEP: &str = "noting that a database begins";
    let mut writing = platform.write(STEP).await?;
    let unknown = SchemaState {
        host_version,
        ..SchemaState::default()
    };
    write_schema(writing.conn()?, of, &unknown, None)
        .await
        .map_err(failed(STEP))?;
    writing.commit().await
}

/// Notes what became of a database: what it has now, what was found there that is in no log, and what was done.
pub(super) async fn end_database(
    platform: &PlatformDirectory,
    run: Uuid,
    direction: MigrationDirection,
    database: &FleetDatabase,
    outcome: Noted<'_>,
) -> Result<()> {
    let mut writing = platform.write(NOTING).await?;
    let conn = writing.conn()?;
    if let Some(found) = outcome.found {
        note_found(conn, database, "kernel", &found.kernel)
            .await
            .map_err(failed(NOTING))?;
        note_found(conn, database, "host", &found.host)
            .await
            .map_err(failed(NOTING))?;
    }
    for done in outcome.done {
        sqlx::query(
            "insert into platform.fleet_log
                 (actor, run_id, database_id, database_name, migrations, version, direction, checksum, elapsed_ms,
                  failure)
             values (coalesce(nullif(current_setting('platform.actor', true), ''), session_user),
                     $1, $2, $3, $4, $5, $6, encode($7, 'hex'), $8, left($9, 1000))",
        )
        .bind(run)
        .bind(database.of.as_uuid())
        .bind(&database.name)
        .bind(done.set)
        .bind(done.version)
        .bind(direction.as_str())
        .bind(&done.checksum)
        .bind(i64::try_from(done.elapsed.as_millis()).unwrap_or(i64::MAX))
        .bind(&done.failure)
        .execute(&mut *conn)
        .await
        .map_err(failed(NOTING))?;
    }
    write_schema(conn, database.of, outcome.state, outcome.failure)
        .await
        .map_err(failed(NOTING))?;
    writing.commit().await
}

/// What is to be noted of a database.
pub(super) struct Noted<'a> {
    pub(super) state: &'a SchemaState,
    pub(super) found: Option<&'a Found>,
    pub(super) done: &'a [Done],
    pub(super) failure: Option<&'a str>,
}

/// What is applied and was not noted as that, and what was noted as applied and is not.
async fn note_found(
    conn: &mut PgConnection,
    database: &FleetDatabase,
    set: &str,
    applied: &[Applied],
) -> sqlx::Result<()> {
    let whole = || applied.iter().filter(|applied| applied.success);
    sqlx::query(
        "with found as (
             select * from unnest($4::int8[], $5::bytea[], $6::int8[], $7::int8[]) f (version, checksum, at, elapsed)),
         noted as (
             select distinct on (l.version) l.version, l.direction from platform.fleet_log l
             where l.database_id = $1 and l.migrations = $3 and l.failure is null
             order by l.version, l.id desc)
         insert into platform.fleet_log
             (at, database_id, database_name, migrations, version, direction, checksum, elapsed_ms)
         select case when f.version is null then now() else to_timestamp(f.at / 1000000.0) end, $1, $2, $3,
                coalesce(f.version, n.version), case when f.version is null then 'down' else 'up' end,
                encode(f.checksum, 'hex'), case when f.elapsed >= 0 then f.elapsed / 1000000 end
         from found f full join noted n on n.version = f.version
         where (n.direction = 'up') is distinct from (f.version is not null)
           and (f.version is not null or n.direction = 'up')
         order by f.at, coalesce(f.version, n.version)",
    )
    .bind(database.of.as_uuid())
    .bind(&database.name)
    .bind(set)
    .bind(whole().map(|applied| applied.version).collect::<Vec<_>>())
    .bind(whole().map(|applied| applied.checksum.clone()).collect::<Vec<_>>())
    .bind(whole().map(|applied| applied.at).collect::<Vec<_>>())
    .bind(whole().map(|applied| applied.elapsed).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
}

/// What was done to a database, the last first.
pub(super) async fn history(
    platform: &PlatformDirectory,
    of: FleetOwner,
    most: u32,
) -> Result<Vec<FleetEntry>> {
    let rows: Vec<EntryRow> = sqlx::query_as(
        "select (extract(epoch from at) * 1000000)::int8 as at, actor, run_id, database_name, migrations, version,
                direction, decode(checksum, 'hex') as checksum, elapsed_ms, failure
         from platform.fleet_log where database_id = $1 order by id desc limit $2",
    )
    .bind(of.as_uuid())
    .bind(i64::from(most))
    .fetch_all(&platform.db)
    .await
    .map_err(failed("reading the log of the fleet"))?;
    Ok(rows.into_iter().map(EntryRow::into_entry).collect())
}
