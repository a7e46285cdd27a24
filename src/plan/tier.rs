use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Feature, Features, Limit, Limits};

/// What a tier allows, and the hosting that it demands. Pure data.
///
/// Rates are limits by name, as [`Limit::REQUESTS_PER_SECOND`] is.
///
/// ```
/// use tenantry::{Feature, Hosting, Limit, Tier};
///
/// let team = Tier::new("team", Hosting::Shared)
///     .limit(Limit::MAX_USERS, Some(20))
///     .limit(Limit::REQUESTS_PER_SECOND, Some(50))
///     .features([Feature::SSO])
///     .retention_days(Some(90))
///     .grace_days(14);
/// assert!(team.features.has(&Feature::SSO));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Tier {
    /// Its name.
    pub name: TierName,
    /// The kind of database that it demands.
    pub hosting: Hosting,
    /// How much of each thing its clients may have.
    #[serde(default)]
    pub limits: Limits,
    /// What its clients may use.
    #[serde(default)]
    pub features: Features,
    /// For how many days what a client leaves behind is kept, `None` for ever. It is data for the host and for the
    /// end of a client: nothing is deleted by it alone.
    #[serde(default)]
    pub retention_days: Option<u32>,
    /// For how many days what a limit allowed stays allowed after it fell; 0 for not at all.
    #[serde(default)]
    pub grace_days: u32,
}

impl Tier {
    /// A tier without limits and features. Its name has 1 to 63 of a-z and 0-9, and hyphens and underscores inside;
    /// the catalogue refuses any other.
    pub fn new(name: impl Into<TierName>, hosting: Hosting) -> Self {
        Self {
            name: name.into(),
            hosting,
            limits: Limits::default(),
            features: Features::default(),
            retention_days: None,
            grace_days: 0,
        }
    }

    /// At most so many of a thing; `None` for unlimited. Defaults to a limit that is not declared, which limits
    /// nothing.
    #[must_use]
    pub fn limit(mut self, limit: Limit, most: Option<i64>) -> Self {
        self.limits = self.limits.with(limit, most);
        self
    }

    /// With these features beside those it has. Defaults to none.
    #[must_use]
    pub fn features(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        for feature in features {
            self.features = self.features.with(feature, true);
        }
        self
    }

    /// For how many days what a client leaves behind is kept. Defaults to `None`, for ever.
    #[must_use]
    pub fn retention_days(mut self, days: Option<u32>) -> Self {
        self.retention_days = days;
        self
    }

    /// For how many days what a limit allowed stays allowed after it fell. Defaults to 0: it falls at once.
    #[must_use]
    pub fn grace_days(mut self, days: u32) -> Self {
        self.grace_days = days;
        self
    }

    pub(super) fn allows_more(&self, limit: &Limit, than: i64) -> bool {
        self.limits.get(limit).flatten().is_none_or(|most| most > than)
    }
}

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

impl Serialize for TierName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TierName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| name.as_str().into())
    }
}

/// The kind of database that a tier demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
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
