//! Copying all rows, from one snapshot of the source.

use std::collections::HashMap;

use futures_core::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::PgConnection;
use tokio::sync::Mutex;

use super::arrive::{self, Travelling, Writing, rows_of, travelling};
use super::capture::Capture;
use super::following::Following;
use super::gate;
use super::options::RelocationOptions;
use super::phase::Phase;
use super::progress::Teller;
use super::session::Side;
use super::tables::Pair;
use crate::error::Result;
use crate::schema::{HostTable, KeyCheck, Manifest, by_reference};

/// What is copied, and how.
#[derive(Debug)]
pub(super) struct Copying<'a> {
    pub(super) source: &'a Side,
    pub(super) target: &'a Side,
    pub(super) pairs: &'a [Pair],
    /// The source's.
    pub(super) manifest: &'a Manifest,
    pub(super) options: &'a RelocationOptions,
    pub(super) teller: &'a Teller,
    pub(super) writing: Writing,
    pub(super) keys: &'a [KeyCheck],
    /// Whether the tables of the target have no foreign keys for the time being.
    pub(super) unbound: bool,
    /// Where what changes meanwhile waits, if it does.
    pub(super) capture: Option<&'a Capture>,
}

const STEP: &str = "taking a snapshot of its rows";

/// A connection to each side.
type Line = (PgConnection, PgConnection);

impl Copying<'_> {
    /// Copies the tables that have not arrived yet, each with a note of it in one transaction. A group of tables that
    /// refer to each other in a circle arrives at once.
    pub(super) async fn run(&self, arrived: &[String]) -> Result<()> {
        let groups = self.groups();
        if groups.iter().flatten().all(|pair| arrived.contains(&pair.name())) {
            return Ok(());
        }
        let mut keeper = self.source.connect().await?;
        self.source
            .run(&mut keeper, STEP, "begin isolation level repeatable read")
            .await?;
        let snapshot: String = self
            .source
            .value(
                &mut keeper,
                STEP,
                "select pg_catalog.pg_export_snapshot()".to_owned(),
            )
            .await?;
        let lines = self.lines(groups.len(), &snapshot).await?;
        // What arrived from an earlier snapshot is brought to this one, so that whatever refers to it finds it.
        if let Some(capture) = self.capture
            && !arrived.is_empty()
            && !self.unbound
        {
            let known: Vec<Pair> = (self.pairs.iter())
                .filter(|pair| arrived.contains(&pair.name()))
                .cloned()
                .collect();
            let mut target = self.target.connect().await?;
            let following = Following {
                source: self.source,
                target: self.target,
                pairs: &known,
                capture,
                writing: self.writing,
                keys: self.keys,
            };
            following.bring_to_snapshot(&mut keeper, &mut target).await?;
        }
        let lines = Mutex::new(lines);
        for level in levels(groups, self.unbound || self.writing == Writing::Replica) {
            let mut left: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
            for group in level {
                if !group.iter().all(|pair| arrived.contains(&pair.name())) {
                    left.push(Box::pin(self.copy_on_a_line(&lines, group)));
                }
            }
            stream::iter(left)
                .buffer_unordered(self.options.parallel)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }

    /// Copies all tables one after the other, in the snapshot of the source's transaction, and in one of the target.
    pub(super) async fn run_on(&self, source: &mut PgConnection, target: &mut PgConnection) -> Result<()> {
        self.writing.begin(self.target, target, "").await?;
        let groups = self.groups();
        for group in &groups {
            self.copy_rows(source, target, group).await?;
        }
        let all: Vec<&Pair> = groups.into_iter().flatten().collect();
        self.commit(target, &all).await
    }

    async fn lines(&self, most: usize, snapshot: &str) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for _ in 0..self.options.parallel.min(most).max(1) {
            let (mut source, target) = (self.source.connect().await?, self.target.connect().await?);
            let snapshot = snapshot.replace('\'', "''");
            let sql = format!(
                "begin isolation level repeatable read, read only; set transaction snapshot '{snapshot}'"
            );
            self.source.run(&mut source, STEP, sql).await?;
            lines.push((source, target));
        }
        Ok(lines)
    }

    async fn copy_on_a_line(&self, lines: &Mutex<Vec<Line>>, group: Vec<&Pair>) -> Result<()> {
        // There are as many as are used at once.
        let line = lines.lock().await.pop();
        let Some(mut line) = line else { return Ok(()) };
        let copied = self.copy_group(&mut line.0, &mut line.1, &group).await;
        lines.lock().await.push(line);
        copied
    }

    async fn copy_group(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        group: &[&Pair],
    ) -> Result<()> {
        self.writing.begin(self.target, target, "").await?;
        self.copy_rows(source, target, group).await?;
        self.commit(target, group).await
    }

    /// Commits the rows that arrived, with a note that they have.
    async fn commit(&self, target: &mut PgConnection, pairs: &[&Pair]) -> Result<()> {
        let names: Vec<String> = pairs.iter().map(|pair| pair.name()).collect();
        gate::note_arrival(self.target, target, &names).await?;
        self.target
            .commit(target, "committing the rows that arrived")
            .await
    }

    async fn copy_rows(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        group: &[&Pair],
    ) -> Result<()> {
        let client = self.source.client;
        let waits = |pair: &&Pair| group.len() > 1 || pair.columns().iter().any(|(_, to)| to.as_text);
        for pair in group.iter().copied().filter(|pair| waits(pair)) {
            arrive::make_waiting(self.target, target, pair).await?;
        }
        for pair in group {
            let name = pair.name();
            self.teller.tell(Phase::Copying, Some(&name), 0);
            let waits = waits(pair);
            let rows = Travelling {
                client,
                pair,
                query: format!(
                    "select {} from {}",
                    travelling(pair, ""),
                    self.manifest.rows_of(&pair.from)
                ),
                into: if waits { rows_of(pair) } else { pair.to.sql.clone() },
                columns: pair.columns().iter().map(|(_, to)| to.sql.as_str()).collect(),
                owner: (!waits && pair.to.has_client()).then_some(client),
                teller: Some(self.teller),
            };
            rows.copy(source, target).await?;
        }
        let waiting: Vec<String> = (group.iter().filter(|pair| waits(pair)))
            .map(|pair| arrive::insert_waiting(client, pair))
            .collect();
        if let Some((last, before)) = waiting.split_last() {
            let before: Vec<String> = (before.iter().enumerate())
                .map(|(at, insert)| format!("w{at} as ({insert})"))
                .collect();
            let sql = if before.is_empty() {
                last.clone()
            } else {
                format!("with {} {last}", before.join(", "))
            };
            self.target
                .run(target, "writing the rows that arrived", sql)
                .await?;
        }
        for pair in group {
            arrive::check(self.target, target, self.keys, pair, None).await?;
        }
        Ok(())
    }

    /// The tables in groups, those before that others refer to.
    fn groups(&self) -> Vec<Vec<&Pair>> {
        if self.unbound || self.writing == Writing::Replica {
            return self.pairs.iter().map(|pair| vec![pair]).collect();
        }
        let by_oid: HashMap<i64, &Pair> = self.pairs.iter().map(|pair| (pair.to.oid, pair)).collect();
        let tables: Vec<HostTable> = self.pairs.iter().map(|pair| pair.to.clone()).collect();
        let pair = |table: &HostTable| by_oid.get(&table.oid).copied();
        by_reference(tables)
            .iter()
            .map(|group| group.iter().filter_map(pair).collect())
            .collect()
    }
}

/// The groups that can be copied at once: each level refers to those before it alone.
fn levels(groups: Vec<Vec<&Pair>>, unbound: bool) -> Vec<Vec<Vec<&Pair>>> {
    if unbound {
        return vec![groups];
    }
    let mut level_of: HashMap<i64, usize> = HashMap::new();
    let mut levels: Vec<Vec<Vec<&Pair>>> = Vec::new();
    for group in groups {
        let references = group.iter().flat_map(|pair| pair.to.references());
        let level = references
            .filter_map(|reference| level_of.get(&reference.to).map(|level| level + 1))
            .max()
            .unwrap_or(0);
        for pair in &group {
            level_of.insert(pair.to.oid, level);
        }
        if levels.len() <= level {
            levels.resize_with(level + 1, Vec::new);
        }
        levels[level].push(group);
    }
    levels
}
