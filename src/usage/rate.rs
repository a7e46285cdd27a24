use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::client::ClientId;
use crate::plan::Limit;

/// How often clients ask in this process.
pub(super) struct Rates {
    by_limit: RwLock<HashMap<(ClientId, Limit), Arc<Rate>>>,
    most: usize,
    clock: MonotonicClock,
    since: Instant,
}

struct Rate {
    most: NonZeroU32,
    period: Duration,
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    /// When it was asked last, in milliseconds since this began.
    asked: AtomicU64,
}

impl Rates {
    pub(super) fn new(most: usize) -> Self {
        Self {
            by_limit: RwLock::default(),
            most,
            clock: MonotonicClock,
            since: Instant::now(),
        }
    }

    /// Counts one, or says after how long it may be asked again.
    pub(super) fn check(
        &self,
        client: ClientId,
        limit: &Limit,
        most: i64,
        period: Duration,
    ) -> Result<(), Duration> {
        let Some(most) = NonZeroU32::new(u32::try_from(most).unwrap_or(u32::MAX)) else {
            return Err(period);
        };
        // One so often that no time is between two limits nothing.
        let Some(quota) = Quota::with_period(period / most.get()) else {
            return Ok(());
        };
        let key = (client, limit.clone());
        let found = {
            let rates = self.by_limit.read().unwrap_or_else(PoisonError::into_inner);
            rates.get(&key).filter(|rate| rate.most == most).map(Arc::clone)
        };
        let rate = found.unwrap_or_else(|| self.add(key, most, period, quota.allow_burst(most)));
        rate.asked.store(self.now(), Ordering::Relaxed);
        rate.limiter
            .check()
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    fn add(&self, key: (ClientId, Limit), most: NonZeroU32, period: Duration, quota: Quota) -> Arc<Rate> {
        let mut rates = self.by_limit.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = rates.get(&key).filter(|rate| rate.most == most) {
            return Arc::clone(rate);
        }
        if rates.len() >= self.most && !rates.contains_key(&key) {
            self.make_room(&mut rates);
        }
        let rate = Arc::new(Rate {
            most,
            period,
            limiter: RateLimiter::direct_with_clock(quota, self.clock.clone()),
            asked: AtomicU64::new(self.now()),
        });
        rates.insert(key, Arc::clone(&rate));
        rate
    }

    /// Forgets those that were not asked for as long as makes them whole again: a new one is no other. Where there
    /// are none, the one that was not asked for longest.
    fn make_room(&self, rates: &mut HashMap<(ClientId, Limit), Arc<Rate>>) {
        let now = self.now();
        let idle = |rate: &Rate| now.saturating_sub(rate.asked.load(Ordering::Relaxed));
        rates.retain(|_, rate| u128::from(idle(rate)) < rate.period.as_millis());
        if rates.len() < self.most {
            return;
        }
        let oldest = rates.iter().max_by_key(|(_, rate)| idle(rate));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            rates.remove(&key);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn so_many_pass_and_the_next_is_told_when() {
        let rates = Rates::new(10);
        let (one, other, limit) = (ClientId::new(), ClientId::new(), Limit::REQUESTS_PER_MINUTE);
        for _ in 0..3 {
            assert_eq!(rates.check(one, &limit, 3, MINUTE), Ok(()));
        }
        let after = rates.check(one, &limit, 3, MINUTE).unwrap_err();
        assert!(
            after <= Duration::from_secs(20) && after > Duration::from_secs(15),
            "{after:?}"
        );
        assert_eq!(rates.check(other, &limit, 3, MINUTE), Ok(()));
        // Another quota is another rate.
        assert_eq!(rates.check(one, &limit, 1, MINUTE), Ok(()));
        assert!(rates.check(one, &limit, 1, MINUTE).is_err());
        assert_eq!(rates.check(one, &limit, 0, MINUTE), Err(MINUTE));
        assert_eq!(rates.check(one, &limit, i64::MAX, Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn no_more_rates_are_kept_than_asked_for() {
        let rates = Rates::new(4);
        let limit = Limit::REQUESTS_PER_MINUTE;
        for _ in 0..20 {
            assert_eq!(rates.check(ClientId::new(), &limit, 1, MINUTE), Ok(()));
        }
        assert_eq!(rates.by_limit.read().unwrap().len(), 4);
    }

    #[test]
    fn room_is_made_by_the_rate_that_was_not_asked_for_longest() {
        let mut rates = Rates::new(2);
        let limit = Limit::REQUESTS_PER_MINUTE;
        // As if it had begun a while ago.
        let Some(since) = rates.since.checked_sub(MINUTE / 2) else {
            return;
        };
        rates.since = since;
        let (idle, busy, new) = (ClientId::new(), ClientId::new(), ClientId::new());
        for client in [idle, busy] {
            assert_eq!(rates.check(client, &limit, 1, MINUTE), Ok(()));
        }
        rates.by_limit.read().unwrap()[&(idle, limit.clone())]
            .asked
            .store(0, Ordering::Relaxed);
        assert_eq!(rates.check(new, &limit, 1, MINUTE), Ok(()));
        // Whoever was kept has used what it may.
        assert!(rates.check(busy, &limit, 1, MINUTE).is_err());
        assert!(rates.check(new, &limit, 1, MINUTE).is_err());
        assert_eq!(rates.check(idle, &limit, 1, MINUTE), Ok(()));
    }
}
