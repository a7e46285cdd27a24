use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much of each thing a client may have.
///
/// The names are the host's, but for those that the crate itself heeds: [`Limits::STATEMENT_TIMEOUT_MS`],
/// [`Limits::LOCK_TIMEOUT_MS`], [`Limits::IDLE_IN_TRANSACTION_TIMEOUT_MS`] and [`Limits::MAX_CONNECTIONS`].
///
/// ```
/// use tenantry::Limits;
///
/// let limits = Limits::default().with(Limits::STATEMENT_TIMEOUT_MS, Some(2_000)).with("documents", None);
/// assert_eq!(limits.get("documents"), Some(None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Limits(BTreeMap<String, Option<i64>>);

impl Limits {
    /// The limit of that name: `None` where nothing of the name is limited, `Some(None)` where the
    /// limit is declared and unlimited, `Some(Some(n))` where at most `n` are allowed.
    pub fn get(&self, name: &str) -> Option<Option<i64>> {
        self.0.get(name).copied()
    }

    /// With a limit of that name; `None` for unlimited.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, limit: Option<i64>) -> Self {
        self.0.insert(name.into(), limit);
        self
    }

    /// The limits in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<i64>)> {
        self.0.iter().map(|(name, limit)| (name.as_str(), *limit))
    }
}

/// What a client may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Features(BTreeMap<String, bool>);

impl Features {
    /// Whether the feature is on. One that nobody declared is off.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// The names of the features that are on, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, on)| **on)
            .map(|(name, _)| name.as_str())
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
        let limits = limits(r#"{"documents": null, "sidekicks": 1}"#);
        assert_eq!(limits.get("documents"), Some(None));
        assert_eq!(limits.get("sidekicks"), Some(Some(1)));
        assert_eq!(limits.get("users"), None);
    }

    #[test]
    fn a_feature_that_nobody_declared_is_off() {
        let features: Features = serde_json::from_str(r#"{"rag": true, "voice": false}"#).unwrap();
        assert!(features.has("rag"));
        assert!(!features.has("voice"));
        assert!(!features.has("video"));
        assert_eq!(features.iter().collect::<Vec<_>>(), ["rag"]);
    }
}
