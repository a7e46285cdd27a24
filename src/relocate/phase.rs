use std::fmt;

/// How far a relocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Both sides were compared; nothing was touched.
    Planned,
    /// Rows are being copied.
    Copying,
    /// What changed meanwhile is being brought over.
    Following,
    /// The client is served by the target. Its rows at the source stay, and follow; it can be reverted.
    Moved,
    /// Its rows at the source are being removed.
    Completing,
    /// Its rows at the source are gone.
    Completed,
    /// It was given up; what had arrived is being removed.
    Cancelling,
    /// It was given up; the client is where it was.
    Cancelled,
    /// The client is back where it was, with what it wrote since.
    Reverted,
}

impl Phase {
    const ALL: [Self; 9] = [
        Self::Planned,
        Self::Copying,
        Self::Following,
        Self::Moved,
        Self::Completing,
        Self::Completed,
        Self::Cancelling,
        Self::Cancelled,
        Self::Reverted,
    ];

    /// Its name, as the platform database has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Copying => "copying",
            Self::Following => "following",
            Self::Moved => "moved",
            Self::Completing => "completing",
            Self::Completed => "completed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Reverted => "reverted",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }

    /// Whether nothing is left to do.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Reverted)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_known_by_its_name() {
        for phase in Phase::ALL {
            assert_eq!(Phase::named(phase.as_str()), Some(phase));
        }
        assert_eq!(Phase::named("elsewhere"), None);
    }
}
