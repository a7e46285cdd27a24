//! Another tier, with the move that it demands.
#![expect(clippy::disallowed_methods, reason = "reads what a tier demands")]

use sqlx::types::Json;

use super::options::RelocateTo;
use super::relocation::Relocation;
use super::status::RelocationStatus;
use crate::client::{ClientId, PoolId};
use crate::directory::failed;
use crate::error::{Error, RelocationError, Result};
use crate::plan::{Hosting, Limits, TierName};
use crate::provision::Provisioning;

/// What a tier would mean for a client.
struct Demanded {
    /// What it has now.
    hosting: String,
    /// What the tier demands.
    tier_hosting: String,
    limits: Limits,
}

impl Demanded {
    fn moves_to(&self, hosting: Hosting) -> bool {
        self.hosting != self.tier_hosting && self.tier_hosting == hosting.as_str()
    }
}

impl Relocation {
    /// Gives a client a tier that allows it more. Where that demands a database of its own, one is made and brought to
    /// the same schema, the client is relocated to it, and the tier is its own in the commit that says where it is: what
    /// it bought is there with its next request, in every process. Returns how the relocation stands; `None` where none
    /// was needed.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where there is no such tier; [`Error::MissingCredential`] where
    /// nothing makes databases; those of [`Provisioning::resume`] of the database; else as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start); before that a database may be left, which the next call takes.
    pub async fn upgrade(
        &self,
        provisioning: &Provisioning,
        client: ClientId,
        tier: impl Into<TierName> + Send,
    ) -> Result<Option<RelocationStatus>> {
        let tier = tier.into();
        let demanded = self.demanded(client, &tier).await?;
        if !demanded.moves_to(Hosting::Dedicated) {
            self.platform.set_tier(client, tier).await?;
            return Ok(None);
        }
        let urls = provisioning.database_for(client).await?;
        let to = RelocateTo::Dedicated {
            app_url: urls.app,
            admin_url: urls.admin,
        };
        Box::pin(self.start_with(client, &to, Some(&tier)))
            .await
            .map(Some)
    }

    /// Gives a client a tier that allows it less, where what it has fits: as many rows as count towards a limit, by the
    /// tables that [`ManagerOptions::counts`](crate::ManagerOptions::counts) names. Where the tier demands to share a
    /// pool, the client is relocated to that one, or the first with room.
    ///
    /// # Errors
    /// [`Error::Relocation`] that names what does not fit; else as [`upgrade`](Self::upgrade);
    /// [`Error::NoPoolWithRoom`].
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn downgrade(
        &self,
        provisioning: &Provisioning,
        client: ClientId,
        tier: impl Into<TierName> + Send,
        pool: Option<PoolId>,
    ) -> Result<Option<RelocationStatus>> {
        let tier = tier.into();
        let demanded = self.demanded(client, &tier).await?;
        self.expect_fit(provisioning, client, &tier, &demanded.limits)
            .await?;
        if !demanded.moves_to(Hosting::Shared) {
            self.platform.set_tier(client, tier).await?;
            return Ok(None);
        }
        let pool = match pool {
            Some(pool) => pool,
            None => self.pool_with_room(client).await?,
        };
        let to = RelocateTo::Pool(pool);
        Box::pin(self.start_with(client, &to, Some(&tier)))
            .await
            .map(Some)
    }

    async fn demanded(&self, client: ClientId, tier: &TierName) -> Result<Demanded> {
        let unknown = || Error::UnknownClient {
            client: client.into(),
        };
        let found: Option<MaybeDemanded> = sqlx::query_as(
            "select c.hosting,
                    t.hosting as tier_hosting,
                    platform.limits_of(t.limits, c.limit_overrides,
                        case when c.limit_overrides ? 'max_sidekicks' then c.max_sidekicks else t.max_sidekicks end) as limits
             from platform.clients c left join platform.tiers t on t.name = $2
             where c.id = $1 and c.deleted_at is null",
        )
        .bind(client)
        .bind(tier.as_str())
        .fetch_optional(&self.platform.db)
        .await
        .map_err(failed("reading a tier"))?;
        let demanded = found.ok_or_else(unknown)?.into_demanded();
        demanded.ok_or_else(|| Error::Refused {
            what: format!("client {client}"),
            step: "changing the tier",
            reason: format!("there is no tier {tier}"),
        })
    }

    /// Refuses a tier that allows fewer rows than there are.
    async fn expect_fit(
        &self,
        provisioning: &Provisioning,
        client: ClientId,
        tier: &TierName,
        limits: &Limits,
    ) -> Result<()> {
        let db = provisioning.manager().tenant(client).await?;
        let counted = &db.tenant.plans.counted;
        let mut reasons = Vec::new();
        for limit in counted.limits() {
            let Some(Some(allowed)) = limits.get(limit) else {
                continue;
            };
            let mut used = 0_i64;
            for table in counted.tables_of(limit) {
                let rows = db.query(table.to_owned()).count().await?;
                used = used.saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
            }
            if used > allowed {
                reasons.push(format!("{limit}: {used} of {allowed}"));
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Error::Relocation {
            client,
            step: "changing the tier",
            source: RelocationError::DoesNotFit {
                tier: tier.to_string(),
                reasons,
            },
        })
    }

    async fn pool_with_room(&self, client: ClientId) -> Result<PoolId> {
        let pool: Option<PoolId> = sqlx::query_scalar(
            "select id from platform.pools where active and client_count < capacity order by position limit 1",
        )
        .fetch_optional(&self.platform.db)
        .await
        .map_err(failed("reading pools"))?;
        pool.ok_or_else(|| Error::NoPoolWithRoom {
            slug: client.to_string(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct MaybeDemanded {
    hosting: String,
    tier_hosting: Option<String>,
    limits: Option<Json<Limits>>,
}

impl MaybeDemanded {
    fn into_demanded(self) -> Option<Demanded> {
        Some(Demanded {
            hosting: self.hosting,
            tier_hosting: self.tier_hosting?,
            limits: self.limits?.0,
        })
    }
}
