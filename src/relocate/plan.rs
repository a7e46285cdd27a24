//! Comparing both sides before a row is touched.
#![expect(clippy::disallowed_methods, reason = "reads what a role may do")]

use sqlx::{AssertSqlSafe, PgConnection};

use super::arrive::Writing;
use super::finding::Finding;
use super::session::Side;
use super::tables::{Pair, Tables, fingerprint, pairs};
use crate::client::{ClientId, PoolId};
use crate::directory::{PlatformDirectory, failed};
use crate::error::{Error, Result};
use crate::provision::TableRows;
use crate::schema::KeyCheck;

/// What a relocation would move, and what stands against it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelocationPlan {
    /// Whose rows.
    pub client: ClientId,
    /// What was found. Nothing is moved while one of them [stops](Finding::stops) it.
    pub findings: Vec<Finding>,
    /// The client's tables, parents first, with as many rows as were counted.
    pub tables: Vec<TableRows>,
    /// Whether everything moves while writers wait, since it is little.
    pub plain: bool,
}

impl RelocationPlan {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Whether nothing stops it.
    pub fn is_possible(&self) -> bool {
        !self.findings.iter().any(Finding::stops)
    }
}

/// A plan with what was read for it.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) plan: RelocationPlan,
    pub(super) fingerprint: String,
}

/// Both sides' tables, as they are now; what stops a table from being read is a finding.
pub(super) async fn read_both(
    source: (&Side, &mut PgConnection),
    target: (&Side, &mut PgConnection),
    left_out: &[String],
) -> Result<Result<(Tables, Tables), Vec<Finding>>> {
    let ((from, source), (to, target)) = (source, target);
    let mut findings = Vec::new();
    for (side, conn) in [(from, &mut *source), (to, &mut *target)] {
        if !has_kernel(side, conn).await? {
            findings.push(Finding::NoKernel { side: side.name });
        }
    }
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let here = Tables::read(from, source, left_out).await?;
    let there = Tables::read(to, target, left_out).await?;
    Ok(match (here, there) {
        (Ok(here), Ok(there)) => Ok((here, there)),
        (here, there) => Err([here.err(), there.err()].into_iter().flatten().collect()),
    })
}

pub(super) async fn compare(
    platform: &PlatformDirectory,
    source: (&Side, &mut PgConnection),
    target: (&Side, &mut PgConnection),
    target_pool: Option<PoolId>,
    left_out: &[String],
    plain_rows: u64,
) -> Result<Compared> {
    let ((from, source), (to, target)) = (source, target);
    let client = from.client;
    let none = |findings| Compared {
        plan: RelocationPlan {
            client,
            findings,
            tables: Vec::new(),
            plain: false,
        },
        fingerprint: String::new(),
    };
    let (here, there) = match read_both((from, source), (to, target), left_out).await? {
        Ok(both) => both,
        Err(findings) => return Ok(none(findings)),
    };
    let both = pairs(&here, &there);
    let mut findings = findings_of_both(&here, &there, &both);
    let keyless = both.iter().filter(|pair| !pair.has_key());
    findings.extend(keyless.map(|pair| Finding::NoKey { table: pair.name() }));
    rights(from, source, &here, &mut findings).await?;
    rights(to, target, &there, &mut findings).await?;
    if from.is_pool() {
        bridges(from, source, &mut findings).await?;
    } else {
        rights_that_remain(from, source, &here, &mut findings).await?;
    }
    if !to.is_pool() {
        let sessions = to
            .value(
                target,
                "looking for sessions of others",
                "select count(*) from pg_catalog.pg_stat_activity
                 where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
                    .to_owned(),
            )
            .await?;
        if sessions > 0 {
            findings.push(Finding::ForeignSessions { sessions });
        }
    }
    if let Some(pool) = target_pool
        && !has_room(platform, pool).await?
    {
        findings.push(Finding::NoRoom);
    }
    // What may not be read is not counted.
    if findings
        .iter()
        .any(|finding| matches!(finding, Finding::NotOwned { .. }))
    {
        return Ok(none(findings));
    }
    if !findings.iter().any(Finding::stops) {
        references(from, (source, &here), to, (target, &there), &both, &mut findings).await?;
    }
    let mut tables = Vec::with_capacity(both.len());
    for pair in &both {
        if rows(to, target, &there, &pair.to, 1).await? > 0 {
            findings.push(Finding::NotEmpty { table: pair.name() });
        }
        tables.push(TableRows {
            table: pair.name(),
            rows: rows(from, source, &here, &pair.from, i64::MAX.unsigned_abs()).await?,
        });
    }
    let few = tables.iter().map(|table| table.rows).sum::<u64>() <= plain_rows;
    let plain = few || !both.iter().all(Pair::has_key);
    Ok(Compared {
        plan: RelocationPlan {
            client,
            findings,
            tables,
            plain,
        },
        fingerprint: fingerprint(&here, &there),
    })
}

async fn has_kernel(side: &Side, conn: &mut PgConnection) -> Result<bool> {
    let sql = "select to_regclass('tenantry.relocations') is not null";
    side.value(conn, "looking for its kernel", sql.to_owned()).await
}

/// How the tables of both sides are not the same.
pub(super) fn findings_of_both(here: &Tables, there: &Tables, both: &[Pair]) -> Vec<Finding> {
    let mut findings = Vec::new();
    tables_of_both(here, there, &mut findings);
    for pair in both {
        columns_of_both(pair, &mut findings);
        constraints_of_both(here, there, pair, &mut findings);
    }
    findings
}

fn tables_of_both(here: &Tables, there: &Tables, findings: &mut Vec<Finding>) {
    let (source, target) = (&here.manifest, &there.manifest);
    for (one, other, side) in [(source, target, "target"), (target, source, "source")] {
        let missing = (one.tables.iter()).filter(|table| other.table(&table.schema, &table.name).is_none());
        findings.extend(missing.map(|table| Finding::MissingTable {
            side,
            table: table.qualified(),
        }));
    }
}

fn columns_of_both(pair: &Pair, findings: &mut Vec<Finding>) {
    let (here, there) = (pair.from.by_name(), pair.to.by_name());
    for (one, other, side) in [(&here, &there, "target"), (&there, &here, "source")] {
        let mut missing: Vec<&str> = (one.keys().copied())
            .filter(|name| !other.contains_key(name))
            .collect();
        missing.sort_unstable();
        findings.extend(missing.into_iter().map(|column| Finding::MissingColumn {
            side,
            table: pair.name(),
            column: column.to_owned(),
        }));
    }
    for (from, to) in pair.columns() {
        if from.type_name != to.type_name || from.as_text != to.as_text {
            findings.push(Finding::TypeDiffers {
                table: pair.name(),
                column: from.name.clone(),
                source: from.type_name.clone(),
                target: to.type_name.clone(),
            });
        }
    }
}

fn constraints_of_both(here: &Tables, there: &Tables, pair: &Pair, findings: &mut Vec<Finding>) {
    let (Some(source), Some(target)) = (here.traits(&pair.from), there.traits(&pair.to)) else {
        return;
    };
    let (source, target) = (&source.constraints, &target.constraints);
    for (one, other, side) in [(source, target, "target"), (target, source, "source")] {
        let missing = one.iter().filter(|constraint| !other.contains(constraint));
        findings.extend(missing.map(|constraint| Finding::ConstraintDiffers {
            side,
            table: pair.name(),
            constraint: constraint.clone(),
        }));
    }
}

/// Whether the admin role may do what it has to, on either side: each is written to, should the client go back.
async fn rights(
    side: &Side,
    conn: &mut PgConnection,
    tables: &Tables,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let writing = Writing::of(side, conn).await?;
    for table in &tables.manifest.tables {
        let Some(traits) = tables.traits(table) else {
            continue;
        };
        if !traits.owned {
            findings.push(Finding::NotOwned {
                side: side.name,
                table: table.qualified(),
            });
        }
        if side.is_pool() && writing == Writing::Checked && !traits.triggers.is_empty() {
            findings.push(Finding::TriggersRun {
                side: side.name,
                table: table.qualified(),
                triggers: traits.triggers.clone(),
            });
        }
    }
    Ok(())
}

/// Roles that serve the client and would go on to once rights are taken: owners, superusers and their members.
async fn rights_that_remain(
    side: &Side,
    conn: &mut PgConnection,
    tables: &Tables,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let oids: Vec<i64> = tables.manifest.tables.iter().map(|table| table.oid).collect();
    let remaining: Vec<String> = sqlx::query_scalar(
        "select distinct r.rolname::text
         from tenantry.installation i
         join pg_catalog.pg_roles r on r.rolname = i.app_role
         where r.rolsuper or exists (
             select from pg_catalog.pg_class c
             where c.oid::int8 = any ($1) and pg_catalog.pg_has_role(r.oid, c.relowner, 'member'))",
    )
    .bind(oids)
    .persistent(false)
    .fetch_all(conn)
    .await
    .map_err(|source| Error::of_statement(side.client, "reading what its app role may do", source))?;
    findings.extend(remaining.into_iter().map(|role| Finding::RightsRemain { role }));
    Ok(())
}

/// Roles that the kernel binds to the client: it would refuse the cut-over.
async fn bridges(side: &Side, conn: &mut PgConnection, findings: &mut Vec<Finding>) -> Result<()> {
    const STEP: &str = "looking for roles of an old application";
    let has_bridges = "select to_regclass('tenantry.bridges') is not null".to_owned();
    if !side.value(conn, STEP, has_bridges).await? {
        return Ok(());
    }
    let roles: Vec<String> = sqlx::query_scalar(
        "select r.rolname::text from tenantry.bridges b join pg_catalog.pg_roles r on r.oid = b.role_id
         where b.client_id = $1 order by 1",
    )
    .bind(side.client)
    .persistent(false)
    .fetch_all(conn)
    .await
    .map_err(|source| Error::of_statement(side.client, STEP, source))?;
    findings.extend(roles.into_iter().map(|role| Finding::Bridged { role }));
    Ok(())
}

/// As many values are looked up of each foreign key.
const REFERENCES: usize = 1_000;

/// Whether what the client's rows refer to beside themselves is at the target.
async fn references(
    from: &Side,
    (source, here): (&mut PgConnection, &Tables),
    to: &Side,
    (target, there): (&mut PgConnection, &Tables),
    both: &[Pair],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    const STEP: &str = "looking for what its rows refer to";
    let failed = |source| Error::of_statement(to.client, STEP, source);
    let oids: Vec<i64> = there.manifest.tables.iter().map(|table| table.oid).collect();
    let keys = KeyCheck::of(target, &oids).await.map_err(failed)?;
    for key in keys.iter().filter(|key| key.leads_outside && key.whole) {
        let Some(pair) = both.iter().find(|pair| pair.to.oid == key.root) else {
            continue;
        };
        let rows = format!("(select * from {})", here.manifest.rows_of(&pair.from));
        let values: Vec<String> = from.value(source, STEP, key.values(&rows, REFERENCES)).await?;
        let missing: i64 = sqlx::query_scalar(AssertSqlSafe(key.missing()))
            .bind(values)
            .persistent(false)
            .fetch_one(&mut *target)
            .await
            .map_err(failed)?;
        if missing > 0 {
            findings.push(Finding::MissingReferences {
                table: pair.name(),
                constraint: key.name.clone(),
                rows: missing,
            });
        }
    }
    Ok(())
}

async fn has_room(platform: &PlatformDirectory, pool: PoolId) -> Result<bool> {
    sqlx::query_scalar(
        "select coalesce((select active and client_count < capacity from platform.pools where id = $1), false)",
    )
    .bind(pool)
    .fetch_one(&platform.db)
    .await
    .map_err(failed("reading a pool"))
}

/// How many rows of the client the table has, counted no further than that.
async fn rows(
    side: &Side,
    conn: &mut PgConnection,
    tables: &Tables,
    table: &crate::schema::HostTable,
    most: u64,
) -> Result<u64> {
    let rows = tables.manifest.rows_of(table);
    let step = format!("counting the rows of {}", table.qualified());
    let sql = format!("select count(*) from (select from {rows} limit {most}) t");
    let counted: i64 = side.value(conn, &step, sql).await?;
    Ok(u64::try_from(counted).unwrap_or_default())
}
