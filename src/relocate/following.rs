//! Bringing over what changed: the rows that the log names, as they are in one snapshot of the source.
//!
//! A pass takes the keys out of the log and reads their rows in the same snapshot, so what it brings over is whole and
//! the order in which it changed does not matter. The source forgets the keys after the target has committed: a pass
//! that was interrupted in between is done again, and changes nothing.
use sqlx::{PgConnection, Row};

use super::arrive::{self, Travelling, Writing, keys_of, rows_of, travelling};
use super::capture::Capture;
use super::carry::Moment;
use super::replay::{named, write};
use super::session::Side;
use super::tables::Pair;
use crate::error::{Error, RelocationError, Result};
use crate::schema::KeyCheck;

/// Where changes are brought from and to.
#[derive(Debug)]
pub(super) struct Following<'a> {
    pub(super) source: &'a Side,
    pub(super) target: &'a Side,
    pub(super) pairs: &'a [Pair],
    pub(super) capture: &'a Capture,
    pub(super) writing: Writing,
    pub(super) keys: &'a [KeyCheck],
}

const STEP: &str = "bringing over what changed";

/// The planner knows nothing of rows that have just come: so few are looked up by index, and of more it is told.
const FEW: u64 = 1_000;
const BY_INDEX: &str = "set local enable_hashjoin = off; set local enable_mergejoin = off;";

impl Following<'_> {
    /// Makes the tables where keys and rows wait, in both sessions: before the first pass.
    pub(super) async fn prepare(&self, source: &mut PgConnection, target: &mut PgConnection) -> Result<()> {
        for pair in self.followed() {
            make_keys(self.source, source, pair, &pair.from.sql, |(from, _)| &from.sql).await?;
            make_keys(self.target, target, pair, &pair.to.sql, |(_, to)| &to.sql).await?;
            arrive::make_waiting(self.target, target, pair).await?;
        }
        Ok(())
    }

    /// One pass. The source's transaction is left open, in whose snapshot both sides are the same now; the caller ends
    /// it by [`forget`](Self::forget). Returns how many keys it brought over, and which snapshot that is. While writers
    /// are kept out, what it brought over is compared on both sides before it commits.
    pub(super) async fn pass(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        moment: Moment,
    ) -> Result<(u64, String)> {
        let begin = format!("begin isolation level repeatable read; {BY_INDEX}");
        let (snapshot, changed) = self.changed(source, &begin).await?;
        if changed.is_empty() {
            return Ok((0, snapshot));
        }
        let taken = async {
            let mut keys = 0;
            for pair in &changed {
                let (columns, log, keys_of) = (
                    names(pair, |(from, _)| &from.sql),
                    self.capture.log(pair),
                    keys_of(pair),
                );
                let sql = format!(
                    "with gone as (delete from {log} returning {columns})
                     insert into {keys_of} select distinct {columns} from gone"
                );
                keys += self.source.run(source, STEP, sql).await?;
            }
            Ok(keys)
        };
        let beginning = self.writing.begin(self.target, target, BY_INDEX);
        let (keys, ()) = futures_util::future::try_join(taken, beginning).await?;
        self.bring(source, target, &changed, keys, moment).await?;
        Ok((keys, snapshot))
    }

    /// Forgets what the pass before brought over.
    pub(super) async fn forget(&self, source: &mut PgConnection) -> Result<()> {
        self.source
            .commit(source, "forgetting what was brought over")
            .await
    }

    /// Brings tables that arrived from an earlier snapshot to that of the source's transaction; the log stays as it is.
    pub(super) async fn bring_to_snapshot(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
    ) -> Result<()> {
        self.prepare(source, target).await?;
        let mut keys = 0;
        let (_, changed) = self.changed(source, "").await?;
        if changed.is_empty() {
            return Ok(());
        }
        self.writing.begin(self.target, target, BY_INDEX).await?;
        for pair in &changed {
            let (columns, log) = (names(pair, |(from, _)| &from.sql), self.capture.log(pair));
            let sql = format!(
                "insert into {} select distinct {columns} from {log}",
                keys_of(pair)
            );
            keys += self.source.run(source, STEP, sql).await?;
        }
        self.bring(source, target, &changed, keys, Moment::Before).await
    }

    fn followed(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.has_key())
    }

    /// Runs those statements, and returns the snapshot after them, with the tables whose logs are not empty in it. In
    /// one message: writers may wait.
    async fn changed(&self, source: &mut PgConnection, begin: &str) -> Result<(String, Vec<&Pair>)> {
        let failed = |error| Error::of_statement(self.source.client, STEP, error);
        let exist: Vec<String> = self
            .followed()
            .map(|pair| format!("exists (select from {})", self.capture.log(pair)))
            .collect();
        let sql = format!(
            "{begin} select pg_catalog.pg_current_snapshot()::text, array[{}]::boolean[]",
            exist.join(", ")
        );
        let row = self.source.row(source, STEP, sql).await?;
        let snapshot: String = row.try_get_unchecked(0).map_err(failed)?;
        let exist: Vec<bool> = row.try_get_unchecked(1).map_err(failed)?;
        let changed = self.followed().zip(exist);
        let changed = changed.filter_map(|(pair, exists)| exists.then_some(pair));
        Ok((snapshot, changed.collect()))
    }

    /// Brings the rows over whose keys wait at the source, and commits the transaction of the target.
    async fn bring(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        changed: &[&Pair],
        keys: u64,
        moment: Moment,
    ) -> Result<()> {
        let (from, to) = (self.source, self.target);
        if keys > FEW {
            from.run(source, STEP, "reset enable_hashjoin; reset enable_mergejoin")
                .await?;
        }
        for pair in changed {
            let keys = Travelling {
                client: from.client,
                pair,
                teller: None,
                query: format!(
                    "select {} from {}",
                    names(pair, |(from, _)| &from.sql),
                    keys_of(pair)
                ),
                into: keys_of(pair),
                columns: key_names(pair),
                owner: None,
            };
            keys.copy(source, target).await?;
            let rows = Travelling {
                query: format!(
                    "select {} from {}",
                    travelling(pair, "t."),
                    named(from, pair, false)
                ),
                into: rows_of(pair),
                columns: pair.columns().iter().map(|(_, to)| to.sql.as_str()).collect(),
                ..keys
            };
            rows.copy(source, target).await?;
        }
        if keys > FEW {
            to.run(target, STEP, "reset enable_hashjoin; reset enable_mergejoin")
                .await?;
            for pair in changed {
                let sql = format!("analyze {}; analyze {}", keys_of(pair), rows_of(pair));
                to.run(target, STEP, sql).await?;
            }
        }
        write(to, target, changed, self.writing).await?;
        for pair in changed {
            let rows = format!("(select t.* from {})", named(to, pair, true));
            arrive::check(to, target, self.keys, pair, Some(&rows)).await?;
        }
        if moment == Moment::Fenced {
            for pair in changed {
                expect_same(from, to, source, target, pair).await?;
            }
        }
        to.commit(target, STEP).await
    }
}

type Column<'a> = (&'a crate::schema::HostColumn, &'a crate::schema::HostColumn);

fn names<'a>(pair: &'a Pair, of: impl Fn(&Column<'a>) -> &'a String) -> String {
    let names: Vec<&str> = pair
        .key_columns()
        .iter()
        .map(|column| of(column).as_str())
        .collect();
    if names.is_empty() {
        CHANGED.to_owned()
    } else {
        names.join(", ")
    }
}

fn key_names(pair: &Pair) -> Vec<&str> {
    let names: Vec<&str> = pair.key_columns().iter().map(|(_, to)| to.sql.as_str()).collect();
    if names.is_empty() { vec![CHANGED] } else { names }
}

/// What is noted of a client's only row.
const CHANGED: &str = "changed";

async fn make_keys<'a>(
    side: &Side,
    conn: &mut PgConnection,
    pair: &'a Pair,
    table: &str,
    of: impl Fn(&Column<'a>) -> &'a String,
) -> Result<()> {
    let mut names = names(pair, of);
    if names == CHANGED {
        names = format!("true as {CHANGED}");
    }
    let sql = format!(
        "create temporary table if not exists tenantry_keys_{} on commit delete rows as select {} from {table} with no data",
        pair.number, names
    );
    side.run(conn, "making a temporary table", sql).await.map(drop)
}

const COMPARING: &str = "comparing what was brought over";

/// Compares the rows whose keys wait, on both sides.
async fn expect_same(
    from: &Side,
    to: &Side,
    source: &mut PgConnection,
    target: &mut PgConnection,
    pair: &Pair,
) -> Result<()> {
    let columns = pair.columns();
    let hash = |arrived: bool| {
        let values: Vec<&str> = (columns.iter())
            .map(|(from, to)| if arrived { &to.hashed } else { &from.hashed })
            .map(String::as_str)
            .collect();
        let side = if arrived { to } else { from };
        format!(
            "select pg_catalog.concat_ws(' ', count(*), pg_catalog.sum(pg_catalog.hash_record_extended(row({}), 0)))
             from (select t.* from {}) t",
            values.join(", "),
            named(side, pair, arrived)
        )
    };
    let here = from.value::<String>(source, COMPARING, hash(false));
    let there = to.value::<String>(target, COMPARING, hash(true));
    let (here, there) = futures_util::future::try_join(here, there).await?;
    if here == there {
        return Ok(());
    }
    Err(Error::Relocation {
        client: from.client,
        step: COMPARING,
        source: RelocationError::ContentDiffers {
            table: pair.name(),
            reason: format!("what changed last is there, as count and hash, {there}; and here {here}"),
        },
    })
}
