#![expect(
    clippy::disallowed_methods,
    reason = "changes clients in the platform database"
)]

use serde_json::{Map, Value};
use sqlx::types::Json;

use crate::client::ClientId;
use crate::directory::{PlatformDirectory, failed};
use crate::error::{Error, Result};
use crate::plan::{Features, TierName};

impl PlatformDirectory {
    /// Gives a client another tier of the hosting that it has. Its own limits and features stay with it; what its
    /// limits allowed before stays allowed for the grace of the tier that it gets.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status); [`Error::OtherHosting`] where the tier demands another hosting: the
    /// client is to be relocated; [`Error::Refused`] where there is no such tier.
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_tier(&self, id: ClientId, tier: impl Into<TierName> + Send) -> Result<()> {
        let tier = tier.into();
        let changed = self
            .change(id, "changing the tier", |update| {
                update.push("tier = ").push_bind(tier.as_str());
            })
            .await;
        let Err(Error::Refused { .. }) = &changed else {
            return changed;
        };
        // By the hosting of the tier, or because there is none: which, the rows say.
        let demanded: Option<(String, String)> = sqlx::query_as(
            "select c.hosting, t.hosting from platform.clients c, platform.tiers t where c.id = $1 and t.name = $2",
        )
        .bind(id)
        .bind(tier.as_str())
        .fetch_optional(&self.db)
        .await
        .map_err(failed("reading a tier"))?;
        match demanded.map(|(has, demanded)| (has != demanded, demanded.parse())) {
            Some((true, Ok(hosting))) => Err(Error::OtherHosting {
                client: id,
                tier,
                hosting,
            }),
            _ => changed,
        }
    }

    /// Gives a client features of its own, in place of those it had of its own; what they do not name is its tier's.
    /// One that is off here is off, whatever its tier says.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status).
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_features(&self, id: ClientId, features: &Features) -> Result<()> {
        self.change(id, "changing the features", |update| {
            update.push("feature_overrides = ").push_bind(Json(features));
        })
        .await
    }

    /// Changes these settings of a client and leaves the others, so that two who change different ones at once both
    /// do. A setting is replaced as a whole; null removes it.
    ///
    /// ```no_run
    /// # async fn example(platform: tenantry::PlatformDirectory, id: tenantry::ClientId) -> tenantry::Result<()> {
    /// let changes = serde_json::json!({ "branding": { "colour": "teal" }, "tools": ["search"], "motto": null });
    /// platform.set_settings(id, changes.as_object().unwrap()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status); [`Error::Refused`] where `branding` is no object, or `providers` or `tools`
    /// no list of texts.
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_settings(&self, id: ClientId, changes: &Map<String, Value>) -> Result<()> {
        let (gone, set): (Vec<_>, Vec<_>) = changes.iter().partition(|(_, value)| value.is_null());
        let gone: Vec<String> = gone.into_iter().map(|(name, _)| name.clone()).collect();
        let set: Map<String, Value> = set
            .into_iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.change(id, "changing the settings", |update| {
            update.push("settings = (settings - ").push_bind(gone);
            update.push("::text[]) || ").push_bind(Json(set));
        })
        .await
    }

    /// For how many days what the client's limits allowed stays allowed after they fall from now on, in place of its
    /// tier's; `None` for its tier's.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status); [`Error::Refused`] beyond 3,650.
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_grace_days(&self, id: ClientId, days: Option<u16>) -> Result<()> {
        self.change(id, "changing the grace", |update| {
            update.push("grace_days = ").push_bind(days.map(i32::from));
        })
        .await
    }

    /// For how many days what the client leaves behind is kept, in place of its tier's; `None` for its tier's.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status).
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_retention_days(&self, id: ClientId, days: Option<u16>) -> Result<()> {
        self.change(id, "changing the retention", |update| {
            update.push("retention_days = ").push_bind(days.map(i32::from));
        })
        .await
    }
}
