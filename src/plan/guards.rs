use super::{Limit, Limits};

/// What a client's plan says of its use of a pool database. `None` leaves it to the pool's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guards {
    /// Timeouts in milliseconds; 0 for none.
    pub(crate) statement_timeout: Option<u32>,
    pub(crate) lock_timeout: Option<u32>,
    pub(crate) idle_in_transaction_timeout: Option<u32>,
    /// `usize::MAX` where the plan says that it is not limited.
    pub(crate) max_connections: Option<usize>,
}

/// By the limits alone: no grace delays what protects the neighbours.
impl From<&Limits> for Guards {
    fn from(limits: &Limits) -> Self {
        // PostgreSQL takes 31 bits, and 0 for no timeout: a limit of nothing is as near to it as can be.
        let timeout = |limit| {
            limits.get(&limit).map(|limit| {
                limit.map_or(0, |ms| {
                    u32::try_from(ms.clamp(1, i32::MAX.into())).unwrap_or(i32::MAX.unsigned_abs())
                })
            })
        };
        Self {
            statement_timeout: timeout(Limit::STATEMENT_TIMEOUT_MS),
            lock_timeout: timeout(Limit::LOCK_TIMEOUT_MS),
            idle_in_transaction_timeout: timeout(Limit::IDLE_IN_TRANSACTION_TIMEOUT_MS),
            max_connections: limits
                .get(&Limit::MAX_CONNECTIONS)
                .map(|limit| limit.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_bounds_what_it_names_and_leaves_the_rest() {
        let limits: Limits = serde_json::from_str(
            r#"{"statement_timeout_ms": 500, "lock_timeout_ms": null, "max_connections": 2, "documents": 5}"#,
        )
        .unwrap();
        let guards = Guards::from(&limits);
        assert_eq!(guards.statement_timeout, Some(500));
        assert_eq!(guards.lock_timeout, Some(0));
        assert_eq!(guards.idle_in_transaction_timeout, None);
        assert_eq!(guards.max_connections, Some(2));
    }

    #[test]
    fn a_timeout_of_nothing_is_not_none_at_all() {
        let limits: Limits =
            serde_json::from_str(r#"{"statement_timeout_ms": 0, "lock_timeout_ms": 99999999999}"#).unwrap();
        let guards = Guards::from(&limits);
        assert_eq!(guards.statement_timeout, Some(1));
        assert_eq!(guards.lock_timeout, Some(i32::MAX.unsigned_abs()));
    }
}
