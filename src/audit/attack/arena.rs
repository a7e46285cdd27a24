use std::collections::HashMap;
use std::time::Instant;

use sqlx::PgConnection;

use super::conditions;
use super::ground::{Ground, Table};
use super::options::AttackOptions;
use super::report::AttackReport;
use super::rows::{Made, Rows, Variant, Who, insert, is_circular, missing_parent, returning};
use super::values::{Salt, literal};
use crate::audit::{AuditFinding, AuditSeverity};
use crate::client::Epoch;
use crate::database::{Answer, Probe, ProbePool, text};
use crate::directory::Binding;
use crate::error::Result;

/// Two scratch clients in a pool database, and what is known of it so far.
pub(super) struct Arena<'a> {
    pub(super) options: &'a AttackOptions,
    pub(super) ground: Ground,
    pub(super) rows: Rows,
    pub(super) pool: ProbePool,
    pub(super) binding: Binding,
    pub(super) admin: PgConnection,
    pub(super) app_role: String,
    pub(super) database: String,
    pub(super) attacker: Salt,
    pub(super) victim: Salt,
    pub(super) epoch: Epoch,
    pub(super) report: AttackReport,
    pub(super) deadline: Instant,
}

/// A transaction that holds rows of both clients, bound to the attacker. Each attempt begins at the same point.
pub(super) struct Stage {
    pub(super) probe: Probe,
    began: Instant,
    /// Whether the attacker has rows of its own.
    pub(super) own: bool,
    /// Whether a statement is prepared in it.
    pub(super) prepared: bool,
}

/// What came of filling a table.
enum Filled {
    Yes,
    /// The row collides with the other client's.
    Collides(String),
    /// It is not known whether there is a row: the client does not see it, or a lock stood in the way.
    Unclear(String),
    No(String),
}

/// The name of the statement that is prepared for one client and executed for the other.
pub(super) const PREPARED: &str = "tenantry_attack";

impl Stage {
    /// Whether it has stood for as long as one may.
    pub(super) fn is_old(&self, options: &AttackOptions) -> bool {
        self.began.elapsed() >= options.transaction_time
    }
}

impl Arena<'_> {
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    pub(super) fn salt(&self, who: Who) -> &Salt {
        match who {
            Who::Attacker => &self.attacker,
            Who::Victim => &self.victim,
        }
    }

    /// A transaction on the connections that hosts are served over.
    pub(super) async fn begin(&mut self) -> Result<Stage> {
        self.report.statements += 2;
        let probe = self.pool.probe(self.attacker.client, self.epoch).await?;
        Ok(Stage {
            probe,
            began: Instant::now(),
            own: true,
            prepared: false,
        })
    }

    pub(super) async fn end(&mut self, mut stage: Stage) {
        if stage.prepared {
            let deallocate = format!("rollback; deallocate {PREPARED}");
            let _ = stage.probe.send(&deallocate).await;
        }
        let took = stage.began.elapsed();
        self.report.longest_transaction = self.report.longest_transaction.max(took);
        self.report.statements += 1;
        stage.probe.end().await;
    }

    /// Binds the transaction to the client and runs statements.
    pub(super) async fn enter(&mut self, stage: &mut Stage, who: Who, then: &str) -> Result<Answer> {
        self.report.statements += 1;
        let client = self.salt(who).client;
        stage.probe.enter(client, self.epoch, then).await
    }

    /// What inserts the rows of those tables again.
    pub(super) fn inserts(&self, tables: &[usize], who: Who) -> String {
        let made = tables
            .iter()
            .filter_map(|at| self.rows.made(&self.ground.tables[*at], who));
        let inserts: Vec<&str> = made.map(|made| made.insert.as_str()).collect();
        inserts.join("; ")
    }

    /// What finds the victim's row.
    pub(super) fn victims(&self, table: &Table) -> String {
        if table.client().is_some() {
            return format!("t.client_id = '{}'", self.victim.client);
        }
        let values = self.rows.made(table, Who::Victim).map(|made| &made.values);
        let key = table.keys.iter().find(|key| key.primary);
        let columns = key.and_then(|key| key.columns.as_ref());
        let by_key = columns.zip(values).and_then(|(columns, values)| {
            let equal = columns.iter().map(|attnum| {
                let column = table.column(*attnum)?;
                let value = values.get(&column.name)?.as_ref()?;
                Some(format!("t.{} = {}", column.sql, literal(value, &column.type_sql)))
            });
            equal.collect::<Option<Vec<_>>>()
        });
        match by_key {
            Some(equal) if !equal.is_empty() => equal.join(" and "),
            _ => format!(
                "(t::text like '%{}%' or t::text like '%{}%')",
                self.victim.token, self.victim.uuid
            ),
        }
    }

    /// A transaction with rows of both clients in the table and in those that it refers to; `None` where there is
    /// none, which is a finding.
    pub(super) async fn stage(&mut self, at: usize, tell: bool) -> Result<Option<Stage>> {
        let table = self.ground.tables[at].clone();
        if let Some(parent) = missing_parent(&self.ground, &self.rows, at) {
            let parent = parent.sql.clone();
            self.unfilled(&table, &format!("{parent}, which it refers to, has no row"));
            return Ok(None);
        }
        let mut stage = self.begin().await?;
        for who in [Who::Victim, Who::Attacker] {
            match self.fill(&mut stage, at, who).await? {
                Filled::Yes => {}
                Filled::Collides(told) if who == Who::Attacker => {
                    stage.own = false;
                    if tell {
                        self.collided(&table, &told);
                    }
                    let begun = self.send(&mut stage, "rollback to savepoint made").await?;
                    if begun.refused.is_some() {
                        self.unfilled(&table, &told);
                        self.end(stage).await;
                        return Ok(None);
                    }
                }
                Filled::Unclear(told) => {
                    self.report.unclear(&table.sql, told);
                    self.end(stage).await;
                    return Ok(None);
                }
                Filled::Collides(told) | Filled::No(told) => {
                    self.unfilled(&table, &told);
                    self.end(stage).await;
                    return Ok(None);
                }
            }
        }
        self.send(&mut stage, "savepoint attack").await?;
        Ok(Some(stage))
    }

    pub(super) fn unfilled(&mut self, table: &Table, told: &str) {
        self.report.found(AuditFinding::new(
            "attack.unfilled",
            AuditSeverity::Medium,
            &table.sql,
            "no row could be made up for it, so that nothing could be tried on rows of another client",
            told,
        ));
    }

    fn collided(&mut self, table: &Table, told: &str) {
        self.report.found(AuditFinding::new(
            "attack.oracle",
            AuditSeverity::Medium,
            &table.sql,
            "a key that all clients share tells one of them what the others have, and stops it from having the same",
            told,
        ));
    }

    /// Puts a row of the client, and those that it refers to, into the transaction.
    async fn fill(&mut self, stage: &mut Stage, at: usize, who: Who) -> Result<Filled> {
        let table = self.ground.tables[at].clone();
        let mut parents = self.ground.with_parents(&[at]);
        parents.retain(|parent| *parent != at);
        let parents = self.inserts(&parents, who);
        // In a circle, what is referred to comes later.
        let (lenient, strict) = if is_circular(&self.ground, &self.rows, at) {
            ("set constraints all deferred", "set constraints all deferred")
        } else {
            ("set constraints all deferred", "set constraints all immediate")
        };
        let proof = match (who, table.reads) {
            (Who::Victim, true) if self.rows.made(&table, who).is_some() => {
                format!(
                    "; select count(*) from {} t where {}",
                    table.sql,
                    self.victims(&table)
                )
            }
            _ => String::new(),
        };
        if let Some(made) = self.rows.made(&table, who) {
            let insert = made.insert.clone();
            let then = format!("{lenient}; {parents}; {insert}; {strict}{proof}");
            let answer = self.enter(stage, who, &then).await?;
            return Ok(filled(&answer, !proof.is_empty()));
        }
        let begun = self
            .enter(stage, who, &format!("{lenient}; {parents}; savepoint made"))
            .await?;
        if let Some(refused) = &begun.refused {
            return Ok(match of_refusal(refused, "what it refers to") {
                Filled::Collides(told) => Filled::No(told),
                other => other,
            });
        }
        if let Some(status) = begun.text(0).filter(|status| !status.starts_with("entered")) {
            return Ok(Filled::No(format!("the kernel answered {status} to its ticket")));
        }
        self.solve(&table, who).await;
        let mut last = Filled::No("no value is known for one of its columns".to_owned());
        for nth in 0..self.options.tries_per_row {
            let variant = Variant::nth(nth);
            let Some(values) = self.rows.values(&table, self.salt(who), who, variant) else {
                continue;
            };
            let told = insert(&table, &values, &returning(&table));
            let sql = format!("rollback to savepoint made; {told}; {strict}");
            let answer = self.send(stage, &sql).await?;
            if let Some(refused) = &answer.refused {
                last = of_refusal(refused, "its row");
                if matches!(last, Filled::Unclear(_)) {
                    break;
                }
                continue;
            }
            if answer.done.iter().all(|rows| *rows == 0) {
                last = Filled::No("its row was taken and is not there".to_owned());
                continue;
            }
            let mut row = HashMap::new();
            if let Some(came) = answer.rows.last() {
                for (place, column) in table.columns.iter().enumerate() {
                    row.insert(column.name.clone(), text(came, place));
                }
            }
            let made = Made {
                insert: insert(&table, &values, ""),
                values: row,
                variant,
            };
            self.rows.keep(&table, who, made);
            if who == Who::Victim && table.reads {
                let victims = self.victims(&table);
                let proof = format!("select count(*) from {} t where {victims}", table.sql);
                let answer = self.send(stage, &proof).await?;
                return Ok(filled(&answer, true));
            }
            return Ok(Filled::Yes);
        }
        Ok(last)
    }

    /// Finds values that the table's conditions allow.
    async fn solve(&mut self, table: &Table, who: Who) {
        let conditioned = !table.checks.is_empty()
            || !table.partial_keys.is_empty()
            || table
                .columns
                .iter()
                .any(|column| !column.domain_checks.is_empty());
        if !conditioned || self.rows.solved.contains_key(&(table.oid, who)) {
            return;
        }
        let mut fixed = HashMap::new();
        for reference in table.references.iter() {
            fixed.extend(self.rows.parent(reference, who).unwrap_or_default());
        }
        let salt = self.salt(who).clone();
        let solved = conditions::solve(&mut self.admin, table, &salt, &fixed).await;
        self.rows.solved.insert((table.oid, who), solved);
    }

    pub(super) async fn send(&mut self, stage: &mut Stage, sql: &str) -> Result<Answer> {
        self.report.statements += 1;
        stage.probe.send(sql).await
    }
}

/// Whether rows are there: the last count says so.
fn filled(answer: &Answer, proven: bool) -> Filled {
    if let Some(refused) = &answer.refused {
        return of_refusal(refused, "its row");
    }
    if proven && answer.last(0).as_deref() == Some("0") {
        let told =
            "the client that has the row does not see it, so that it is no proof that the other does not";
        return Filled::Unclear(told.to_owned());
    }
    Filled::Yes
}

fn of_refusal(refused: &sqlx::Error, what: &str) -> Filled {
    let Some(error) = refused.as_database_error() else {
        return Filled::No(refused.to_string());
    };
    let code = error.code().unwrap_or_default();
    let told = format!("{what} was refused: {code}: {}", error.message());
    match &*code {
        "23505" | "23P01" => Filled::Collides(told),
        "55P03" | "57014" | "40P01" => Filled::Unclear(told),
        _ => Filled::No(told),
    }
}
