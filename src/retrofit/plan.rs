use std::fmt;

use uuid::Uuid;

use super::finding::RetrofitFinding;
use super::phase::RetrofitPhase;
use super::step::Step;
use crate::client::ClientId;

/// What a retrofit found, and every statement that it sends. Its text is SQL.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetrofitPlan {
    /// What was found.
    pub findings: Vec<RetrofitFinding>,
    /// The tables that become the tenants', with their schemas.
    pub tables: Vec<String>,
    /// The steps, in their order.
    pub steps: Vec<PlannedStep>,
    pub(super) draft: Draft,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedStep {
    /// What it is about.
    pub phase: RetrofitPhase,
    /// The table, with its schema; empty where it is about the database.
    pub table: String,
    /// What does it; empty where it is there for the way back.
    pub sql: String,
    /// What undoes it; empty where nothing is to be undone.
    pub undo: String,
}

/// What is written down when it begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) retrofit: Uuid,
    pub(super) tables: Vec<i64>,
    pub(super) steps: Vec<Step>,
    /// Which client a value stands for, by table.
    pub(super) values: Vec<(i64, String, ClientId)>,
}

impl RetrofitPlan {
    pub(super) fn new(findings: Vec<RetrofitFinding>, tables: Vec<String>, draft: Draft) -> Self {
        let told = |action: Option<&super::step::Action>| action.map(ToString::to_string).unwrap_or_default();
        let steps = draft.steps.iter().map(|step| PlannedStep {
            phase: step.phase,
            table: step.table.clone(),
            sql: told(step.forward.as_ref()),
            undo: told(step.backward.as_ref()),
        });
        Self {
            findings,
            tables,
            steps: steps.collect(),
            draft,
        }
    }

    /// Whether nothing that was found stops it.
    pub fn is_possible(&self) -> bool {
        !self.findings.iter().any(RetrofitFinding::stops)
    }
}

impl fmt::Display for RetrofitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let word = if finding.stops() { "stops" } else { "note" };
            writeln!(f, "-- {word}: {finding}")?;
        }
        let mut phase = None;
        for step in self.steps.iter().filter(|step| !step.sql.is_empty()) {
            if phase != Some(step.phase) {
                writeln!(f, "\n-- {}", step.phase)?;
                phase = Some(step.phase);
            }
            writeln!(f, "{}", step.sql)?;
        }
        writeln!(f, "\n-- and back")?;
        for step in self.steps.iter().rev().filter(|step| !step.undo.is_empty()) {
            writeln!(f, "{}", step.undo)?;
        }
        Ok(())
    }
}
