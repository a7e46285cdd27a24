//! Giving rows their client, batch by batch, while others write to them.
#![expect(clippy::disallowed_methods, reason = "writes to the tables of the host")]

use std::time::Instant;

use sqlx::AssertSqlSafe;

use super::journal::Written;
use super::step::Action;
use super::steps::Work;
use crate::error::{Result, RetrofitError};

/// How many blocks a batch begins with, and has at most.
const FIRST_BLOCKS: i64 = 2;
const MOST_BLOCKS: i64 = 4_096;

/// How often all blocks are gone through for rows that others had locked.
const PASSES: u32 = 100;

impl Work<'_> {
    /// Every row that was written since the triggers are there has its client, and so stands behind none of the blocks
    /// that there were. One pass over those is enough, but for rows that a writer held in that moment: they are left
    /// alone, and found in the next.
    pub(super) async fn assign(
        &mut self,
        written: &Written,
        table: &str,
        oid: i64,
        client: &str,
    ) -> Result<()> {
        let name = &written.step.table;
        let step = format!("giving rows of {name} their client");
        let mut block = self
            .entry
            .block(&mut self.session.conn, written.number)
            .await
            .map_err(|source| self.session.failed(&step, source))?;
        for _ in 0..PASSES {
            let blocks: i64 = sqlx::query_scalar(
                "select pg_relation_size($1::oid) / current_setting('block_size')::int8 + 1",
            )
            .bind(oid)
            .fetch_one(&mut self.session.conn)
            .await
            .map_err(|source| self.session.failed(&step, source))?;
            let mut size = FIRST_BLOCKS;
            while block < blocks {
                let end = (block + size).min(blocks);
                let began = Instant::now();
                self.batch(&step, written, (table, client), (block, end)).await?;
                let took = began.elapsed();
                size = if took > self.options.batch {
                    size / 2
                } else if took * 2 < self.options.batch {
                    size * 2
                } else {
                    size
                }
                .clamp(1, MOST_BLOCKS);
                block = end;
                if !self.options.pause.is_zero() {
                    tokio::time::sleep(self.options.pause).await;
                }
            }
            block = 0;
            if !self.is_left(&step, table, client).await? {
                return self.expect_matched(name).await;
            }
        }
        let blockers = vec![format!("writers of {name} hold rows whenever they are asked for")];
        Err(self.session.error(step, RetrofitError::NotDrained { blockers }))
    }

    /// The blocks of a batch, in one transaction with the note of where the next one begins.
    async fn batch(
        &mut self,
        step: &str,
        written: &Written,
        (table, client): (&str, &str),
        (from, to): (i64, i64),
    ) -> Result<()> {
        let note = self.entry.note_block(written.number, to);
        let sql = format!(
            "with mine as materialized (
                 select r.ctid as at, {client} as client from only {table} r
                 where r.ctid >= '({from},0)' and r.ctid < '({to},0)' and r.client_id is null
                 for no key update of r skip locked)
             update only {table} t set client_id = mine.client from mine
             where t.ctid = mine.at and mine.client is not null; {note}"
        );
        self.session.run(step, sql).await.map(drop)
    }

    /// Whether a row is left that a rule has a client for.
    async fn is_left(&mut self, step: &str, table: &str, client: &str) -> Result<bool> {
        let sql = format!(
            "select exists (select from only {table} r where r.client_id is null and {client} is not null)"
        );
        let left = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut self.session.conn)
            .await;
        left.map_err(|source| self.session.failed(step, source))
    }

    /// Stops where rows match nothing: they are nobody's.
    pub(super) async fn expect_matched(&mut self, name: &str) -> Result<()> {
        let step = format!("looking for rows of {name} that match no rule");
        let of_table = self
            .entry
            .steps
            .iter()
            .filter(|written| written.step.table == name);
        let actions = of_table.filter_map(|written| written.step.forward.as_ref());
        let Some((table, key)) = actions.into_iter().find_map(|action| match action {
            Action::Assign { table, key, .. } => Some((table, key)),
            _ => None,
        }) else {
            return Ok(());
        };
        let sql = format!(
            "select (select count(*) from only {table} r where r.client_id is null),
                    array(select {key}::text from only {table} r where r.client_id is null limit {})",
            self.options.sample
        );
        let (rows, sample): (i64, Vec<String>) = sqlx::query_as(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut self.session.conn)
            .await
            .map_err(|source| self.session.failed(&step, source))?;
        if rows == 0 {
            return Ok(());
        }
        let table = name.to_owned();
        let unmatched = RetrofitError::Unmatched { table, rows, sample };
        Err(self.session.error(step, unmatched))
    }
}
