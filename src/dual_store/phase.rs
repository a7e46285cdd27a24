use std::fmt;
use std::str::FromStr;

/// How far a store of a client is on its way into PostgreSQL. Each phase gets along with its neighbours alone.
///
/// | phase | answers, and decides | is written as well |
/// |---|---|---|
/// | `Setup` | old | – |
/// | `DualWrite` | old | new |
/// | `DualRead` | old, compared with new | new |
/// | `CutOver` | new | old |
/// | `CleanUp` | new | – |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StorePhase {
    /// The old store alone.
    Setup,
    /// The old store; the new one is written as well, and filled.
    DualWrite,
    /// As `DualWrite`, and what is read is compared with the new store behind the reader.
    DualRead,
    /// The new store; the old one is written as well, so that there is a way back.
    CutOver,
    /// The new store alone. There is no way back.
    CleanUp,
}

/// A text that names no phase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no phase {0}")]
pub struct UnknownStorePhase(String);

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

impl StorePhase {
    /// All, in their order.
    pub const ALL: [Self; 5] = [
        Self::Setup,
        Self::DualWrite,
        Self::DualRead,
        Self::CutOver,
        Self::CleanUp,
    ];

    /// As the platform database spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::DualWrite => "dual_write",
            Self::DualRead => "dual_read",
            Self::CutOver => "cut_over",
            Self::CleanUp => "clean_up",
        }
    }

    /// The phase after it; `None` after the last.
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| *phase > self)
    }

    /// The phase before it, where a way leads back.
    pub fn previous(self) -> Option<Self> {
        match self {
            Self::Setup | Self::CleanUp => None,
            Self::DualWrite => Some(Self::Setup),
            Self::DualRead => Some(Self::DualWrite),
            Self::CutOver => Some(Self::DualRead),
        }
    }

    /// Which store decides.
    pub(super) const fn truth(self) -> Side {
        match self {
            Self::Setup | Self::DualWrite | Self::DualRead => Side::Old,
            Self::CutOver | Self::CleanUp => Side::New,
        }
    }

    /// The store that is written as well, if there is one.
    pub(super) const fn second(self) -> Option<Side> {
        match self {
            Self::Setup | Self::CleanUp => None,
            Self::DualWrite | Self::DualRead => Some(Side::New),
            Self::CutOver => Some(Side::Old),
        }
    }
}

impl Side {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

impl fmt::Display for StorePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StorePhase {
    type Err = UnknownStorePhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|phase| phase.as_str() == text);
        found.ok_or_else(|| UnknownStorePhase(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_leads_to_its_neighbours_and_the_last_nowhere() {
        for pair in StorePhase::ALL.windows(2) {
            assert_eq!(pair[0].next(), Some(pair[1]));
            assert_eq!(
                pair[1].previous(),
                (pair[1] != StorePhase::CleanUp).then_some(pair[0])
            );
            assert_eq!(pair[0].as_str().parse(), Ok(pair[0]));
        }
        assert_eq!(StorePhase::CleanUp.next(), None);
        assert!("cut over".parse::<StorePhase>().is_err());
    }
}
