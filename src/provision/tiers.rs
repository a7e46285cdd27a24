#![expect(
    clippy::disallowed_methods,
    reason = "writes the tiers of the platform database"
)]

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::directory::{PlatformDirectory, failed, refused};
use crate::error::{Error, Result};
use crate::plan::{Limit, Tier, TierCatalog, TierName};

/// What applying a catalogue of tiers changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedTiers {
    /// Tiers that were not there before.
    pub created: Vec<TierName>,
    /// Tiers that were there and are other now.
    pub changed: Vec<TierName>,
    /// Tiers that were there as they are.
    pub unchanged: Vec<TierName>,
    /// Tiers that were offered and are in the catalogue no more. They keep their clients, and no error names them.
    pub retired: Vec<TierName>,
}

const STEP: &str = "applying the tiers";

impl PlatformDirectory {
    /// Makes the catalogue that of the platform: all of it or nothing. Safe to run again, and by several processes at
    /// once; the last one's stays.
    ///
    /// A limit that falls does so for every client that has none of its own, after the grace of its tier. A tier that
    /// the catalogue does not have is not deleted but retired.
    ///
    /// # Errors
    /// [`Error::Refused`] where a tier that has clients is to demand another hosting, or a limit or a number of days
    /// is too large; [`Error::Platform`].
    ///
    /// # Cancel safety
    /// Dropped, all of it was applied or nothing.
    pub async fn apply_tiers(&self, catalog: &TierCatalog) -> Result<AppliedTiers> {
        let mut writing = self.write(STEP).await?;
        let mut applied = AppliedTiers::default();
        for (tier, position) in catalog.iter().zip(1_i32..) {
            let into = match write(writing.conn()?, tier, position).await? {
                Some(true) => &mut applied.created,
                Some(false) => &mut applied.changed,
                None => &mut applied.unchanged,
            };
            into.push(tier.name.clone());
        }
        let names: Vec<&str> = catalog.iter().map(|tier| tier.name.as_str()).collect();
        let retired: Vec<String> = sqlx::query_scalar(
            "with retired as (update platform.tiers set offered = false
                              where offered and name <> all ($1) returning name)
             select name from retired order by name",
        )
        .bind(names)
        .fetch_all(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        applied.retired = retired.iter().map(|name| name.as_str().into()).collect();
        writing.commit().await?;
        Ok(applied)
    }
}

/// Whether the tier is new; `None` where it was there as it is.
async fn write(conn: &mut PgConnection, tier: &Tier, position: i32) -> Result<Option<bool>> {
    let what = || format!("tier {}", tier.name);
    let too_large = |of: &str| Error::Refused {
        what: what(),
        step: STEP,
        reason: format!("its {of} are more than the database can hold"),
    };
    let sidekicks = tier
        .limits
        .get(&Limit::MAX_SIDEKICKS)
        .flatten()
        .map(i32::try_from);
    let retention = tier.retention_days.map(i32::try_from);
    let grace = i32::try_from(tier.grace_days).map_err(|_| too_large("days of grace"))?;
    sqlx::query_scalar(
        "insert into platform.tiers as t
             (name, hosting, position, max_sidekicks, limits, features, retention_days, grace_days)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (name) do update
         set hosting = excluded.hosting, position = excluded.position, max_sidekicks = excluded.max_sidekicks,
             limits = excluded.limits, features = excluded.features, retention_days = excluded.retention_days,
             grace_days = excluded.grace_days, offered = excluded.offered
         where t.* is distinct from excluded.*
         returning xmax = 0",
    )
    .bind(tier.name.as_str())
    .bind(tier.hosting.as_str())
    .bind(position)
    .bind(sidekicks.transpose().map_err(|_| too_large("sidekicks"))?)
    .bind(Json(&tier.limits))
    .bind(Json(&tier.features))
    .bind(
        retention
            .transpose()
            .map_err(|_| too_large("days of retention"))?,
    )
    .bind(grace)
    .fetch_optional(conn)
    .await
    .map_err(|source| refused(STEP, what(), source))
}
