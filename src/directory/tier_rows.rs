#![expect(clippy::disallowed_methods, reason = "the tiers of the platform database")]

use sqlx::PgPool;
use sqlx::types::Json;

use super::failed;
use crate::error::{Error, Result};
use crate::plan::{Features, Hosting, Limits, Tier, TierCatalog};

#[derive(sqlx::FromRow)]
struct TierRow {
    name: String,
    hosting: String,
    limits: Json<Limits>,
    features: Json<Features>,
    retention_days: Option<i32>,
    grace_days: i32,
}

/// The tiers that are offered, in their order.
pub(super) async fn offered(db: &PgPool) -> Result<TierCatalog> {
    let rows: Vec<TierRow> = sqlx::query_as(
        "select name, hosting, features, retention_days, grace_days,
                case when limits ? 'max_sidekicks' or max_sidekicks is not null
                     then limits || jsonb_build_object('max_sidekicks', max_sidekicks)
                     else limits end - 'hosting' as limits
         from platform.tiers where offered order by position, name",
    )
    .fetch_all(db)
    .await
    .map_err(failed("reading the tiers"))?;
    let tiers = rows
        .into_iter()
        .map(TierRow::into_tier)
        .collect::<Result<Vec<_>>>()?;
    TierCatalog::new(tiers).map_err(|error| invalid("the tiers", &error.to_string()))
}

impl TierRow {
    fn into_tier(self) -> Result<Tier> {
        let hosting: Hosting = self
            .hosting
            .parse()
            .map_err(|error: crate::plan::UnknownHosting| invalid(&self.name, &error.to_string()))?;
        let mut tier = Tier::new(self.name.as_str(), hosting)
            .retention_days(
                self.retention_days
                    .map(|days| u32::try_from(days).unwrap_or_default()),
            )
            .grace_days(u32::try_from(self.grace_days).unwrap_or_default());
        tier.limits = self.limits.0;
        tier.features = self.features.0;
        Ok(tier)
    }
}

fn invalid(tier: &str, reason: &str) -> Error {
    Error::Invalid {
        owner: "the platform".to_owned(),
        what: format!("tier {tier}"),
        reason: reason.to_owned(),
    }
}
