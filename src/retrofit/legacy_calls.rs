use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::client::ClientRef;

/// Calls that name no client, taken for those of one that the host states, and counted until they stop.
///
/// It is a value that the host makes and asks where it decides to: nothing falls back to it by itself.
///
/// ```
/// use tenantry::{ClientId, ClientRef, LegacyCall, LegacyCalls};
///
/// let house = ClientId::new();
/// let legacy = LegacyCalls::of(house).hook(|call: &LegacyCall<'_>| eprintln!("deprecated: {call}"));
/// let named: Option<ClientRef> = None; // what the request says
/// let client = named.unwrap_or_else(|| legacy.client("nightly-import"));
/// assert_eq!(client, ClientRef::Id(house));
/// assert_eq!(legacy.callers()[0].calls, 1);
/// ```
pub struct LegacyCalls {
    client: ClientRef,
    max_callers: usize,
    hooks: Vec<Arc<dyn DeprecationHook>>,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    callers: BTreeMap<String, Times>,
    /// Those of callers beyond the bound.
    others: Option<Times>,
}

#[derive(Clone, Copy)]
struct Times {
    calls: u64,
    first: SystemTime,
    last: SystemTime,
}

/// How many bytes of a caller's name are kept.
const LONGEST_NAME: usize = 200;

/// A call that named no client.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LegacyCall<'a> {
    /// Who called, as the host names its callers.
    pub caller: &'a str,
    /// The client that it was taken for.
    pub client: &'a ClientRef,
    /// How many such calls the caller made, this one included; of one beyond the bound, all of those together.
    pub calls: u64,
}

impl fmt::Display for LegacyCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} names no client and is taken for {} (call {})",
            self.caller, self.client, self.calls
        )
    }
}

/// A caller that names no client, as [`LegacyCalls::callers`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LegacyCaller {
    /// Its name; `None` of all beyond the bound together.
    pub caller: Option<String>,
    /// How many calls it made.
    pub calls: u64,
    /// When it made the first.
    pub first_seen: SystemTime,
    /// When it made the last.
    pub last_seen: SystemTime,
}

/// Is told of calls that name no client: to write a line, or to set a header of the answer.
///
/// It is called in the caller's own task, before the call is served. A closure is one.
pub trait DeprecationHook: Send + Sync {
    /// Such a call was made.
    fn called(&self, call: &LegacyCall<'_>);
}

impl<F> DeprecationHook for F
where
    F: Fn(&LegacyCall<'_>) + Send + Sync,
{
    fn called(&self, call: &LegacyCall<'_>) {
        self(call);
    }
}

impl LegacyCalls {
    /// Takes calls for those of that client.
    pub fn of(client: impl Into<ClientRef>) -> Self {
        Self {
            client: client.into(),
            max_callers: 1_000,
            hooks: Vec::new(),
            counted: Mutex::default(),
        }
    }

    /// One more to be told of each call. Defaults to none.
    #[must_use]
    pub fn hook(mut self, hook: impl DeprecationHook + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// How many callers are counted by name; the calls of all others are counted together. Defaults to 1,000.
    #[must_use]
    pub fn max_callers(mut self, callers: usize) -> Self {
        self.max_callers = callers;
        self
    }

    /// The client that a call without one is taken for. Counts the call, and tells the hooks. Of the caller's name 200
    /// bytes count.
    pub fn client(&self, caller: &str) -> ClientRef {
        let caller = &caller[..caller.floor_char_boundary(LONGEST_NAME)];
        let calls = self.count(caller);
        let call = LegacyCall {
            caller,
            client: &self.client,
            calls,
        };
        for hook in &self.hooks {
            hook.called(&call);
        }
        self.client.clone()
    }

    /// The callers of this process so far, by name, and at the end those beyond the bound.
    pub fn callers(&self) -> Vec<LegacyCaller> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let named = counted.callers.iter().map(|(name, times)| (Some(name), times));
        let others = counted.others.iter().map(|times| (None, times));
        let told = named.chain(others).map(|(name, times)| LegacyCaller {
            caller: name.cloned(),
            calls: times.calls,
            first_seen: times.first,
            last_seen: times.last,
        });
        told.collect()
    }

    /// When the last such call was made in this process.
    pub fn last_seen(&self) -> Option<SystemTime> {
        self.callers().into_iter().map(|caller| caller.last_seen).max()
    }

    fn count(&self, caller: &str) -> u64 {
        let now = SystemTime::now();
        let none = Times {
            calls: 0,
            first: now,
            last: now,
        };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = &mut *counted;
        let times = if let Some(times) = counted.callers.get_mut(caller) {
            times
        } else if counted.callers.len() < self.max_callers {
            counted.callers.entry(caller.to_owned()).or_insert(none)
        } else {
            counted.others.get_or_insert(none)
        };
        times.calls += 1;
        times.last = now;
        times.calls
    }
}

impl fmt::Debug for LegacyCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyCalls")
            .field("client", &self.client)
            .field("callers", &self.callers().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::client::ClientId;

    #[test]
    fn callers_are_counted_by_name_up_to_the_bound() {
        let told = Arc::new(AtomicU64::new(0));
        let hears = Arc::clone(&told);
        let house = ClientId::new();
        let legacy = LegacyCalls::of(house)
            .max_callers(2)
            .hook(move |call: &LegacyCall<'_>| {
                hears.fetch_add(call.calls, Ordering::Relaxed);
            });
        assert_eq!(legacy.last_seen(), None);
        for caller in ["import", "report", "import", "third", "fourth"] {
            assert_eq!(legacy.client(caller), ClientRef::Id(house));
        }
        let counted: Vec<_> = (legacy.callers().into_iter())
            .map(|caller| (caller.caller, caller.calls))
            .collect();
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(counted, [(named("import"), 2), (named("report"), 1), (None, 2)]);
        assert_eq!(told.load(Ordering::Relaxed), 1 + 1 + 2 + 1 + 2);
        assert!(legacy.last_seen().is_some());
    }

    #[test]
    fn a_long_name_is_cut_where_a_character_ends() {
        let legacy = LegacyCalls::of(ClientId::new());
        legacy.client(&"é".repeat(1_000));
        legacy.client(&"x".repeat(1_000));
        for caller in legacy.callers() {
            assert_eq!(caller.caller.unwrap().len(), LONGEST_NAME);
        }
    }
}
