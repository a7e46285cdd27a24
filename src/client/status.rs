use std::fmt;
use std::str::FromStr;

/// Where a client is in its life. Only an active client is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientStatus {
    /// Being set up; not served yet.
    Provisioning,
    /// Served.
    Active,
    /// Not served until it is resumed.
    Suspended,
    /// Not served any more; its data may be erased.
    Archived,
}

impl ClientStatus {
    /// The status as the platform database spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
        }
    }
}

impl FromStr for ClientStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        [Self::Provisioning, Self::Active, Self::Suspended, Self::Archived]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

impl fmt::Display for ClientStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no [`ClientStatus`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a client status")]
pub struct UnknownStatus(String);
