use std::time::{Duration, Instant};

use uuid::Uuid;

use super::attempt::{Attempt, Lent};
use super::db::TenantDb;
use super::standing::Standing;
use super::tx::TenantTx;
use crate::database::TransactionOptions;
use crate::error::Error;

/// How a transaction is run, and how often; see [`TenantDb::run_with`].
///
/// ```
/// use tenantry::{Isolation, RunOptions, TransactionOptions};
///
/// let serializable = TransactionOptions::default().isolation(Isolation::Serializable);
/// let options = RunOptions::default().transaction(serializable).attempts(10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    transaction: TransactionOptions,
    attempts: u32,
    first_pause: Duration,
    longest_pause: Duration,
    give_up_after: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            transaction: TransactionOptions::default(),
            attempts: 5,
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(500),
            give_up_after: Duration::from_secs(30),
        }
    }
}

impl RunOptions {
    /// How each attempt begins. Defaults to READ COMMITTED, reading and writing.
    #[must_use]
    pub fn transaction(mut self, options: TransactionOptions) -> Self {
        self.transaction = options;
        self
    }

    /// How often the closure runs at most; zero counts as one. Defaults to 5.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The pause before the second attempt, which doubles before each further one, and how long it gets at most.
    /// Each pause is cut short by up to a half, at random. Defaults to 10 milliseconds and 500.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }

    /// After how long no further attempt is begun; one under way is not ended by it. It bounds also how long a
    /// client that is being relocated is waited for. Defaults to 30 seconds.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    fn pause(&self, number: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(2_u32.saturating_pow(number));
        let whole = doubled.min(self.longest_pause);
        // At random, so that those who met once do not meet again.
        let random = Uuid::new_v4().as_bytes()[15];
        whole.saturating_sub((whole / 512).saturating_mul(random.into()))
    }
}

impl TenantDb {
    /// Runs the closure in a transaction and commits; runs it again, in a new transaction, where that one gave way
    /// to another. Returns what the closure returns.
    ///
    /// It runs again after a serialization failure, a deadlock, and where the client moved or is being relocated:
    /// the next attempt goes where the client is then. So it may run several times, of which one commits; what it
    /// does beside its statements, it does each time. Why a statement failed is remembered by the transaction: the
    /// closure's own error type does not matter, nor does what it makes of the failure, unless it goes back to a
    /// savepoint and on from there.
    ///
    /// It does not run again after an error of the closure's own, nor after [`Error::CommitUnknown`] or a lost
    /// connection, nor where a lock was waited for in vain (SQLSTATE 55P03): that waited as long as it may, and
    /// would wait as long again. [`Error::Busy`] and [`Error::Unreachable`] were waited for, too. An attempt that failed is rolled back before the next begins, and before this
    /// returns.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let renamed = acme
    ///     .run(async |mut tx| {
    ///         let agents = sqlx::query("select id from agents for update").fetch_all(&mut *tx).await?;
    ///         tx.update("agents").set("name", "Ada").all().execute().await?;
    ///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(agents.len())
    ///     })
    ///     .await?;
    /// # assert_eq!(renamed, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What the closure returned last; those of [`begin`](Self::begin) and [`commit`](TenantTx::commit);
    /// [`Error::StatementRefused`] where the closure keeps its transaction beyond its end.
    ///
    /// # Cancel safety
    /// Dropped, nothing is left open: the attempt is rolled back behind the caller. Dropped while it commits, the
    /// transaction may or may not have committed.
    pub async fn run<T, E, F>(&self, work: impl FnMut(Attempt) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.run_with(RunOptions::default(), work).await
    }

    /// Runs the closure as [`run`](Self::run) does, in transactions of that isolation and access, and so often.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_with<T, E, F>(
        &self,
        options: RunOptions,
        mut work: impl FnMut(Attempt) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let started = Instant::now();
        let mut db = self.clone();
        let (mut runs, mut pauses) = (0, 0);
        loop {
            let ended = match db.begin_with(options.transaction).await {
                Ok(tx) => {
                    runs += 1;
                    // Where the client was found is where it is looked for first.
                    db = tx.db().clone();
                    let lent = Lent::default();
                    let outcome = work(lent.lend(tx)).await;
                    end(db.id(), lent.take(), outcome).await
                }
                Err(error) if is_overtaken(&error) => Ended::Overtaken(error.into()),
                Err(error) => Ended::Done(Err(error.into())),
            };
            let failed = match ended {
                Ended::Done(result) => return result,
                Ended::Overtaken(failed) => failed,
            };
            let pause = options.pause(pauses);
            pauses += 1;
            if runs >= options.attempts || started.elapsed().saturating_add(pause) > options.give_up_after {
                return Err(failed);
            }
            tracing::debug!(client = %db.id(), runs, ?pause, "a transaction that was overtaken is run again");
            tokio::time::sleep(pause).await;
        }
    }
}

/// How an attempt ended.
enum Ended<T, E> {
    Done(Result<T, E>),
    /// It gave way: another may do better.
    Overtaken(E),
}

/// Ends the transaction as the closure's outcome and its standing demand.
async fn end<T, E: From<Error>>(
    client: crate::ClientId,
    lent: Option<TenantTx>,
    outcome: Result<T, E>,
) -> Ended<T, E> {
    let Some(tx) = lent else {
        return Ended::Done(outcome.and_then(|_| {
            Err(E::from(Error::StatementRefused {
                client,
                what: "commit".to_owned(),
                reason: "the closure keeps its transaction",
            }))
        }));
    };
    let standing = tx.standing();
    match outcome {
        Ok(value) => match tx.commit().await {
            Ok(()) => Ended::Done(Ok(value)),
            Err(error @ Error::CommitUnknown { .. }) => Ended::Done(Err(error.into())),
            // A commit that finds the transaction failed does not say what of.
            Err(error) if standing == Standing::Overtaken || is_overtaken(&error) => {
                Ended::Overtaken(error.into())
            }
            Err(error) => Ended::Done(Err(error.into())),
        },
        Err(error) => {
            let db = tx.db().clone();
            match standing {
                // There is nobody to wait for.
                Standing::Lost => drop(tx),
                _ => {
                    if let Err(failed) = tx.rollback().await {
                        tracing::debug!(%client, error = %failed, "an attempt could not be rolled back");
                    }
                }
            }
            if standing == Standing::Overtaken || (standing == Standing::Denied && db.has_left().await) {
                Ended::Overtaken(error)
            } else {
                Ended::Done(Err(error))
            }
        }
    }
}

fn is_overtaken(error: &Error) -> bool {
    match error {
        Error::Moved { .. } | Error::Relocating { .. } => true,
        Error::Statement { source, .. } => crate::error::is_overtaken(source),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_lose_less_than_half() {
        let (first, longest) = (Duration::from_millis(10), Duration::from_millis(500));
        let options = RunOptions::default().backoff(first, longest);
        for (number, whole) in [(0, 10), (1, 20), (5, 320), (6, 500), (40, 500), (u32::MAX, 500)] {
            let (pause, whole) = (options.pause(number), Duration::from_millis(whole));
            assert!(pause > whole / 2 && pause <= whole, "{number}: {pause:?}");
        }
        let endless = options.backoff(Duration::MAX, Duration::MAX);
        assert!(endless.pause(3) > Duration::MAX / 2);
        assert_eq!(
            options.backoff(Duration::ZERO, Duration::ZERO).pause(9),
            Duration::ZERO
        );
    }
}
