//! Doing steps and undoing them, each once.
#![expect(clippy::disallowed_methods, reason = "changes the tables of the host")]

use sqlx::AssertSqlSafe;

use super::journal::{Entry, StepState, Written};
use super::options::RetrofitOptions;
use super::phase::RetrofitPhase;
use super::session::{Session, gave_way};
use super::step::Action;
use crate::error::{Result, RetrofitError};

/// Whoever is at it, with what was written down.
pub(super) struct Work<'a> {
    pub(super) session: &'a mut Session,
    pub(super) entry: &'a mut Entry,
    pub(super) options: &'a RetrofitOptions,
}

impl Work<'_> {
    /// Does the steps that are left, up to those of a phase.
    pub(super) async fn forward(&mut self, last: RetrofitPhase) -> Result<()> {
        for at in 0..self.entry.steps.len() {
            let written = self.entry.steps[at].clone();
            if written.step.phase > last || written.state == StepState::Done {
                continue;
            }
            self.take(&written, written.step.forward.as_ref(), StepState::Done)
                .await?;
            self.entry.steps[at].state = StepState::Done;
        }
        Ok(())
    }

    /// Undoes the steps that were done, from the last one.
    pub(super) async fn backward(&mut self) -> Result<()> {
        for at in (0..self.entry.steps.len()).rev() {
            let written = self.entry.steps[at].clone();
            if !self.is_to_undo(&written) {
                continue;
            }
            self.take(&written, written.step.backward.as_ref(), StepState::Undone)
                .await?;
            self.entry.steps[at].state = StepState::Undone;
        }
        Ok(())
    }

    fn is_to_undo(&self, written: &Written) -> bool {
        match written.state {
            StepState::Done | StepState::Begun => true,
            StepState::Undone => false,
            StepState::Planned => written.step.back_of.is_some_and(|of| {
                let mut steps = self.entry.steps.iter();
                steps.any(|other| other.number == of && other.state == StepState::Done)
            }),
        }
    }

    async fn take(&mut self, written: &Written, action: Option<&Action>, state: StepState) -> Result<()> {
        let note = self.entry.note(written.number, state);
        let verb = if state == StepState::Done { "" } else { "undoing " };
        let told = format!("{verb}{} of {}", written.step.phase, written.step.table);
        tracing::debug!(
            database = self.session.database,
            step = written.number,
            told,
            "retrofit"
        );
        match action {
            None => self.session.run(&told, note).await.map(drop),
            Some(Action::Turn { tables, against, sql }) => {
                let sql = format!("{sql}; {note}");
                self.session
                    .in_turn(self.options, &told, (tables, *against), &sql)
                    .await
            }
            Some(Action::Quiet { sql }) => self.quiet(&told, written, &format!("{sql}; {note}")).await,
            Some(Action::Build { index, key, sql }) => {
                self.begin_of(written).await?;
                self.build(&told, &written.step.table, (index, key), sql).await?;
                self.session.run(&told, note).await.map(drop)
            }
            Some(Action::DropIndex { index }) => {
                self.begin_of(written).await?;
                self.drop_index(&told, index).await?;
                self.session.run(&told, note).await.map(drop)
            }
            Some(Action::Assign {
                table, oid, client, ..
            }) => {
                self.assign(written, table, *oid, client).await?;
                self.session.run(&told, note).await.map(drop)
            }
            Some(Action::Sole { table, client }) => {
                self.expect_sole(&written.step.table, table, client).await?;
                self.session.run(&told, note).await.map(drop)
            }
        }
    }

    /// Nobody who reads or writes waits for it; it may wait for them.
    async fn quiet(&mut self, told: &str, written: &Written, sql: &str) -> Result<()> {
        let wait = self.options.transaction_wait.as_millis();
        let sql = format!("begin; set local lock_timeout = {wait}; {sql}; commit");
        let Err(error) = self.session.run(told, sql).await else {
            return Ok(());
        };
        self.session.run(told, "rollback").await?;
        // Rows came meanwhile that match nothing.
        if written.step.phase == RetrofitPhase::Constraints && error.sqlstate().as_deref() == Some("23514") {
            self.expect_matched(&written.step.table).await?;
        }
        Err(error)
    }

    /// Noted before, so that whatever is there is found.
    async fn begin_of(&mut self, written: &Written) -> Result<()> {
        if written.state == StepState::Planned || written.state == StepState::Undone {
            let note = self.entry.note(written.number, StepState::Begun);
            self.session.run("noting what is begun", note).await?;
        }
        Ok(())
    }

    async fn build(&mut self, told: &str, table: &str, (index, key): (&str, &str), sql: &str) -> Result<()> {
        if self.is_valid(told, index).await? == Some(true) {
            return Ok(());
        }
        for attempt in 1.. {
            // What an attempt left that was killed slows every write.
            self.drop_index(told, index).await?;
            self.wait_for_transactions(told).await?;
            let workers = format!(
                "set max_parallel_maintenance_workers = {}",
                self.options.index_workers
            );
            self.session.run(told, workers).await?;
            let Err(error) = self.session.run(told, sql).await else {
                return Ok(());
            };
            self.drop_index(told, index).await?;
            if error.sqlstate().as_deref() == Some("23505") {
                let (table, key) = (table.to_owned(), key.to_owned());
                return Err(self.session.error(told, RetrofitError::NotUnique { table, key }));
            }
            if !gave_way(&error) || attempt >= self.options.index_attempts {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn drop_index(&mut self, told: &str, index: &str) -> Result<()> {
        if self.is_valid(told, index).await?.is_none() {
            return Ok(());
        }
        self.wait_for_transactions(told).await?;
        let sql = format!("drop index concurrently if exists {index}");
        self.session.run(told, sql).await.map(drop)
    }

    async fn wait_for_transactions(&mut self, told: &str) -> Result<()> {
        let sql = format!("set lock_timeout = {}", self.options.transaction_wait.as_millis());
        self.session.run(told, sql).await.map(drop)
    }

    /// Whether an index is valid; `None` where it is not there.
    async fn is_valid(&mut self, told: &str, index: &str) -> Result<Option<bool>> {
        let sql = "select indisvalid from pg_catalog.pg_index where indexrelid = to_regclass($1)";
        let found = sqlx::query_scalar(sql)
            .bind(index)
            .persistent(false)
            .fetch_optional(&mut self.session.conn)
            .await;
        found.map_err(|source| self.session.failed(told, source))
    }

    /// Refuses to go back where rows say more than would be known of them then.
    async fn expect_sole(&mut self, name: &str, table: &str, client: &str) -> Result<()> {
        const STEP: &str = "looking whose rows would be lost";
        let sql = format!(
            "select format('%s has %s rows of client %s', $1::text, count(*), r.client_id) from only {table} r
             where r.client_id is distinct from {client} group by r.client_id order by count(*) desc limit 10"
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(name)
            .persistent(false)
            .fetch_all(&mut self.session.conn)
            .await
            .map_err(|source| self.session.failed(STEP, source))?;
        if rows.is_empty() {
            Ok(())
        } else {
            Err(self.session.error(STEP, RetrofitError::WouldLose { rows }))
        }
    }
}
