use std::time::Duration;

use super::options::{ConnectionOptions, set_config};

/// How long things may take on a session, in milliseconds; 0 for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) statement: u32,
    pub(super) lock: u32,
    pub(super) idle_in_transaction: u32,
}

impl From<&ConnectionOptions> for Timeouts {
    fn from(options: &ConnectionOptions) -> Self {
        Self {
            statement: millis(options.statement_timeout),
            lock: millis(options.lock_timeout),
            idle_in_transaction: millis(options.idle_in_transaction_timeout),
        }
    }
}

impl Timeouts {
    /// The calls that set those that differ, for the session or the transaction.
    pub(super) fn set(self, from: Self, local: bool) -> Option<String> {
        let calls: Vec<String> = [
            ("statement_timeout", from.statement, self.statement),
            ("lock_timeout", from.lock, self.lock),
            (
                "idle_in_transaction_session_timeout",
                from.idle_in_transaction,
                self.idle_in_transaction,
            ),
        ]
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(name, _, to)| set_config(name, &to.to_string(), local))
        .collect();
        (!calls.is_empty()).then(|| calls.join(", "))
    }

    /// How long an answer is waited for: as long as the server may work on it, and the grace.
    pub(super) fn answer(self, grace: Duration) -> Option<Duration> {
        (self.statement > 0).then(|| Duration::from_millis(self.statement.into()) + grace)
    }
}

/// As PostgreSQL takes a timeout: in 31 bits, and at least one unless it is none.
pub(super) fn millis(timeout: Duration) -> u32 {
    let most = i32::MAX.unsigned_abs();
    if timeout.is_zero() {
        0
    } else {
        u32::try_from(timeout.as_millis()).map_or(most, |ms| ms.clamp(1, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Timeouts = Timeouts {
        statement: 30_000,
        lock: 10_000,
        idle_in_transaction: 60_000,
    };

    #[test]
    fn only_what_differs_is_set() {
        assert_eq!(POOL.set(POOL, false), None);
        let plan = Timeouts { lock: 0, ..POOL };
        assert_eq!(
            plan.set(POOL, true).as_deref(),
            Some("pg_catalog.set_config('lock_timeout', '0', true)")
        );
    }

    #[test]
    fn no_timeout_is_made_of_a_short_one() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::MAX), i32::MAX.unsigned_abs());
    }

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_statement_may_run() {
        let grace = Duration::from_secs(5);
        assert_eq!(POOL.answer(grace), Some(Duration::from_secs(35)));
        let unbounded = Timeouts { statement: 0, ..POOL };
        assert_eq!(unbounded.answer(grace), None);
    }
}
