use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{Record, differing_fields};

/// How a record differs in the second store from what the truth has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DivergenceKind {
    /// The second store does not have it.
    Missing,
    /// The truth does not have it.
    Extra,
    /// Both have it, and these fields differ. Their values are not told.
    Different {
        /// The names of the fields.
        fields: Vec<String>,
    },
}

/// A record that differed in both stores while nobody was writing it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// Its key.
    pub key: String,
    /// How it differs.
    pub kind: DivergenceKind,
}

impl Divergence {
    pub(super) fn between<R: Record>(key: &str, truth: Option<&R>, second: Option<&R>) -> Option<Self> {
        let kind = match (truth, second) {
            (None, None) => return None,
            (Some(_), None) => DivergenceKind::Missing,
            (None, Some(_)) => DivergenceKind::Extra,
            (Some(truth), Some(second)) => match differing_fields(truth, second) {
                fields if fields.is_empty() => return None,
                fields => DivergenceKind::Different { fields },
            },
        };
        Some(Self {
            key: key.to_owned(),
            kind,
        })
    }

    pub(super) fn of_row(key: String, kind: &str, fields: Vec<String>) -> Self {
        let kind = match kind {
            "missing" => DivergenceKind::Missing,
            "extra" => DivergenceKind::Extra,
            // The database's own constraint says that there are no others.
            _ => DivergenceKind::Different { fields },
        };
        Self { key, kind }
    }
}

impl DivergenceKind {
    /// As the platform database spells it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different { .. } => "different",
        }
    }

    pub(super) fn fields(&self) -> &[String] {
        match self {
            Self::Missing | Self::Extra => &[],
            Self::Different { fields } => fields,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.kind {
            DivergenceKind::Missing => write!(f, "{key} is missing in the second store"),
            DivergenceKind::Extra => write!(f, "{key} is in the second store alone"),
            DivergenceKind::Different { fields } => write!(f, "{key} differs in {}", fields.join(", ")),
        }
    }
}

/// How the comparisons of what was read came out, in this process, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComparisonStatistics {
    /// Both stores had the same.
    pub agreed: u64,
    /// They differed, and had the same once nobody was writing the record: it was on its way.
    pub on_its_way: u64,
    /// They differed, and a write of the record waits to be repaired.
    pub to_be_repaired: u64,
    /// The second store did not have it.
    pub missing: u64,
    /// The truth did not have it.
    pub extra: u64,
    /// Both had it, with fields that differ.
    pub different: u64,
    /// Too many were waiting.
    pub dropped: u64,
    /// A store, or the platform database, could not tell.
    pub failed: u64,
}

impl ComparisonStatistics {
    /// The comparisons that were made.
    pub fn made(&self) -> u64 {
        self.agreed + self.on_its_way + self.to_be_repaired + self.diverged()
    }

    /// Those that found a divergence.
    pub fn diverged(&self) -> u64 {
        self.missing + self.extra + self.different
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) agreed: AtomicU64,
    pub(super) on_its_way: AtomicU64,
    pub(super) to_be_repaired: AtomicU64,
    missing: AtomicU64,
    extra: AtomicU64,
    different: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Counts {
    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn diverged(&self, kind: &DivergenceKind) {
        Self::one(match kind {
            DivergenceKind::Missing => &self.missing,
            DivergenceKind::Extra => &self.extra,
            DivergenceKind::Different { .. } => &self.different,
        });
    }

    pub(super) fn read(&self) -> ComparisonStatistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ComparisonStatistics {
            agreed: of(&self.agreed),
            on_its_way: of(&self.on_its_way),
            to_be_repaired: of(&self.to_be_repaired),
            missing: of(&self.missing),
            extra: of(&self.extra),
            different: of(&self.different),
            dropped: of(&self.dropped),
            failed: of(&self.failed),
        }
    }
}
