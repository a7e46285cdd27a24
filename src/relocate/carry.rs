//! What moves with a client beside its rows: how far its sequences are, and which set-ups were done for it.
#![expect(
    clippy::disallowed_methods,
    reason = "carries over what is no row of the host's"
)]

use sqlx::PgConnection;

use super::session::Side;
use super::tables::{Pair, Tables};
use crate::error::{Error, Result};
use crate::provision::advance_sequence;

/// As many values of a sequence that others take from are left out before writers are kept out: moving it on then
/// would wait for those who take from it.
const AHEAD: i64 = 1_000;

/// Whether writers are kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    Fenced,
}

const STEP: &str = "reading how far its sequences are";

/// Moves the sequences of the target on to where those of the source are.
pub(super) async fn sequences(
    source: (&Side, &mut PgConnection),
    target: (&Side, &mut PgConnection),
    there: &Tables,
    pairs: &[Pair],
    moment: Moment,
) -> Result<()> {
    let ((from, source), (to, target)) = (source, target);
    let both: Vec<_> = pairs
        .iter()
        .flat_map(|pair| {
            pair.from.sequences().iter().filter_map(|here| {
                let mut there = pair.to.sequences().iter();
                Some((here, there.find(|there| there.column == here.column)?))
            })
        })
        .collect();
    if both.is_empty() {
        return Ok(());
    }
    let last = |sql: &str| {
        let name = sql.replace('\'', "''");
        format!("pg_catalog.pg_sequence_last_value('{name}'::pg_catalog.regclass)")
    };
    let here: Vec<String> = both.iter().map(|(here, _)| last(&here.sql)).collect();
    let here: Vec<Option<i64>> = from
        .value(source, STEP, format!("select array[{}]::int8[]", here.join(", ")))
        .await?;
    let now: Vec<String> = both.iter().map(|(_, there)| last(&there.sql)).collect();
    let now: Vec<Option<i64>> = to
        .value(target, STEP, format!("select array[{}]::int8[]", now.join(", ")))
        .await?;
    for (((_, sequence), here), now) in both.into_iter().zip(here).zip(now) {
        let Some(last) = here else { continue };
        let is_behind = now.is_none_or(|now| {
            if sequence.increment > 0 {
                now < last
            } else {
                now > last
            }
        });
        if !is_behind {
            continue;
        }
        let ahead = if to.is_pool() && moment == Moment::Before {
            AHEAD
        } else {
            0
        };
        let last = last.saturating_add(sequence.increment.saturating_mul(ahead));
        advance_sequence(target, &there.manifest, sequence, last).await?;
    }
    Ok(())
}

/// Remembers at the target which set-ups were done for the client.
pub(super) async fn steps(
    source: (&Side, &mut PgConnection),
    target: (&Side, &mut PgConnection),
) -> Result<()> {
    let ((from, source), (to, target)) = (source, target);
    let failed = |source| Error::of_statement(from.client, "carrying over what was set up", source);
    let steps: Vec<String> = if from.is_pool() {
        sqlx::query_scalar("select step from tenantry.steps where client_id = $1")
            .bind(from.client)
            .fetch_all(source)
            .await
            .map_err(failed)?
    } else {
        sqlx::query_scalar("select step from tenantry.steps")
            .fetch_all(source)
            .await
            .map_err(failed)?
    };
    if steps.is_empty() {
        return Ok(());
    }
    let insert = if to.is_pool() {
        "insert into tenantry.steps (client_id, step) select $2, unnest($1::text[]) on conflict do nothing"
    } else {
        "insert into tenantry.steps (step) select step from unnest($1::text[]) step where $2::uuid is not null
         on conflict do nothing"
    };
    sqlx::query(insert)
        .bind(steps)
        .bind(from.client)
        .execute(target)
        .await
        .map(drop)
        .map_err(failed)
}
