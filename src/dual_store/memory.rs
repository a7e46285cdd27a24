use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::journal::Entry;
use super::phase::StorePhase;
use crate::error::DualStoreError;

/// The phase that readers go by, for a short time. Writers ask each time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<Option<(StorePhase, Instant)>>,
}

/// How long a phase is remembered, in every process. Before the truth changes it is announced, and nobody remembers it
/// from then on; once this has passed, nobody does any more.
pub(super) const REMEMBERED: Duration = Duration::from_secs(1);

impl Memory {
    /// The phase, where it is known.
    pub(super) fn phase(&self) -> Option<StorePhase> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .filter(|(phase, at)| *phase == StorePhase::CleanUp || at.elapsed() < REMEMBERED)
            .map(|(phase, _)| phase)
    }

    /// Remembers what was read, from the moment on that it was asked for.
    pub(super) fn keep(&self, entry: &Entry, asked: Instant) -> Result<StorePhase, DualStoreError> {
        let phase = entry.phase()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // No way leads back from the last.
        if known.is_none_or(|(phase, _)| phase != StorePhase::CleanUp) {
            *known = (!entry.announced).then_some((phase, asked));
        }
        Ok(phase)
    }

    /// Forgets what is remembered: it changed.
    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes note that no other phase will follow.
    pub(super) fn keep_last(&self) {
        let last = Some((StorePhase::CleanUp, Instant::now()));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}
