#![expect(
    clippy::disallowed_methods,
    reason = "reads a row of tables that all clients read"
)]

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::arena::{Arena, Stage};
use super::attempt::Attempt;
use super::options::Attacked;
use super::rows::{Who, is_circular};
use super::{reads, relations, writes};
use crate::error::Result;

/// Attacks every table, parents first.
pub(super) async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    for table in arena.ground.locked.clone() {
        let told = "it was locked by others all the time that its catalogue was read";
        arena.report.unclear(table, told);
    }
    let mut circular = Vec::new();
    for at in 0..arena.ground.tables.len() {
        let table = arena.ground.tables[at].clone();
        if arena.is_left_out(&table.sql) {
            continue;
        }
        if table.triggered && arena.options.triggered_tables == Attacked::LeftOut {
            let told = format!("{}: it has triggers", table.sql);
            arena.report.left_out.push(told);
            continue;
        }
        if at >= arena.options.max_tables || arena.is_over() {
            let told = "there were more tables, or less time, than the options allow";
            arena.report.unclear(&table.sql, told);
            continue;
        }
        if !table.inserts {
            let attempts = reads::bare(arena, &table);
            arena.alone(&attempts).await?;
            if table.reads || table.writes {
                let is_lookup = table.client().is_none() && !table.writes;
                if is_lookup && arena.rows.shared.contains_key(&table.oid) {
                    continue;
                }
                arena.unfilled(&table, "the app role may read or change its rows, and adds none");
            }
            continue;
        }
        circular.extend(is_circular(&arena.ground, &arena.rows, at).then_some(at));
        table_at(arena, at).await?;
    }
    // What they refer to has rows by now.
    for at in circular {
        table_at(arena, at).await?;
    }
    arena.report.tables.sort();
    arena.report.tables.dedup();
    Ok(())
}

async fn table_at(arena: &mut Arena<'_>, at: usize) -> Result<()> {
    let table = arena.ground.tables[at].clone();
    let Some(stage) = arena.stage(at, true).await? else {
        return Ok(());
    };
    let mut attempts = reads::attempts(arena, &table);
    attempts.extend(writes::attempts(arena, &table, stage.own));
    let parts = relations::partitions(arena, &table);
    arena
        .report
        .relations
        .extend(parts.iter().map(|part| part.object.clone()));
    arena.report.relations.dedup();
    attempts.extend(parts);
    let Some(stage) = arena.attempt_all(at, stage, attempts).await? else {
        return Ok(());
    };
    let Some(mut stage) = arena.fresh(at, stage).await? else {
        return Ok(());
    };
    writes::cascades(arena, &mut stage, &table).await?;
    reads::explained(arena, &mut stage, &table).await?;
    reads::prepared(arena, &mut stage, &table).await?;
    arena.end(stage).await;
    arena.report.tables.push(table.sql);
    Ok(())
}

impl Arena<'_> {
    /// A row of each table that is referred to and not filled, for rows to refer to.
    pub(super) async fn pick_shared(&mut self) {
        let referred: Vec<i64> = self
            .ground
            .tables
            .iter()
            .flat_map(|table| table.references.iter().map(|reference| reference.to))
            .collect();
        let lookups = self
            .ground
            .tables
            .iter()
            .filter(|table| !table.inserts && table.client().is_none());
        let tables = self.ground.shared.iter().chain(lookups);
        let picked: Vec<_> = tables
            .filter(|table| referred.contains(&table.oid))
            .cloned()
            .collect();
        for table in picked {
            let columns = table.columns.iter().map(|column| format!("{}::text", column.sql));
            let sql = format!(
                "select array[{}] from {} limit 1",
                columns.collect::<Vec<_>>().join(", "),
                table.sql
            );
            let row: Option<Vec<Option<String>>> = sqlx::query_scalar(AssertSqlSafe(sql))
                .persistent(false)
                .fetch_optional(&mut self.admin)
                .await
                .ok()
                .flatten();
            let names = table.columns.iter().map(|column| column.name.clone());
            let row: HashMap<String, Option<String>> = names.zip(row.unwrap_or_default()).collect();
            self.rows.shared.insert(table.oid, row);
        }
    }

    /// Makes attempts that need no rows.
    pub(super) async fn alone(&mut self, attempts: &[Attempt]) -> Result<()> {
        let mut stage: Option<Stage> = None;
        for attempt in attempts {
            let mut ready = match stage.take() {
                Some(stage) if !stage.is_old(self.options) => stage,
                old => {
                    if let Some(old) = old {
                        self.end(old).await;
                    }
                    let mut stage = self.begin().await?;
                    self.enter(&mut stage, Who::Attacker, "savepoint attack").await?;
                    stage
                }
            };
            self.attempt(&mut ready, attempt).await?;
            stage = Some(ready);
        }
        if let Some(stage) = stage {
            self.end(stage).await;
        }
        Ok(())
    }

    /// Those of the tables that rows of both clients are known for.
    pub(super) fn filled(&self, tables: &[i64]) -> Vec<usize> {
        let mut found: Vec<usize> = tables
            .iter()
            .filter_map(|oid| self.ground.position(*oid))
            .filter(|at| {
                let table = &self.ground.tables[*at];
                self.rows.made(table, Who::Victim).is_some() && self.rows.made(table, Who::Attacker).is_some()
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether the options leave it out; then the report says so.
    pub(super) fn is_left_out(&mut self, sql: &str) -> bool {
        let plain = sql.replace('"', "");
        let out = self
            .options
            .left_out
            .iter()
            .any(|name| *name == plain || name == sql);
        if out {
            self.report.left_out.push(format!("{sql}: as the options say"));
        }
        out
    }

    /// What stays of all this.
    pub(super) fn tell_side_effects(&mut self) {
        let mut effects = vec![
            "values of the kernel's own sequences are spent".to_owned(),
            "rows that were rolled back take room in tables and indexes until they are vacuumed, and count in their \
             statistics"
                .to_owned(),
            "transaction ids are spent, and what was rolled back is in the write-ahead log".to_owned(),
        ];
        let attacked = |oid: &i64| self.ground.position(*oid).is_some();
        let sequences = self.ground.of_kind(&["S"]);
        let spent: Vec<&str> = sequences
            .filter(|sequence| sequence.tables.iter().any(attacked))
            .map(|sequence| sequence.sql.as_str())
            .collect();
        if !spent.is_empty() {
            effects.push(format!("values of {} may be spent by defaults", spent.join(", ")));
        }
        let triggered: Vec<&str> = self
            .ground
            .tables
            .iter()
            .filter(|table| table.triggered && self.report.tables.contains(&table.sql))
            .map(|table| table.sql.as_str())
            .collect();
        if !triggered.is_empty() {
            effects.push(format!(
                "triggers fired on {}: what they do outside the database is not rolled back",
                triggered.join(", ")
            ));
        }
        if !self.report.functions.is_empty() {
            effects.push(
                "functions were called: what they do outside the database is not rolled back".to_owned(),
            );
        }
        self.report.side_effects.extend(effects);
    }
}
