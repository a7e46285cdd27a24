use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a tier, a row of the platform database's tier table.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TierName(Arc<str>);

impl TierName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TierName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of database that a tier demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hosting {
    /// Rows among other clients' in a pool database.
    Shared,
    /// A database of one client.
    Dedicated,
}

impl Hosting {
    /// The hosting as the platform database spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        }
    }
}

impl FromStr for Hosting {
    type Err = UnknownHosting;

    fn from_str(text: &str) -> Result<Self, UnknownHosting> {
        match text {
            "shared" => Ok(Self::Shared),
            "dedicated" => Ok(Self::Dedicated),
            other => Err(UnknownHosting(other.to_owned())),
        }
    }
}

impl fmt::Display for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no [`Hosting`]. Schema per client is not a placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hosting: shared or dedicated")]
pub struct UnknownHosting(String);
