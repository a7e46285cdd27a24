use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::Limit;

/// What a client may have for some time more although its limits fell. Cheap to clone.
///
/// The platform database makes it when a limit falls, and each fall has its own end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Graced>")]
pub struct Grace(Arc<[Graced]>);

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Graced {
    limit: Limit,
    allowed: Option<i64>,
    /// In seconds since 1970.
    until: u64,
}

impl Graced {
    fn until(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.until)
    }
}

impl Grace {
    /// The limits that fell: what each allowed before, `None` for unlimited, and until when it still does.
    pub fn iter(&self) -> impl Iterator<Item = (&Limit, Option<i64>, SystemTime)> {
        self.0
            .iter()
            .map(|graced| (&graced.limit, graced.allowed, graced.until()))
    }

    /// The larger of what is allowed by itself and what still is; `None` for unlimited.
    pub(crate) fn extend(&self, limit: &Limit, allowed: Option<i64>, now: SystemTime) -> Option<i64> {
        let running = self
            .0
            .iter()
            .filter(|graced| graced.limit == *limit && now < graced.until());
        running.fold(allowed, |most, graced| Some(most?.max(graced.allowed?)))
    }
}

impl From<Vec<Graced>> for Grace {
    fn from(graced: Vec<Graced>) -> Self {
        // Of most clients nothing fell: they share one that is empty.
        if graced.is_empty() {
            return Self::default();
        }
        Self(graced.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_holds_until_its_own_end() {
        let grace: Grace = serde_json::from_str(
            r#"[{"limit": "max_documents", "allowed": 50, "until": 1000},
                {"limit": "max_documents", "allowed": 20, "until": 2000},
                {"limit": "max_users", "allowed": null, "until": 1000}]"#,
        )
        .unwrap();
        let at =
            |limit, allowed, second| grace.extend(&limit, allowed, UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(at(Limit::MAX_DOCUMENTS, Some(10), 999), Some(50));
        assert_eq!(at(Limit::MAX_DOCUMENTS, Some(10), 1000), Some(20));
        assert_eq!(at(Limit::MAX_DOCUMENTS, Some(10), 2000), Some(10));
        assert_eq!(at(Limit::MAX_DOCUMENTS, Some(70), 999), Some(70));
        assert_eq!(at(Limit::MAX_DOCUMENTS, None, 999), None);
        assert_eq!(at(Limit::MAX_USERS, Some(2), 999), None);
        assert_eq!(at(Limit::MAX_USERS, Some(2), 1000), Some(2));
        assert_eq!(at(Limit::MAX_AGENTS, Some(3), 0), Some(3));
    }
}
