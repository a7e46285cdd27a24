use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::client::ClientRecord;
use crate::plan::{Features, Limits, TierName};

/// What clients of each tier were seen with last, so that those who have the same share one copy of it: most have
/// what their tier has.
#[derive(Debug, Default)]
pub(super) struct TierPlans {
    seen: Mutex<HashMap<TierName, Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    limits: VecDeque<Limits>,
    features: VecDeque<Features>,
}

/// So many of a tier are remembered, of each: its own, and those that some clients have instead.
const OF_A_TIER: usize = 8;

/// More tiers than a platform has.
const TIERS: usize = 1_000;

impl TierPlans {
    /// Has the record share what another of its tier has as well.
    pub(super) fn share(&self, record: &mut ClientRecord) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((tier, _)) = seen.get_key_value(&record.tier) {
            record.tier = tier.clone();
        } else if seen.len() >= TIERS {
            return;
        }
        let seen = seen.entry(record.tier.clone()).or_default();
        shared(&mut seen.limits, &mut record.limits);
        shared(&mut seen.features, &mut record.features);
    }
}

fn shared<T: Clone + PartialEq>(seen: &mut VecDeque<T>, value: &mut T) {
    if let Some(same) = seen.iter().find(|seen| **seen == *value) {
        value.clone_from(same);
        return;
    }
    // The first of a tier is most likely its own, and stays.
    if seen.len() == OF_A_TIER {
        seen.remove(1);
    }
    seen.push_back(value.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Limit;

    fn limited_to(most: i64) -> Limits {
        Limits::default().with(Limit::MAX_DOCUMENTS, Some(most))
    }

    /// Whether it is one copy that both have.
    fn is_shared(one: &Limits, other: &Limits) -> bool {
        std::ptr::eq(one.iter().next().unwrap().0, other.iter().next().unwrap().0)
    }

    #[test]
    fn the_same_is_shared_and_what_differs_stays_as_it_is() {
        let mut seen = VecDeque::new();
        let (mut one, mut other, mut third) = (limited_to(5), limited_to(5), limited_to(6));
        for limits in [&mut one, &mut other, &mut third] {
            shared(&mut seen, limits);
        }
        assert!(is_shared(&one, &other) && !is_shared(&one, &third));
        assert_eq!(third, limited_to(6));
        for most in 0..100 {
            shared(&mut seen, &mut limited_to(most));
        }
        let mut late = limited_to(5);
        shared(&mut seen, &mut late);
        assert!(is_shared(&one, &late));
        assert_eq!(seen.len(), OF_A_TIER);
    }
}
