//! What moves with a client beside its rows: how far its sequences are, and which set-ups were done for it.
#![expect(
    clippy::disallowed_methods,
    reason = "carries over what is no row of the host's"
)]

use sqlx::{PgConnection, Row};

use super::session::Side;
use super::tables::{Pair, Tables};
use crate::error::{Error, Result};
use crate::provision::advance_sequence;
use crate::schema::HostSequence;

/// As many values of a sequence that others take from are left out before writers are kept out: moving it on then
/// would wait for those who take from it.
const AHEAD: i64 = 1_000;

/// Whether writers are kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    Fenced,
}

/// What there is at the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    /// The last value of each sequence that both sides have.
    last: Vec<Option<i64>>,
    /// The names of the set-ups.
    steps: Vec<String>,
}

/// The sequences that both sides have.
fn sequences(pairs: &[Pair]) -> Vec<(&HostSequence, &HostSequence)> {
    let both = pairs.iter().flat_map(|pair| {
        pair.from.sequences().iter().filter_map(|here| {
            let mut there = pair.to.sequences().iter();
            Some((here, there.find(|there| there.column == here.column)?))
        })
    });
    both.collect()
}

/// The last values of sequences, as an array.
fn last_values<'a>(of: impl Iterator<Item = &'a HostSequence>) -> String {
    let values: Vec<String> = of
        .map(|sequence| {
            let name = sequence.sql.replace('\'', "''");
            format!("pg_catalog.pg_sequence_last_value('{name}'::pg_catalog.regclass)")
        })
        .collect();
    format!("array[{}]::pg_catalog.int8[]", values.join(", "))
}

impl Carried {
    /// Reads it in one message: writers may wait.
    pub(super) async fn read(side: &Side, conn: &mut PgConnection, pairs: &[Pair]) -> Result<Self> {
        const STEP: &str = "reading its sequences and what was set up";
        let failed = |source| Error::of_statement(side.client, STEP, source);
        let mine = if side.is_pool() {
            format!(" where client_id = '{}'", side.client)
        } else {
            String::new()
        };
        let sql = format!(
            "select {}, array(select step from tenantry.steps{mine} order by step)",
            last_values(sequences(pairs).into_iter().map(|(here, _)| here))
        );
        let row = side.row(conn, STEP, sql).await?;
        Ok(Self {
            last: row.try_get_unchecked(0).map_err(failed)?,
            steps: row.try_get_unchecked(1).map_err(failed)?,
        })
    }

    /// Has the target be as far.
    pub(super) async fn write(
        &self,
        side: &Side,
        conn: &mut PgConnection,
        there: &Tables,
        pairs: &[Pair],
        moment: Moment,
    ) -> Result<()> {
        const STEP: &str = "reading how far its sequences are";
        let both = sequences(pairs);
        if !both.is_empty() {
            let sql = format!("select {}", last_values(both.iter().map(|(_, there)| *there)));
            let now: Vec<Option<i64>> = side.value(conn, STEP, sql).await?;
            for (((_, sequence), last), now) in both.into_iter().zip(&self.last).zip(now) {
                let Some(last) = *last else { continue };
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
                let ahead = if side.is_pool() && moment == Moment::Before {
                    AHEAD
                } else {
                    0
                };
                let last = last.saturating_add(sequence.increment.saturating_mul(ahead));
                advance_sequence(conn, &there.manifest, sequence, last).await?;
            }
        }
        self.write_steps(side, conn).await
    }

    async fn write_steps(&self, side: &Side, conn: &mut PgConnection) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let insert = if side.is_pool() {
            "insert into tenantry.steps (client_id, step) select $2, unnest($1::text[]) on conflict do nothing"
        } else {
            "insert into tenantry.steps (step) select step from unnest($1::text[]) step where $2::uuid is not null
             on conflict do nothing"
        };
        sqlx::query(insert)
            .bind(&self.steps)
            .bind(side.client)
            .execute(conn)
            .await
            .map(drop)
            .map_err(|source| Error::of_statement(side.client, "carrying over what was set up", source))
    }
}
