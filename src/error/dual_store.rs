use std::time::Duration;

use super::{ErrorKind, RepositoryError};

/// Why a dual store did not do what it was asked. What is displayed holds no value of a record but its key; what a store
/// itself says is a source.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DualStoreError {
    /// One of the two stores did not do it.
    #[error("the {side} store: {source}")]
    Repository {
        /// Old or new.
        side: &'static str,
        /// Why not.
        #[source]
        source: RepositoryError,
    },
    /// A store did not answer. What was to be written may still be.
    #[error("the {side} store did not answer within {waited:?}")]
    NoAnswer {
        /// Old or new.
        side: &'static str,
        /// How long it was waited.
        waited: Duration,
    },
    /// Others were at the record, or the phase was being changed, for as long as was waited. Nothing was written.
    #[error("others are at it for longer than {waited:?}")]
    Busy {
        /// How long it was waited.
        waited: Duration,
    },
    /// It was removed from the platform database, and with it its client perhaps.
    #[error("it is not in the platform database any more")]
    Gone,
    /// What was asked for is not possible in this phase.
    #[error("{what} is not possible in the phase {phase}")]
    OutOfPhase {
        /// What was asked for.
        what: &'static str,
        /// The phase.
        phase: String,
    },
    /// Phases are taken one by one, and none leads back from the last: the old store is out of date then.
    #[error("no phase leads from {from} to {to}")]
    NoSuchStep {
        /// The phase that it is in.
        from: String,
        /// The phase that was asked for.
        to: String,
    },
    /// Somebody else changed the phase meanwhile.
    #[error("it is in the phase {phase} by now")]
    Changed {
        /// The phase that it is in.
        phase: String,
    },
    /// Writes are noted that the second store does not have yet. This cannot be waived: they would be lost.
    #[error("{pending} writes are to be repaired: {}", reasons.join("; "))]
    RepairsPending {
        /// How many.
        pending: u64,
        /// Some of them, each by its key, and why the second store does not have it.
        reasons: Vec<String>,
    },
    /// Writes under way did not end in time, or their processes died lately.
    #[error("{under_way} writes under way did not end within {waited:?}")]
    NotDrained {
        /// How many there were.
        under_way: u64,
        /// How long it was waited.
        waited: Duration,
    },
    /// Both stores were seen to differ, and not to agree since.
    #[error("{divergences} records differ{}: {}", if *and_more { ", and more" } else { "" }, examples.join("; "))]
    Diverges {
        /// How many are listed.
        divergences: u64,
        /// Whether more were seen than are listed: a comparison in full says how many, and that none does any more.
        and_more: bool,
        /// Some of them, each with its key and how it differs.
        examples: Vec<String>,
    },
    /// Both stores were not compared in full, or not since every write is in both.
    #[error("both stores were not compared in full since every write is in both")]
    NotVerified,
}

impl DualStoreError {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Repository { source, .. } => source.kind(),
            Self::NoAnswer { .. } => ErrorKind::Ambiguous,
            Self::Busy { .. }
            | Self::NotDrained { .. }
            | Self::RepairsPending { .. }
            | Self::Changed { .. } => ErrorKind::Temporary,
            Self::OutOfPhase { .. } | Self::NoSuchStep { .. } => ErrorKind::Usage,
            Self::Gone | Self::Diverges { .. } | Self::NotVerified => ErrorKind::Installation,
        }
    }
}
