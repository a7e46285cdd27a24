use std::fmt::Write as _;

use crate::plan::Limits;

/// What keeps one client from holding up the others: timeouts that the server keeps, and a share of the
/// connections, both of the client's plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guards {
    /// The statements that set the timeouts, each with its semicolon; empty where the plan says nothing.
    set: String,
    /// How many connections the client may use at once; `None` where the plan says nothing.
    share: Option<usize>,
}

/// The limits of a plan, in milliseconds, and the settings that keep them.
const TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout_ms", "statement_timeout"),
    ("lock_timeout_ms", "lock_timeout"),
    (
        "idle_in_transaction_timeout_ms",
        "idle_in_transaction_session_timeout",
    ),
];

/// The limit on connections in use at once.
const CONNECTIONS: &str = "max_connections";

impl Guards {
    pub(crate) fn of(limits: &Limits) -> Self {
        let mut set = String::new();
        for (limit, setting) in TIMEOUTS {
            // Unlimited is 0 to PostgreSQL; so a limit of 0 ms is 1.
            let milliseconds = limits
                .get(limit)
                .map(|limit| limit.map_or(0, |ms| ms.clamp(1, i32::MAX.into())));
            if let Some(milliseconds) = milliseconds {
                // Writing to a String cannot fail.
                let _ = write!(set, "SET {setting} = {milliseconds}; ");
            }
        }
        let share = limits
            .get(CONNECTIONS)
            .flatten()
            .map(|share| usize::try_from(share).unwrap_or(1).max(1));
        Self { set, share }
    }

    pub(super) fn set(&self) -> &str {
        &self.set
    }

    pub(super) fn share(&self) -> Option<usize> {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_sets_timeouts_and_a_share() {
        let limits: Limits = serde_json::from_str(
            r#"{"statement_timeout_ms": 5000, "lock_timeout_ms": 0, "idle_in_transaction_timeout_ms": null,
                "max_connections": 3, "documents": 50}"#,
        )
        .unwrap();
        let guards = Guards::of(&limits);
        assert_eq!(
            guards.set(),
            "SET statement_timeout = 5000; SET lock_timeout = 1; SET idle_in_transaction_session_timeout = 0; "
        );
        assert_eq!(guards.share(), Some(3));
        assert_eq!(Guards::of(&Limits::default()), Guards::default());
    }
}
