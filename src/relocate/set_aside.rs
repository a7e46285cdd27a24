//! What slows loading down in a database that is empty yet: foreign keys, indexes and keys are dropped before, and made
//! again after, from what the database itself remembers.
#![expect(clippy::disallowed_methods, reason = "drops and makes indexes of a database")]

use sqlx::PgConnection;

use super::gate;
use super::session::Side;
use super::tables::Pair;
use crate::error::{Error, Result};

/// In the order in which they are dropped; the other way round they are made again.
const PARTS: &str = "
    with mine as (
        select c.oid, c.relkind from pg_catalog.pg_class c where c.oid::int8 = any ($1)
    )
    select drop, make from (
        select 1 as place, format('alter table %s drop constraint %I', r.conrelid::regclass, r.conname) as drop,
               format('alter table %s add constraint %I %s', r.conrelid::regclass, r.conname,
                      pg_catalog.pg_get_constraintdef(r.oid)) as make, r.oid
        from pg_catalog.pg_constraint r join mine on mine.oid = r.conrelid
        where r.contype = 'f' and r.conparentid = 0 and r.coninhcount = 0
        union all
        select 2, format('drop index %s', i.indexrelid::regclass), pg_catalog.pg_get_indexdef(i.indexrelid), i.indexrelid
        from pg_catalog.pg_index i join mine on mine.oid = i.indrelid and mine.relkind = 'r'
        where not i.indisreplident and not i.indisclustered and i.indisvalid
          and not exists (select from pg_catalog.pg_constraint r where r.conindid = i.indexrelid)
        union all
        select 3, format('alter table %s drop constraint %I', r.conrelid::regclass, r.conname),
               format('alter table %s add constraint %I %s', r.conrelid::regclass, r.conname,
                      pg_catalog.pg_get_constraintdef(r.oid)), r.oid
        from pg_catalog.pg_constraint r join mine on mine.oid = r.conrelid and mine.relkind = 'r'
        join pg_catalog.pg_index i on i.indexrelid = r.conindid
        where r.contype in ('p', 'u') and not i.indisreplident and not i.indisclustered
    ) parts
    order by place, oid";

/// Drops them in a transaction that remembers them. What something else depends on stays.
pub(super) async fn set_aside(side: &Side, conn: &mut PgConnection, pairs: &[Pair]) -> Result<()> {
    const STEP: &str = "setting its indexes aside";
    let oids: Vec<i64> = pairs.iter().map(|pair| pair.to.oid).collect();
    side.begin(conn).await?;
    let parts: Vec<(String, String)> = sqlx::query_as(PARTS)
        .bind(&oids)
        .persistent(false)
        .fetch_all(&mut *conn)
        .await
        .map_err(|source| Error::of_statement(side.client, STEP, source))?;
    let mut made_again = Vec::new();
    for (drop, make) in parts {
        side.run(conn, STEP, "savepoint part").await?;
        match side.run(conn, STEP, drop).await {
            Ok(_) => {
                side.run(conn, STEP, "release savepoint part").await?;
                made_again.insert(0, make);
            }
            Err(error) if error.sqlstate().as_deref() == Some("2BP01") => {
                side.run(conn, STEP, "rollback to savepoint part; release savepoint part")
                    .await?;
            }
            Err(error) => return Err(error),
        }
    }
    gate::remember(side, conn, "set_aside", &made_again).await?;
    gate::silence(side, conn, oids.into_iter()).await?;
    side.commit(conn, STEP).await
}

/// Has the host's triggers be silent in a database of the client's own while its rows arrive.
pub(super) async fn silence(side: &Side, conn: &mut PgConnection, pairs: &[Pair]) -> Result<()> {
    if side.is_pool() {
        return Ok(());
    }
    side.begin(conn).await?;
    gate::silence(side, conn, pairs.iter().map(|pair| pair.to.oid)).await?;
    side.commit(conn, "silencing its triggers").await
}

/// Makes them again, each in a transaction that forgets it.
pub(super) async fn make_again(side: &Side, conn: &mut PgConnection) -> Result<()> {
    const STEP: &str = "making its indexes again";
    let failed = |source| Error::of_statement(side.client, STEP, source);
    loop {
        side.begin(conn).await?;
        let next: Option<Option<String>> =
            sqlx::query_scalar("select set_aside[1] from tenantry.relocations where client_id = $1")
                .bind(side.client)
                .fetch_optional(&mut *conn)
                .await
                .map_err(failed)?;
        let Some(make) = next.flatten() else {
            return side.commit(conn, STEP).await;
        };
        side.run(conn, STEP, make).await?;
        sqlx::query("update tenantry.relocations set set_aside = set_aside[2:] where client_id = $1")
            .bind(side.client)
            .execute(&mut *conn)
            .await
            .map_err(failed)?;
        side.commit(conn, STEP).await?;
    }
}
