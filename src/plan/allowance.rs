use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Feature, Limit};

/// How much of each thing a client may have. Cheap to clone.
///
/// The names are the host's, but for those that the crate itself heeds: [`Limit::STATEMENT_TIMEOUT_MS`],
/// [`Limit::LOCK_TIMEOUT_MS`], [`Limit::IDLE_IN_TRANSACTION_TIMEOUT_MS`] and [`Limit::MAX_CONNECTIONS`].
///
/// ```
/// use tenantry::{Limit, Limits};
///
/// let limits = Limits::default().with(Limit::STATEMENT_TIMEOUT_MS, Some(2_000)).with(Limit::MAX_DOCUMENTS, None);
/// assert_eq!(limits.get(&Limit::MAX_DOCUMENTS), Some(None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "BTreeMap<Limit, Option<i64>>", into = "BTreeMap<Limit, Option<i64>>")]
pub struct Limits(Arc<BTreeMap<Limit, Option<i64>>>);

impl Limits {
    /// The limit of that name: `None` where nothing of the name is limited, `Some(None)` where the
    /// limit is declared and unlimited, `Some(Some(n))` where at most `n` are allowed.
    pub fn get(&self, limit: &Limit) -> Option<Option<i64>> {
        self.0.get(limit).copied()
    }

    /// With a limit of that name; `None` for unlimited.
    #[must_use]
    pub fn with(mut self, limit: Limit, most: Option<i64>) -> Self {
        Arc::make_mut(&mut self.0).insert(limit, most);
        self
    }

    /// The limits in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Limit, Option<i64>)> {
        self.0.iter().map(|(limit, most)| (limit, *most))
    }
}

impl From<BTreeMap<Limit, Option<i64>>> for Limits {
    fn from(limits: BTreeMap<Limit, Option<i64>>) -> Self {
        Self(limits.into())
    }
}

impl From<Limits> for BTreeMap<Limit, Option<i64>> {
    fn from(limits: Limits) -> Self {
        Arc::unwrap_or_clone(limits.0)
    }
}

/// What a client may use. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "BTreeMap<Feature, bool>", into = "BTreeMap<Feature, bool>")]
pub struct Features(Arc<BTreeMap<Feature, bool>>);

impl Features {
    /// Whether the feature is on. One that nobody declared is off.
    pub fn has(&self, feature: &Feature) -> bool {
        self.0.get(feature).copied().unwrap_or(false)
    }

    /// With the feature on, or off.
    #[must_use]
    pub fn with(mut self, feature: Feature, on: bool) -> Self {
        Arc::make_mut(&mut self.0).insert(feature, on);
        self
    }

    /// The features that are on, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Feature> {
        self.0.iter().filter(|(_, on)| **on).map(|(feature, _)| feature)
    }
}

impl From<BTreeMap<Feature, bool>> for Features {
    fn from(features: BTreeMap<Feature, bool>) -> Self {
        Self(features.into())
    }
}

impl From<Features> for BTreeMap<Feature, bool> {
    fn from(features: Features) -> Self {
        Arc::unwrap_or_clone(features.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(json: &str) -> Limits {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn unlimited_and_undeclared_are_told_apart() {
        let limits = limits(r#"{"max_documents": null, "max_sidekicks": 1}"#);
        assert_eq!(limits.get(&Limit::MAX_DOCUMENTS), Some(None));
        assert_eq!(limits.get(&Limit::MAX_SIDEKICKS), Some(Some(1)));
        assert_eq!(limits.get(&Limit::MAX_USERS), None);
    }

    #[test]
    fn a_feature_that_nobody_declared_is_off() {
        let features: Features = serde_json::from_str(r#"{"rag": true, "voice": false}"#).unwrap();
        assert!(features.has(&Feature::RAG));
        assert!(!features.has(&Feature::VOICE));
        assert!(!features.has(&Feature::VIDEO));
        assert_eq!(features.iter().collect::<Vec<_>>(), [&Feature::RAG]);
    }
}
