use std::sync::Mutex;

use super::batch::Batch;
use super::bound::{Belonging, Binder, BoundTable};
use super::conn::{Conn, Failed};
use super::plan::{ClientPlan, TablePlan};
use super::report::Outcome;
use super::seeding::{Extra, Mode, Run};
use super::work::Work;
use crate::client::ClientRecord;
use crate::database::{Isolation, TransactionOptions};
use crate::error::{Error, Result, SeedError};
use crate::tenant::{Attempt, RunOptions, TenantDb};

/// How often rows are begun again where their client moved to a database of other tables meanwhile.
const MOVES: u32 = 3;

impl Run<'_> {
    /// The rows of one client.
    pub(super) async fn rows(
        &self,
        plan: &ClientPlan<'_>,
        record: Option<&ClientRecord>,
    ) -> Result<Vec<Outcome>> {
        let slug = plan.slug.as_str();
        let Some(record) = record else {
            return Ok(plan.tables.iter().map(|rows| unseen(slug, rows)).collect());
        };
        if plan.tables.iter().all(|rows| rows.rows.is_empty()) {
            return Ok(Vec::new());
        }
        let lease = self
            .alone(&format!("rows of {}", record.id), &of_client(slug))
            .await?;
        let mut moves = 0;
        let outcome = loop {
            let db = self.seed.manager.tenant(record.id).await?;
            match self.rows_at(&db, plan).await {
                Err(Error::Moved { .. }) if moves < MOVES => moves += 1,
                outcome => break outcome,
            }
        };
        if let Some(lease) = lease {
            lease.end().await;
        }
        outcome
    }

    async fn rows_at(&self, db: &TenantDb, plan: &ClientPlan<'_>) -> Result<Vec<Outcome>> {
        let slug = plan.slug.as_str();
        let tables = match self.bound(db, plan).await {
            // The tables may be newer than what is known of them.
            Err(_) if db.refresh_catalogue().await? => self.bound(db, plan).await,
            bound => bound,
        };
        let tables = tables.map_err(|source| failed(slug, "holding its rows against its tables", source))?;
        let work = Work {
            client: Some(db.client().id),
            within: slug,
            forms: &self.seed.forms,
            secrets: &self.secrets,
            most_findings: self.seed.findings,
            seen: Mutex::default(),
        };
        let batches = Batch::all(&tables, self.seed.batch_rows);
        let mut outcomes = Vec::new();
        match self.mode {
            Mode::Look => {
                let snapshot = TransactionOptions::default()
                    .isolation(Isolation::RepeatableRead)
                    .read_only();
                outcomes = self.at(db, &work, snapshot, &batches, &tables).await?;
            }
            Mode::Apply => {
                let mut rest = batches.as_slice();
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(self.first_transaction(rest));
                    rest = later;
                    // Counted with the last of them.
                    let counted = if rest.is_empty() { tables.as_slice() } else { &[] };
                    let done = self
                        .at(db, &work, TransactionOptions::default(), now, counted)
                        .await?;
                    for outcome in done {
                        merge(&mut outcomes, outcome, self.seed.findings);
                    }
                }
            }
        }
        Ok(outcomes)
    }

    async fn bound(&self, db: &TenantDb, plan: &ClientPlan<'_>) -> Result<Vec<BoundTable>, SeedError> {
        let catalogue = db.catalogue().await;
        let catalogue = catalogue.map_err(|error| SeedError::Document {
            at: plan.slug.to_string(),
            reason: error.to_string(),
        })?;
        let belonging = if db.is_scoped() {
            Belonging::Scoped
        } else {
            Belonging::Alone
        };
        let described = [plan.tables.as_slice(), self.plan.shared.as_slice()];
        Binder::new(&catalogue, belonging, &self.seed.forms, &described).bind(&plan.tables)
    }

    /// How many batches the next transaction has.
    fn first_transaction(&self, batches: &[Batch<'_>]) -> usize {
        let mut rows = 0;
        let fit = batches.iter().take_while(|batch| {
            rows += batch.rows.len();
            rows <= self.seed.transaction_rows
        });
        fit.count().max(1)
    }

    /// These batches in one transaction, run again where it is overtaken.
    async fn at(
        &self,
        db: &TenantDb,
        work: &Work<'_>,
        transaction: TransactionOptions,
        batches: &[Batch<'_>],
        counted: &[BoundTable],
    ) -> Result<Vec<Outcome>> {
        let options = RunOptions::default().transaction(transaction);
        let scoped = db.is_scoped();
        let done = db
            .run_with(options, |mut tx: Attempt| async move {
                // Whether its tables have `client_id` is another matter there.
                if tx.db().is_scoped() != scoped {
                    let client = tx.db().client().id;
                    return Err(Failed::Other(Error::Moved { client }));
                }
                self.all(&mut Conn::Tenant(&mut tx), work, batches, counted).await
            })
            .await;
        let (suspects, source) = match done {
            Ok(outcomes) => return Ok(outcomes),
            Err(Failed::Other(error)) => return Err(error),
            Err(Failed::Seed(source)) => return Err(failed(work.within, self.step(), source)),
            Err(Failed::Values(suspects, source)) => (suspects, source),
        };
        let found = suspects.found(source, |sql, values| async move {
            let Ok(mut tx) = db.begin().await else {
                return false;
            };
            let asked = Conn::Tenant(&mut tx).ask(sql, values, None).await;
            let _ = tx.rollback().await;
            asked.is_ok()
        });
        Err(failed(work.within, self.step(), found.await))
    }

    /// These batches, and the counts of these tables, on one connection.
    pub(super) async fn all(
        &self,
        conn: &mut Conn<'_>,
        work: &Work<'_>,
        batches: &[Batch<'_>],
        counted: &[BoundTable],
    ) -> Result<Vec<Outcome>, Failed> {
        let mut outcomes = Vec::new();
        for batch in batches {
            let outcome = match self.mode {
                Mode::Apply => work.apply(conn, batch).await?,
                Mode::Look => work.look(conn, batch).await?,
            };
            merge(&mut outcomes, outcome, self.seed.findings);
        }
        if self.extra == Extra::Leave {
            return Ok(outcomes);
        }
        for table in counted {
            let counted = Outcome {
                within: work.within.to_owned(),
                table: table.named.clone(),
                in_database: Some(work.count(conn, &table.table).await?),
                ..Outcome::default()
            };
            merge(&mut outcomes, counted, self.seed.findings);
        }
        Ok(outcomes)
    }

    pub(super) const fn step(&self) -> &'static str {
        match self.mode {
            Mode::Apply => "writing rows",
            Mode::Look => "comparing rows",
        }
    }
}

fn of_client(slug: &str) -> String {
    format!("client {slug}")
}

fn failed(slug: &str, step: &'static str, source: SeedError) -> Error {
    Error::Seed {
        of: of_client(slug),
        step,
        source: Box::new(source),
    }
}

/// Of a client that is not there.
fn unseen(slug: &str, rows: &TablePlan<'_>) -> Outcome {
    Outcome {
        within: slug.to_owned(),
        table: rows.table.to_owned(),
        created: rows.rows.len().try_into().unwrap_or(u64::MAX),
        ..Outcome::default()
    }
}

/// With what was told of the table before.
pub(super) fn merge(outcomes: &mut Vec<Outcome>, more: Outcome, most_findings: usize) {
    let Some(known) = outcomes.iter_mut().find(|known| known.table == more.table) else {
        outcomes.push(more);
        return;
    };
    known.created += more.created;
    known.changed += more.changed;
    known.unchanged += more.unchanged;
    known.in_database = more.in_database.or(known.in_database);
    known.findings.extend(more.findings);
    known.findings.truncate(most_findings);
}
