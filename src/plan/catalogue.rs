use serde::{Deserialize, Serialize};

use super::{Limit, Limits, Tier, TierName};

/// The tiers that a platform offers, in the order that a client rises in. Pure data; serde reads and writes it as a
/// list of tiers.
///
/// ```
/// use tenantry::{Hosting, Limit, Tier, TierCatalog};
///
/// let catalog = TierCatalog::new([
///     Tier::new("small", Hosting::Shared).limit(Limit::MAX_DOCUMENTS, Some(50)),
///     Tier::new("large", Hosting::Dedicated),
/// ])?;
/// assert_eq!(catalog.lifting(&Limit::MAX_DOCUMENTS, 50).unwrap().name.as_str(), "large");
/// # Ok::<_, tenantry::InvalidCatalog>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<Tier>", into = "Vec<Tier>")]
pub struct TierCatalog(Vec<Tier>);

/// Why tiers make no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCatalog {
    /// Two tiers have one name.
    #[error("there are two tiers {tier}")]
    Duplicate {
        /// The name.
        tier: TierName,
    },
    /// A tier's name is none.
    #[error("{tier:?} is no name of a tier: 1 to 63 of a-z and 0-9, and hyphens and underscores inside")]
    Name {
        /// What was given.
        tier: String,
    },
    /// A limit is below zero.
    #[error("tier {tier} limits {limit} to {most}: a limit is not negative")]
    Negative {
        /// The tier.
        tier: TierName,
        /// The limit.
        limit: Limit,
        /// What it was to be.
        most: i64,
    },
}

impl TierCatalog {
    /// A catalogue of these tiers, the lowest first.
    ///
    /// # Errors
    /// [`InvalidCatalog`] where two tiers have one name, or one has none, or a limit is negative.
    pub fn new(tiers: impl IntoIterator<Item = Tier>) -> Result<Self, InvalidCatalog> {
        let tiers: Vec<Tier> = tiers.into_iter().collect();
        for (at, tier) in tiers.iter().enumerate() {
            if !is_tier_name(tier.name.as_str()) {
                let tier = tier.name.as_str().chars().take(100).collect();
                return Err(InvalidCatalog::Name { tier });
            }
            let name = || tier.name.clone();
            if tiers[..at].iter().any(|before| before.name == tier.name) {
                return Err(InvalidCatalog::Duplicate { tier: name() });
            }
            let negative = tier
                .limits
                .iter()
                .find_map(|(limit, most)| Some((limit, most.filter(|most| *most < 0)?)));
            if let Some((limit, most)) = negative {
                let limit = limit.clone();
                return Err(InvalidCatalog::Negative {
                    tier: name(),
                    limit,
                    most,
                });
            }
        }
        Ok(Self(tiers))
    }

    /// A catalogue of tiers that a test says are one.
    pub(super) const fn of_known(tiers: Vec<Tier>) -> Self {
        Self(tiers)
    }

    /// The tiers, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.0.iter()
    }

    /// The tier of that name.
    pub fn get(&self, name: &TierName) -> Option<&Tier> {
        self.0.iter().find(|tier| tier.name == *name)
    }

    /// The lowest tier that allows more than so many: what one who has used them up would need.
    pub fn lifting(&self, limit: &Limit, used: i64) -> Option<&Tier> {
        self.0.iter().find(|tier| tier.allows_more(limit, used))
    }

    /// The lowest tier that would let a client of that tier have more than so many. None where its limit is not its
    /// tier's: then it is the client's own, and would hold it back in any tier.
    pub(crate) fn lifting_from(
        &self,
        tier: &TierName,
        limit: &Limit,
        allowed: &Limits,
        used: i64,
    ) -> Option<&TierName> {
        let own = self.get(tier)?;
        if own.limits.get(limit).flatten() != allowed.get(limit).flatten() {
            return None;
        }
        self.lifting(limit, used).map(|tier| &tier.name)
    }
}

impl TryFrom<Vec<Tier>> for TierCatalog {
    type Error = InvalidCatalog;

    fn try_from(tiers: Vec<Tier>) -> Result<Self, InvalidCatalog> {
        Self::new(tiers)
    }
}

impl From<TierCatalog> for Vec<Tier> {
    fn from(catalog: TierCatalog) -> Self {
        catalog.0
    }
}

fn is_tier_name(name: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes
            .iter()
            .all(|byte| plain(byte) || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Hosting;

    fn tier(name: &str) -> Tier {
        Tier::new(name, Hosting::Shared)
    }

    #[test]
    fn what_is_no_catalogue_is_refused_however_it_comes() {
        let duplicate = TierCatalog::new([tier("a"), tier("b"), tier("a")]);
        assert_eq!(duplicate, Err(InvalidCatalog::Duplicate { tier: "a".into() }));
        for name in ["", "A", "-a", "a-", "a b", &"x".repeat(64)] {
            assert!(
                matches!(TierCatalog::new([tier(name)]), Err(InvalidCatalog::Name { .. })),
                "{name:?}"
            );
        }
        let negative = TierCatalog::new([tier("a").limit(Limit::MAX_USERS, Some(-1))]);
        assert!(matches!(negative, Err(InvalidCatalog::Negative { most: -1, .. })));
        for json in [
            r#"[{"name": "a", "hosting": "schema"}]"#,
            r#"[{"name": "a", "hosting": "shared"}, {"name": "a", "hosting": "shared"}]"#,
            r#"[{"name": "a", "hosting": "shared", "limits": {"No Name": 1}}]"#,
        ] {
            assert!(serde_json::from_str::<TierCatalog>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_lowest_tier_that_allows_more_lifts() {
        let catalog = TierCatalog::new([
            tier("a").limit(Limit::MAX_USERS, Some(2)),
            tier("b").limit(Limit::MAX_USERS, Some(5)),
            tier("c").limit(Limit::MAX_USERS, None),
        ])
        .unwrap();
        let lifting = |used| catalog.lifting(&Limit::MAX_USERS, used).unwrap().name.to_string();
        assert_eq!(
            (lifting(1), lifting(2), lifting(5)),
            ("a".into(), "b".into(), "c".into())
        );
        // Nothing says that it is limited.
        assert_eq!(catalog.lifting(&Limit::MAX_AGENTS, 9).unwrap().name, "a".into());
        let from = |tier: &str, own, used| {
            let limits = Limits::default().with(Limit::MAX_USERS, Some(own));
            catalog
                .lifting_from(&tier.into(), &Limit::MAX_USERS, &limits, used)
                .cloned()
        };
        assert_eq!(from("a", 2, 2), Some("b".into()));
        assert_eq!(from("a", 2, 7), Some("c".into()));
        // Its own limit, and a tier that is offered no more.
        assert_eq!(from("a", 1, 2), None);
        assert_eq!(from("gone", 2, 2), None);
    }

    #[test]
    fn a_catalogue_is_a_list_of_tiers_to_serde() {
        let catalog = TierCatalog::sidekicks();
        let json = serde_json::to_value(&catalog).unwrap();
        assert_eq!(json[0]["limits"]["max_documents"], 50);
        assert_eq!(serde_json::from_value::<TierCatalog>(json).unwrap(), catalog);
    }
}
