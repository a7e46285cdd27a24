use super::{Feature, Hosting, Limit, Tier, TierCatalog};

/// So long stays allowed what a tier of the presets allowed before.
const GRACE_DAYS: u32 = 7;

impl TierCatalog {
    /// Adventurer, champion and paragon: a sidekick or as many as one likes, and a database of one's own from the
    /// second on. 7 days of grace.
    ///
    /// | | adventurer | champion | paragon |
    /// |---|---|---|---|
    /// | hosting | shared | dedicated | dedicated |
    /// | sidekicks | 1 | ∞ | ∞ |
    /// | documents | 50 | ∞ | ∞ |
    /// | a document, MB | 5 | 50 | ∞ |
    /// | requests a second | 5 | 50 | ∞ |
    /// | days of retention | 30 | 365 | ∞ |
    /// | features | rag | and voice, video, custom voice, api access, priority support | all |
    pub fn sidekicks() -> Self {
        let champion = [
            Feature::RAG,
            Feature::VOICE,
            Feature::VIDEO,
            Feature::CUSTOM_VOICE,
            Feature::API_ACCESS,
            Feature::PRIORITY_SUPPORT,
        ];
        let paragon = [
            Feature::WHITE_LABEL,
            Feature::CUSTOM_INTEGRATIONS,
            Feature::DEDICATED_SUPPORT,
        ];
        let tier = |name, hosting, limits: [Option<i64>; 4]| {
            let names = [
                Limit::MAX_SIDEKICKS,
                Limit::MAX_DOCUMENTS,
                Limit::MAX_DOCUMENT_MB,
                Limit::REQUESTS_PER_SECOND,
            ];
            with_limits(Tier::new(name, hosting), names, limits)
        };
        Self::of_known(vec![
            tier(
                "adventurer",
                Hosting::Shared,
                [Some(1), Some(50), Some(5), Some(5)],
            )
            .features([Feature::RAG])
            .retention_days(Some(30)),
            tier("champion", Hosting::Dedicated, [None, None, Some(50), Some(50)])
                .features(champion.clone())
                .retention_days(Some(365)),
            tier("paragon", Hosting::Dedicated, [None; 4])
                .features(champion)
                .features(paragon),
        ])
    }

    /// Free, starter, professional and enterprise: seats, agents and calls, and a database of one's own in the last.
    /// 7 days of grace.
    ///
    /// | | free | starter | professional | enterprise |
    /// |---|---|---|---|---|
    /// | hosting | shared | shared | shared | dedicated |
    /// | agents | 3 | 10 | 50 | ∞ |
    /// | users | 2 | 5 | 20 | ∞ |
    /// | documents | 100 | 500 | 5,000 | ∞ |
    /// | storage, GB | 1 | 5 | 50 | ∞ |
    /// | API calls a month | 1,000 | 10,000 | 100,000 | ∞ |
    /// | requests a second | 2 | 10 | 50 | ∞ |
    /// | days of retention | 30 | 90 | 365 | ∞ |
    /// | features | rag | and api access | and analytics, priority support, custom integrations | and sso, audit logs, sla, white label, dedicated support |
    pub fn agents() -> Self {
        let starter = [Feature::RAG, Feature::API_ACCESS];
        let professional = [
            Feature::ANALYTICS,
            Feature::PRIORITY_SUPPORT,
            Feature::CUSTOM_INTEGRATIONS,
        ];
        let enterprise = [
            Feature::SSO,
            Feature::AUDIT_LOGS,
            Feature::SLA,
            Feature::WHITE_LABEL,
            Feature::DEDICATED_SUPPORT,
        ];
        let tier = |name, hosting, limits: [Option<i64>; 6]| {
            let names = [
                Limit::MAX_AGENTS,
                Limit::MAX_USERS,
                Limit::MAX_DOCUMENTS,
                Limit::MAX_STORAGE_GB,
                Limit::API_CALLS_PER_MONTH,
                Limit::REQUESTS_PER_SECOND,
            ];
            with_limits(Tier::new(name, hosting), names, limits)
        };
        let shared = |name, limits: [i64; 6]| tier(name, Hosting::Shared, limits.map(Some));
        Self::of_known(vec![
            shared("free", [3, 2, 100, 1, 1_000, 2])
                .features([Feature::RAG])
                .retention_days(Some(30)),
            shared("starter", [10, 5, 500, 5, 10_000, 10])
                .features(starter.clone())
                .retention_days(Some(90)),
            shared("professional", [50, 20, 5_000, 50, 100_000, 50])
                .features(starter.clone())
                .features(professional.clone())
                .retention_days(Some(365)),
            tier("enterprise", Hosting::Dedicated, [None; 6])
                .features(starter)
                .features(professional)
                .features(enterprise),
        ])
    }
}

fn with_limits<const N: usize>(tier: Tier, names: [Limit; N], limits: [Option<i64>; N]) -> Tier {
    names
        .into_iter()
        .zip(limits)
        .fold(tier.grace_days(GRACE_DAYS), |tier, (name, most)| {
            tier.limit(name, most)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tier allows of each, ∞ by nothing; its hosting; and its features, by name.
    fn shown(catalog: &TierCatalog, limits: &[Limit]) -> Vec<(String, Hosting, Vec<Option<i64>>, String)> {
        let tiers = catalog.iter().map(|tier| {
            let limits = limits
                .iter()
                .map(|limit| tier.limits.get(limit).unwrap())
                .collect();
            let features: Vec<_> = tier.features.iter().map(Feature::as_str).collect();
            (tier.name.to_string(), tier.hosting, limits, features.join(" "))
        });
        tiers.collect()
    }

    #[test]
    fn the_presets_allow_what_they_say() {
        let (shared, dedicated) = (Hosting::Shared, Hosting::Dedicated);
        let limits = [Limit::MAX_SIDEKICKS, Limit::MAX_DOCUMENTS, Limit::MAX_DOCUMENT_MB];
        let all = "api_access custom_integrations custom_voice dedicated_support priority_support rag video voice white_label";
        let more = "api_access custom_voice priority_support rag video voice";
        assert_eq!(
            shown(&TierCatalog::sidekicks(), &limits),
            [
                (
                    "adventurer".into(),
                    shared,
                    vec![Some(1), Some(50), Some(5)],
                    "rag".into()
                ),
                (
                    "champion".into(),
                    dedicated,
                    vec![None, None, Some(50)],
                    more.into()
                ),
                ("paragon".into(), dedicated, vec![None, None, None], all.into()),
            ]
        );
        let limits = [
            Limit::MAX_AGENTS,
            Limit::MAX_USERS,
            Limit::MAX_DOCUMENTS,
            Limit::MAX_STORAGE_GB,
            Limit::API_CALLS_PER_MONTH,
        ];
        let all = "analytics api_access audit_logs custom_integrations dedicated_support priority_support rag sla sso white_label";
        let more = "analytics api_access custom_integrations priority_support rag";
        let some = |limits: [i64; 5]| limits.map(Some).to_vec();
        assert_eq!(
            shown(&TierCatalog::agents(), &limits),
            [
                ("free".into(), shared, some([3, 2, 100, 1, 1_000]), "rag".into()),
                (
                    "starter".into(),
                    shared,
                    some([10, 5, 500, 5, 10_000]),
                    "api_access rag".into()
                ),
                (
                    "professional".into(),
                    shared,
                    some([50, 20, 5_000, 50, 100_000]),
                    more.into()
                ),
                ("enterprise".into(), dedicated, vec![None; 5], all.into()),
            ]
        );
        for catalog in [TierCatalog::sidekicks(), TierCatalog::agents()] {
            let kept: Vec<_> = catalog.iter().map(|tier| tier.retention_days).collect();
            assert!(kept.is_sorted_by_key(|days| days.unwrap_or(u32::MAX)), "{kept:?}");
            assert!(catalog.iter().all(|tier| tier.grace_days == 7));
            let rated = |tier: &Tier| tier.limits.get(&Limit::REQUESTS_PER_SECOND).is_some();
            assert!(catalog.iter().all(rated));
            assert_eq!(TierCatalog::new(catalog.iter().cloned()), Ok(catalog));
        }
    }
}
