use super::journal::{Entry, StepState};
use super::phase::{RetrofitPhase, RetrofitState};

/// How far a retrofit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrofitStatus {
    /// What it is at, or what was done.
    pub state: RetrofitState,
    /// How many steps are done.
    pub done: usize,
    /// Of how many.
    pub steps: usize,
    /// What the next step is about; `None` where all are done.
    pub next: Option<RetrofitPhase>,
}

impl RetrofitStatus {
    pub(super) fn of(entry: &Entry) -> Self {
        let is_done = |state| state == StepState::Done;
        let next = entry.steps.iter().find(|step| !is_done(step.state));
        Self {
            state: entry.state,
            done: entry.steps.iter().filter(|step| is_done(step.state)).count(),
            steps: entry.steps.len(),
            next: next.map(|step| step.step.phase),
        }
    }
}
