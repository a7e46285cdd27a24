use std::fmt;

use serde::{Deserialize, Serialize};

/// What a step of a retrofit is about, in the order of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RetrofitPhase {
    /// The column is added, and new rows get their client.
    Columns,
    /// Rows that there are get theirs, in batches.
    Rows,
    /// That each row has one is checked.
    Constraints,
    /// The keys that lead with the client are built.
    Indexes,
    /// The foreign keys that do are added and checked.
    References,
    /// The old keys give their places and names to the new ones, and row-level security is forced.
    Protection,
    /// The roles of the old application are bound to nobody any more.
    Finish,
}

impl RetrofitPhase {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Rows => "rows",
            Self::Constraints => "constraints",
            Self::Indexes => "indexes",
            Self::References => "references",
            Self::Protection => "protection",
            Self::Finish => "finish",
        }
    }
}

impl fmt::Display for RetrofitPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a retrofit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetrofitState {
    /// Everything is being made ready that the old application does not see.
    Preparing,
    /// That is done.
    Prepared,
    /// The keys are being switched and the tables protected.
    Protecting,
    /// The tables are the tenants'; the old application goes on over its bridges.
    Protected,
    /// The bridges are closed.
    Finished,
    /// It is being undone.
    RollingBack,
    /// The tables are as they were.
    RolledBack,
}

impl RetrofitState {
    const ALL: [Self; 7] = [
        Self::Preparing,
        Self::Prepared,
        Self::Protecting,
        Self::Protected,
        Self::Finished,
        Self::RollingBack,
        Self::RolledBack,
    ];

    /// Its name, as the database has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Prepared => "prepared",
            Self::Protecting => "protecting",
            Self::Protected => "protected",
            Self::Finished => "finished",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether another may begin.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Finished | Self::RolledBack)
    }

    /// The last phase whose steps are done in it.
    pub(super) const fn reaches(self) -> RetrofitPhase {
        match self {
            Self::Preparing | Self::Prepared | Self::RollingBack | Self::RolledBack => {
                RetrofitPhase::References
            }
            Self::Protecting | Self::Protected => RetrofitPhase::Protection,
            Self::Finished => RetrofitPhase::Finish,
        }
    }
}

impl fmt::Display for RetrofitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_known_by_its_name() {
        for state in RetrofitState::ALL {
            assert_eq!(RetrofitState::named(state.as_str()), Some(state));
        }
        assert_eq!(RetrofitState::named("elsewhere"), None);
    }
}
