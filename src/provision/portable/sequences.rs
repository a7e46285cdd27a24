#![expect(clippy::disallowed_methods, reason = "moves sequences on")]

use sqlx::{AssertSqlSafe, PgConnection};

use super::session;
use super::target::Target;
use crate::error::{Error, Result};
use crate::schema::{HostSequence, Manifest};

/// Moves the sequences of the columns to where they were there, so that no value is taken twice; none goes back, since
/// others may take from it.
pub(super) async fn advance(
    admin: &mut PgConnection,
    manifest: &Manifest,
    targets: &[Target<'_>],
) -> Result<()> {
    for target in targets {
        for sequence in target.here.sequences() {
            let there = target.there.sequences.iter();
            let there = there
                .filter(|known| known.column == sequence.column)
                .map(|known| known.last)
                .next();
            let last = match there {
                Some(last) => Some(last),
                None => furthest(admin, manifest, target, sequence).await?,
            };
            if let Some(last) = last {
                advance_to(admin, manifest, sequence, last).await?;
            }
        }
    }
    Ok(())
}

/// The furthest value that a column of whole numbers has, where the file knows no sequence for it.
async fn furthest(
    admin: &mut PgConnection,
    manifest: &Manifest,
    target: &Target<'_>,
    sequence: &HostSequence,
) -> Result<Option<i64>> {
    let mut columns = target.columns.iter();
    let Some(column) = columns.find(|column| column.name == sequence.column) else {
        return Ok(None);
    };
    if !matches!(column.type_name.as_str(), "smallint" | "integer" | "bigint") {
        return Ok(None);
    }
    let which = if sequence.increment > 0 { "max" } else { "min" };
    let sql = format!(
        "select {which}({})::int8 from {}",
        column.sql,
        manifest.rows_of(target.here)
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(admin)
        .await
        .map_err(|source| Error::of_statement(manifest.client, "reading the last of its numbers", source))
}

pub(crate) async fn advance_to(
    admin: &mut PgConnection,
    manifest: &Manifest,
    sequence: &HostSequence,
    last: i64,
) -> Result<()> {
    let HostSequence { sql, increment, .. } = sequence;
    let step = "moving a sequence on";
    let ahead = if *increment > 0 { "<" } else { ">" };
    let behind = format!("select last_value {ahead} {last} or not is_called from {sql}");
    if !session::is_so(admin, manifest.client, step, behind.clone()).await? {
        return Ok(());
    }
    // It says what is so already; what counts is its lock: nobody takes a value between the look and the change.
    let lock = format!("alter sequence {sql} increment by {increment}");
    session::execute(admin, manifest.client, step, lock).await?;
    if session::is_so(admin, manifest.client, step, behind).await? {
        let name = sql.replace('\'', "''");
        let set = format!("select setval('{name}', {last})");
        session::execute(admin, manifest.client, step, set).await?;
    }
    Ok(())
}
