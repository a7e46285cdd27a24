use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::directory::Change;

/// Tells whether what was read from the directory still holds.
///
/// Every client, pool and tier that a route was made of has a mark, which counts its changes. A route that was
/// resolved under another count is stale, in whosever hands it is.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// Counts the times that everything may have changed.
    era: AtomicU64,
    /// Whether changes are heard of.
    heard: AtomicBool,
    /// How old a route is trusted at most while they are not.
    unheard_for: Duration,
    since: Instant,
    /// The clock as it was read last, in seconds since then: at most a tick ago while changes are heard of.
    read: AtomicU64,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    /// Counts all changes.
    count: u64,
    /// The last changes. A resolution that began before one of them may have read what was there before it.
    recent: VecDeque<Change>,
    of: HashMap<Change, Weak<AtomicU64>>,
}

/// How many changes are remembered for resolutions in flight.
const RECENT: usize = 4_096;

/// How often the clock is read for those who do not read it themselves.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// A route that is trusted for so long may be so for two ticks more.
const LONG: Duration = Duration::from_mins(1);

/// A route is made of a client, its tier and, where it shares one, its pool.
const SUBJECTS: usize = 3;

/// When a resolution began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: Instant,
    read: u64,
    count: u64,
    era: u64,
}

/// What a route was made of, as it was then.
#[derive(Debug)]
pub(crate) struct Fresh {
    freshness: Arc<Freshness>,
    asked: Asked,
    /// Whether one of them changed while it was read.
    overtaken: bool,
    marks: [Option<(Arc<AtomicU64>, u64)>; SUBJECTS],
}

impl Freshness {
    pub(crate) fn new(unheard_for: Duration) -> Self {
        Self {
            era: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            unheard_for,
            since: Instant::now(),
            read: AtomicU64::new(0),
            marks: Mutex::default(),
        }
    }

    /// A resolution begins.
    pub(crate) fn ask(&self) -> Asked {
        let count = self.marks().count;
        let at = Instant::now();
        Asked {
            at,
            read: self.seconds(at),
            count,
            era: self.era.load(Ordering::Acquire),
        }
    }

    /// That these were found as they are; stale at once where one of them changed meanwhile.
    pub(crate) fn found(self: &Arc<Self>, asked: Asked, subjects: [Option<Change>; SUBJECTS]) -> Fresh {
        let mut marks = self.marks();
        let since = usize::try_from(marks.count - asked.count).unwrap_or(usize::MAX);
        let overtaken = since > marks.recent.len()
            || marks
                .recent
                .iter()
                .rev()
                .take(since)
                .any(|change| subjects.iter().flatten().any(|subject| subject == change));
        let marks = subjects.map(|subject| {
            let mark = marks.mark(subject?);
            let count = mark.load(Ordering::Acquire);
            Some((mark, count))
        });
        Fresh {
            freshness: Arc::clone(self),
            asked,
            overtaken,
            marks,
        }
    }

    /// Whether nothing at all changed since, so that a name that led to nobody still does, and it was asked for
    /// within that time.
    pub(crate) fn is_unchanged(&self, asked: Asked, time_to_live: Duration) -> bool {
        asked.at.elapsed() < time_to_live && asked.count == self.marks().count
    }

    /// Takes note of a change: what was made of it is stale from now on.
    pub(crate) fn note(&self, change: Change) {
        let mut marks = self.marks();
        marks.count += 1;
        if change == Change::Everything {
            self.era.fetch_add(1, Ordering::AcqRel);
        } else if let Some(mark) = marks.of.get(&change).and_then(Weak::upgrade) {
            mark.fetch_add(1, Ordering::AcqRel);
        }
        if marks.recent.len() == RECENT {
            marks.recent.pop_front();
        }
        marks.recent.push_back(change);
    }

    /// Reads the clock. Whoever has [`heard`](Self::heard) does so every [`TICK`].
    pub(crate) fn tick(&self) {
        self.read
            .fetch_max(self.seconds(Instant::now()), Ordering::AcqRel);
    }

    fn seconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.since).as_secs()
    }

    /// Changes are heard of from now on. NOTIFY is lost on who does not listen, so nothing that was read before
    /// is trusted.
    pub(crate) fn heard(&self) {
        self.tick();
        self.note(Change::Everything);
        self.heard.store(true, Ordering::Release);
    }

    /// Changes are not heard of any more: age decides.
    pub(crate) fn unheard(&self) {
        self.heard.store(false, Ordering::Release);
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn mark(&mut self, subject: Change) -> Arc<AtomicU64> {
        if let Some(mark) = self.of.get(&subject).and_then(Weak::upgrade) {
            return mark;
        }
        if self.of.len() == self.of.capacity() {
            self.of.retain(|_, mark| mark.strong_count() > 0);
        }
        let mark = Arc::new(AtomicU64::new(0));
        self.of.insert(subject, Arc::downgrade(&mark));
        mark
    }
}

impl Fresh {
    /// Whether it still holds, as far as is known, and is not older than may be trusted.
    pub(crate) fn is(&self) -> bool {
        self.is_current() && (self.freshness.is_heard() || self.age() < self.freshness.unheard_for)
    }

    /// Whether it was asked for within that time, too.
    pub(crate) fn is_within(&self, time_to_live: Duration) -> bool {
        if !self.is_current() {
            return false;
        }
        if !self.freshness.is_heard() {
            return self.age() < time_to_live.min(self.freshness.unheard_for);
        }
        // Reading the clock would cost a third of a look-up.
        if time_to_live >= LONG {
            let read = self.freshness.read.load(Ordering::Relaxed);
            Duration::from_secs(read.saturating_sub(self.asked.read)) < time_to_live
        } else {
            self.age() < time_to_live
        }
    }

    fn is_current(&self) -> bool {
        !self.overtaken
            && self.asked.era == self.freshness.era.load(Ordering::Acquire)
            && self
                .marks
                .iter()
                .flatten()
                .all(|(mark, count)| mark.load(Ordering::Acquire) == *count)
    }

    fn age(&self) -> Duration {
        self.asked.at.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientId;

    const HOUR: Duration = Duration::from_hours(1);

    fn freshness() -> Arc<Freshness> {
        let freshness = Arc::new(Freshness::new(HOUR));
        freshness.heard();
        freshness
    }

    fn client() -> Change {
        Change::Client(ClientId::new())
    }

    #[test]
    fn a_change_makes_stale_what_was_made_of_it_and_nothing_else() {
        let freshness = freshness();
        let tier = Change::Tier("champion".into());
        let (acme, bolt) = (client(), client());
        let found = |client: &Change| {
            let subjects = [Some(client.clone()), Some(tier.clone()), None];
            freshness.found(freshness.ask(), subjects)
        };
        let (of_acme, of_bolt, again) = (found(&acme), found(&bolt), found(&acme));
        freshness.note(client());
        assert!(of_acme.is() && of_bolt.is() && again.is());
        freshness.note(acme.clone());
        assert!(!of_acme.is() && of_bolt.is() && !again.is());
        let of_acme = found(&acme);
        assert!(of_acme.is());
        freshness.note(tier.clone());
        assert!(!of_acme.is() && !of_bolt.is());
        let of_bolt = found(&bolt);
        freshness.note(Change::Everything);
        assert!(!of_bolt.is());
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_found() {
        let freshness = freshness();
        let acme = client();
        let subjects = || [Some(acme.clone()), None, None];
        for change in [acme.clone(), Change::Everything] {
            let asked = freshness.ask();
            freshness.note(client());
            freshness.note(change);
            freshness.note(client());
            assert!(!freshness.found(asked, subjects()).is());
        }
        let asked = freshness.ask();
        freshness.note(client());
        assert!(freshness.found(asked, subjects()).is());
        // More has changed than is remembered.
        let asked = freshness.ask();
        for _ in 0..=RECENT {
            freshness.note(client());
        }
        assert!(!freshness.found(asked, subjects()).is());
    }

    #[test]
    fn age_decides_while_changes_are_not_heard_of() {
        let freshness = Arc::new(Freshness::new(Duration::ZERO));
        let found = || freshness.found(freshness.ask(), [Some(client()), None, None]);
        assert!(!found().is(), "nobody listens");
        freshness.heard();
        let trusted = found();
        assert!(trusted.is() && trusted.is_within(HOUR) && !trusted.is_within(Duration::ZERO));
        freshness.unheard();
        assert!(!trusted.is() && !trusted.is_within(HOUR));
        freshness.heard();
        assert!(!trusted.is(), "it was read before they were heard of again");
    }

    #[test]
    fn what_is_trusted_for_long_grows_old_as_the_clock_is_read() {
        let mut freshness = Freshness::new(HOUR);
        let long = LONG + TICK;
        // As if it had begun that long ago.
        let Some(past) = freshness.since.checked_sub(2 * long) else {
            return;
        };
        freshness.heard();
        let asked = freshness.ask();
        freshness.since = past;
        let freshness = Arc::new(freshness);
        let old = freshness.found(asked, [Some(client()), None, None]);
        assert!(old.is_within(long), "the clock was not read since");
        freshness.tick();
        assert!(!old.is_within(long) && old.is_within(2 * long + 2 * TICK));
        let new = freshness.found(freshness.ask(), [Some(client()), None, None]);
        assert!(new.is_within(long));
    }

    #[test]
    fn marks_of_what_nobody_holds_are_dropped() {
        let freshness = freshness();
        for _ in 0..10_000 {
            drop(freshness.found(freshness.ask(), [Some(client()), None, None]));
        }
        assert!(freshness.marks().of.len() < 100);
    }
}
