//! Two sides take turns in short batches, so that whatever else the machine does happens to both; what counts is
//! the median of the ratios of neighbours.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contestant::{Contestant, Statement};
use super::stage::Network;

/// How long one contest may take, and how many pairs of batches it has at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) time: Duration,
    pub(crate) pairs: usize,
    /// How long a batch is.
    pub(crate) batch: Duration,
}

impl Budget {
    /// A contest of statements.
    pub(crate) const fn of_statements(network: Network, quick: bool) -> Self {
        Self {
            time: match (quick, network) {
                (true, _) => Duration::from_millis(10),
                (false, Network::Local) => Duration::from_millis(1_500),
                (false, Network::Delayed) => Duration::from_millis(2_500),
            },
            pairs: if quick { 1 } else { 20 },
            batch: Duration::from_millis(if quick { 1 } else { 5 }),
        }
    }
}

/// What two sides took, in pairs of neighbours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Seconds for one turn of each side.
    pairs: Vec<(f64, f64)>,
    total: Duration,
}

impl Samples {
    pub(crate) fn push(&mut self, turns: u64, ours: Duration, theirs: Duration) {
        self.total += ours;
        #[expect(clippy::cast_precision_loss, reason = "a batch has few turns")]
        let turns = turns as f64;
        self.pairs
            .push((ours.as_secs_f64() / turns, theirs.as_secs_f64() / turns));
    }

    /// Seconds for one turn of each side.
    pub(crate) fn push_seconds(&mut self, ours: f64, theirs: f64) {
        self.pairs.push((ours, theirs));
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        self.total += others.total;
        self.pairs.extend_from_slice(&others.pairs);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// What all turns of ours took.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    /// Ours in theirs: below one is faster.
    pub(crate) fn ratio(&self) -> f64 {
        self.quantile(0.5, |(ours, theirs)| ours / theirs)
    }

    /// What a turn of ours takes, in seconds.
    pub(crate) fn ours(&self) -> f64 {
        self.quantile(0.5, |(ours, _)| ours)
    }

    pub(crate) fn theirs(&self) -> f64 {
        self.quantile(0.5, |(_, theirs)| theirs)
    }

    /// The ratio of the fastest tenth of both sides: what it is where nobody else has the processors.
    pub(crate) fn undisturbed_ratio(&self) -> f64 {
        self.quantile(0.1, |(ours, _)| ours) / self.quantile(0.1, |(_, theirs)| theirs)
    }

    fn quantile(&self, at: f64, value: impl Fn((f64, f64)) -> f64) -> f64 {
        let mut values: Vec<f64> = self.pairs.iter().copied().map(value).collect();
        values.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let index = ((values.len() as f64 - 1.0) * at).round() as usize;
        values.get(index).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Samples {
    /// The median of the ratios, with the quartiles that it is between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = |(ours, theirs)| ours / theirs;
        let (low, high) = (self.quantile(0.25, ratio), self.quantile(0.75, ratio));
        write!(f, "{:.2}x [{low:.2} .. {high:.2}]", self.ratio())
    }
}

/// Both sides do the statement in turns, for as long as the budget has it.
pub(crate) async fn contest(
    ours: Arc<Contestant>,
    theirs: Arc<Contestant>,
    statement: Statement,
    budget: Budget,
) -> Samples {
    // Connects, prepares and finds out how many turns a batch has.
    let mut turn = Duration::MAX;
    for _ in 0..3 {
        turn = turn.min(
            batch(&ours, statement, 2)
                .await
                .max(batch(&theirs, statement, 2).await)
                / 2,
        );
    }
    let turns = turns(budget.batch, turn);
    let mut samples = Samples::default();
    let started = Instant::now();
    while samples.pairs.len() < budget.pairs || started.elapsed() < budget.time {
        pair(&ours, &theirs, statement, turns, &mut samples).await;
    }
    samples
}

/// Both sides do the statement so often, in turns.
pub(crate) async fn contest_turns(
    ours: Arc<Contestant>,
    theirs: Arc<Contestant>,
    statement: Statement,
    mut turns: u64,
) -> Samples {
    const BATCH: u64 = 16;
    let mut samples = Samples::default();
    while turns > 0 {
        let now = turns.min(BATCH);
        pair(&ours, &theirs, statement, now, &mut samples).await;
        turns -= now;
    }
    samples
}

/// A batch of each side; who is first alternates.
async fn pair(
    ours: &Contestant,
    theirs: &Contestant,
    statement: Statement,
    turns: u64,
    samples: &mut Samples,
) {
    if samples.pairs.len().is_multiple_of(2) {
        let a = batch(ours, statement, turns).await;
        samples.push(turns, a, batch(theirs, statement, turns).await);
    } else {
        let b = batch(theirs, statement, turns).await;
        samples.push(turns, batch(ours, statement, turns).await, b);
    }
}

async fn batch(contestant: &Contestant, statement: Statement, turns: u64) -> Duration {
    let started = Instant::now();
    for _ in 0..turns {
        contestant.run(statement).await;
    }
    started.elapsed()
}

/// Both sides do so many turns of work of nanoseconds, and say how long they took.
pub(crate) fn alternate(
    mut ours: impl FnMut(u64) -> Duration,
    mut theirs: impl FnMut(u64) -> Duration,
    budget: Budget,
) -> Samples {
    const FIRST: u32 = 1_000;
    let turn = ours(FIRST.into()).max(theirs(FIRST.into())) / FIRST;
    let turns = turns(budget.batch, turn);
    let mut samples = Samples::default();
    let started = Instant::now();
    while samples.pairs.len() < budget.pairs || started.elapsed() < budget.time {
        if samples.pairs.len().is_multiple_of(2) {
            let a = ours(turns);
            samples.push(turns, a, theirs(turns));
        } else {
            let b = theirs(turns);
            samples.push(turns, ours(turns), b);
        }
    }
    samples
}

/// How many turns a batch has.
fn turns(batch: Duration, turn: Duration) -> u64 {
    u64::try_from(batch.as_nanos() / turn.as_nanos().max(1))
        .unwrap_or(1)
        .max(1)
}
