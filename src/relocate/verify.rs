//! Comparing both sides: every table as a whole, and one row of each by its key.

use sqlx::PgConnection;

use super::certificate::CertifiedTable;
use super::session::Side;
use super::tables::{Pair, Tables};
use crate::error::{Error, RelocationError, Result};
use crate::schema::ContentHash;

const STEP: &str = "comparing both sides";

/// Whether both sides are read at once, or one after the other: then no more than one processor is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    AtOnce,
    OneByOne,
}

/// Compares all rows of all tables in the snapshots of two transactions; rows of another client in a database of one
/// are an error.
pub(super) async fn compare(
    source: (&Side, &Tables, &mut PgConnection),
    target: (&Side, &Tables, &mut PgConnection),
    pairs: &[Pair],
    sides: Sides,
) -> Result<Vec<CertifiedTable>> {
    let ((from, here, source), (to, there, target)) = (source, target);
    let mut tables = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let columns = pair.columns();
        let (from_columns, to_columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let left = ContentHash::of(source, &here.manifest, &pair.from, from_columns.into_iter(), true);
        let arrived = ContentHash::of(target, &there.manifest, &pair.to, to_columns.into_iter(), true);
        let (left, arrived) = match sides {
            Sides::AtOnce => futures_util::future::try_join(left, arrived).await?,
            Sides::OneByOne => (left.await?, arrived.await?),
        };
        if left != arrived {
            let reason = if left.rows == arrived.rows {
                format!("its {} rows are not the same", left.rows)
            } else {
                format!("{} rows are there, and {} here", arrived.rows, left.rows)
            };
            return Err(differs(from, pair, reason));
        }
        if left.rows > 0 && !pair.key.is_empty() && pair.has_key() {
            find_one(from, to, source, target, pair).await?;
        }
        tables.push(CertifiedTable {
            table: pair.name(),
            rows: left.rows,
            hash: left.hash.unwrap_or_default(),
        });
    }
    Ok(tables)
}

/// Looks a row of the source up at the target by its key: a reader that sees nothing, on both sides alike, finds none.
async fn find_one(
    from: &Side,
    to: &Side,
    source: &mut PgConnection,
    target: &mut PgConnection,
    pair: &Pair,
) -> Result<()> {
    let keys = pair.key_columns();
    let conditions: Vec<String> = (keys.iter())
        .map(|(from, to)| {
            let name = to.sql.replace('\'', "''");
            let type_sql = to.type_sql.replace('\'', "''");
            format!(
                "'{name} = ' || pg_catalog.quote_literal({}::pg_catalog.text) || '::{type_sql}'",
                from.sql
            )
        })
        .collect();
    let sql = format!(
        "select {} from {} limit 1",
        conditions.join(" || ' and ' || "),
        rows(from, pair, false)
    );
    let condition: String = from.value(source, STEP, sql).await?;
    let found: i64 = to
        .value(
            target,
            STEP,
            format!(
                "select count(*) from (select from {} and {condition}) t",
                rows(to, pair, true)
            ),
        )
        .await?;
    if found == 1 {
        return Ok(());
    }
    Err(differs(
        from,
        pair,
        format!("a row was looked up by its key, and found {found} times"),
    ))
}

/// The rows of the client, to stand behind `from`.
fn rows(side: &Side, pair: &Pair, arrived: bool) -> String {
    let table = if arrived { &pair.to } else { &pair.from };
    let only = if table.partitioned { "" } else { "only " };
    let mine = if table.has_client() {
        format!("client_id = '{}'::pg_catalog.uuid", side.client)
    } else {
        "true".to_owned()
    };
    format!("{only}{} where {mine}", table.sql)
}

fn differs(side: &Side, pair: &Pair, reason: String) -> Error {
    Error::Relocation {
        client: side.client,
        step: STEP,
        source: RelocationError::ContentDiffers {
            table: pair.name(),
            reason,
        },
    }
}
