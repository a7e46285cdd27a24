//! Naming the rows that are not the same on both sides.
#![expect(clippy::disallowed_methods, reason = "compares the rows of both sides")]

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::session::Side;
use super::tables::Pair;
use crate::error::{Error, Result};

/// Rows that differ, as far as they were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// Those that were found, by table and key.
    pub rows: Vec<RowDifference>,
    /// The last table that was compared whole, where some were not: to go on behind it.
    pub next_after: Option<String>,
}

/// A row that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowDifference {
    /// The table, with its schema.
    pub table: String,
    /// The values of its key, as a row of text.
    pub key: String,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The target does not have it.
    Missing,
    /// The target alone has it.
    Extra,
    /// Both have it with other values.
    Changed,
}

/// So many parts of a table are compared as sums before rows are: only parts that differ are read row by row.
const PARTS: u32 = 256;

const STEP: &str = "looking for rows that differ";

/// The rows that differ in the snapshots of two transactions: table by table behind that one, so many at most of each.
pub(super) async fn find(
    source: (&Side, &mut PgConnection),
    target: (&Side, &mut PgConnection),
    pairs: &[Pair],
    after: Option<&str>,
    most: usize,
) -> Result<Differences> {
    let ((from, source), (to, target)) = (source, target);
    let mut differences = Differences::default();
    let mut sorted: Vec<&Pair> = pairs.iter().collect();
    sorted.sort_by_key(|pair| pair.name());
    for pair in sorted {
        let name = pair.name();
        if after.is_some_and(|after| name.as_str() <= after) {
            continue;
        }
        let here = parts(from, source, pair, false).await?;
        let there = parts(to, target, pair, true).await?;
        let mut differing: Vec<i32> = (here.iter())
            .filter(|(part, sum)| there.get(part) != Some(*sum))
            .map(|(part, _)| *part)
            .collect();
        differing.extend(there.keys().filter(|part| !here.contains_key(part)));
        for part in differing {
            let here = rows(from, source, pair, false, part).await?;
            let there = rows(to, target, pair, true, part).await?;
            differences.rows.extend(between(&name, &here, &there));
            if differences.rows.len() >= most {
                differences.rows.truncate(most);
                return Ok(differences);
            }
        }
        differences.next_after = Some(name);
    }
    differences.next_after = None;
    Ok(differences)
}

fn between<'a>(
    table: &'a str,
    here: &'a BTreeMap<String, (i64, String)>,
    there: &'a BTreeMap<String, (i64, String)>,
) -> impl Iterator<Item = RowDifference> + 'a {
    let of = move |key: &String, kind| RowDifference {
        table: table.to_owned(),
        key: key.clone(),
        kind,
    };
    let left = here.iter().filter_map(move |(key, row)| match there.get(key) {
        None => Some(of(key, DifferenceKind::Missing)),
        Some(other) if other != row => Some(of(key, DifferenceKind::Changed)),
        Some(_) => None,
    });
    let extra = there.keys().filter(|key| !here.contains_key(*key));
    left.chain(extra.map(move |key| of(key, DifferenceKind::Extra)))
}

/// Rows with their key as text and their hash. A table without a key is told apart by its hashes.
fn hashed(side: &Side, pair: &Pair, arrived: bool) -> String {
    let columns = pair.columns();
    let pick = |(from, to): &(&'_ crate::schema::HostColumn, &'_ crate::schema::HostColumn)| {
        if arrived {
            to.hashed.clone()
        } else {
            from.hashed.clone()
        }
    };
    let values: Vec<String> = columns.iter().map(pick).collect();
    let hash = if values.is_empty() {
        "0::int8".to_owned()
    } else {
        format!("pg_catalog.hash_record_extended(row({}), 0)", values.join(", "))
    };
    let keys: Vec<String> = (pair.key_columns().iter())
        .map(|(from, to)| if arrived { &to.sql } else { &from.sql })
        .map(|column| format!("{column}::pg_catalog.text"))
        .collect();
    let key = if keys.is_empty() {
        format!("({hash})::pg_catalog.text")
    } else {
        format!("row({})::pg_catalog.text", keys.join(", "))
    };
    let table = if arrived { &pair.to } else { &pair.from };
    let only = if table.partitioned { "" } else { "only " };
    let mine = if table.has_client() {
        format!(" where client_id = '{}'::pg_catalog.uuid", side.client)
    } else {
        String::new()
    };
    format!(
        "select {key} as key, {hash} as hash from {only}{}{mine}",
        table.sql
    )
}

async fn parts(
    side: &Side,
    conn: &mut PgConnection,
    pair: &Pair,
    arrived: bool,
) -> Result<BTreeMap<i32, (i64, String)>> {
    let sql = format!(
        "select (pg_catalog.hashtextextended(key, 0) & {})::int4 as part, count(*), pg_catalog.sum(hash)::text
         from ({}) rows group by 1",
        PARTS - 1,
        hashed(side, pair, arrived)
    );
    let parts: Vec<(i32, i64, String)> = sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(|source| Error::of_statement(side.client, STEP, source))?;
    Ok(parts
        .into_iter()
        .map(|(part, rows, sum)| (part, (rows, sum)))
        .collect())
}

async fn rows(
    side: &Side,
    conn: &mut PgConnection,
    pair: &Pair,
    arrived: bool,
    part: i32,
) -> Result<BTreeMap<String, (i64, String)>> {
    let sql = format!(
        "select key, count(*), pg_catalog.sum(hash)::text from ({}) rows
         where (pg_catalog.hashtextextended(key, 0) & {})::int4 = {part} group by key",
        hashed(side, pair, arrived),
        PARTS - 1
    );
    let rows: Vec<(String, i64, String)> = sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(|source| Error::of_statement(side.client, STEP, source))?;
    Ok(rows
        .into_iter()
        .map(|(key, rows, sum)| (key, (rows, sum)))
        .collect())
}
