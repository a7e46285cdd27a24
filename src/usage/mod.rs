//! What clients use of what their plans allow: the tables that are counted, and the meters and rates of a process.

mod counted;
mod meter;
#[cfg(feature = "rate-limit")]
mod rate;

use std::sync::Arc;

pub(crate) use self::counted::CountedTables;
use self::meter::Meters;
#[cfg(feature = "rate-limit")]
use self::rate::Rates;
use crate::client::{ClientRecord, ClientRef};
use crate::directory::{Directory, TakenUsage};
use crate::error::{Error, Result};
use crate::plan::{Limit, TierCatalog};

/// What the plans of a manager's clients are held to.
#[derive(Debug)]
pub(crate) struct Plans {
    directory: Arc<dyn Directory>,
    pub(crate) counted: CountedTables,
    meters: Meters,
    #[cfg(feature = "rate-limit")]
    rates: Rates,
}

#[derive(Clone, Debug)]
pub(crate) struct PlanOptions {
    pub(crate) counted: CountedTables,
    /// How much is taken of a month at once.
    pub(crate) meter_block: u32,
    /// How many meters, and how many rates, are kept.
    pub(crate) max_meters: usize,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            counted: CountedTables::default(),
            meter_block: 100,
            max_meters: 100_000,
        }
    }
}

impl Plans {
    pub(crate) fn new(directory: Arc<dyn Directory>, options: PlanOptions) -> Self {
        Self {
            counted: options.counted,
            meters: Meters::new(
                Arc::clone(&directory),
                options.meter_block.into(),
                options.max_meters,
            ),
            #[cfg(feature = "rate-limit")]
            rates: Rates::new(options.max_meters),
            directory,
        }
    }

    /// Counts so many calls of this month.
    pub(crate) async fn meter(&self, client: &ClientRecord, limit: &Limit, calls: u32) -> Result<()> {
        match self.meters.take(client.id, limit, calls.into()).await? {
            None => Ok(()),
            Some(TakenUsage { used, allowed, .. }) => {
                let allowed = allowed.unwrap_or_default();
                let newest = self.newest(client).await;
                Err(self.reached(&newest, limit, allowed, used, calls.into()).await)
            }
        }
    }

    #[cfg(feature = "rate-limit")]
    pub(crate) fn check_rate(&self, client: &ClientRecord, limit: Limit) -> Result<()> {
        let Some(period) = limit.period() else {
            return Err(Error::StatementRefused {
                client: client.id,
                what: format!("the rate {limit}"),
                reason: "its name says no time: _per_second, _per_minute, _per_hour or _per_day",
            });
        };
        let Some(most) = client.limit(&limit) else {
            return Ok(());
        };
        let checked = self.rates.check(client.id, &limit, most, period);
        checked.map_err(|retry_after| Error::RateLimited {
            client: client.id,
            limit,
            retry_after,
        })
    }

    /// The client as the directory has it now: a route may be older than the plan. As it was, where it does not say.
    pub(crate) async fn newest(&self, client: &ClientRecord) -> ClientRecord {
        match self.directory.client(&ClientRef::Id(client.id)).await {
            Ok(Some(newest)) => newest,
            Ok(None) => client.clone(),
            Err(error) => {
                tracing::warn!(client = %client.id, %error, "the plan could not be read");
                client.clone()
            }
        }
    }

    /// The error of a limit that so much more would exceed, with the tier that would take it.
    pub(crate) async fn reached(
        &self,
        client: &ClientRecord,
        limit: &Limit,
        allowed: i64,
        used: i64,
        asked: i64,
    ) -> Error {
        let needed = used.saturating_add(asked).saturating_sub(1);
        let tiers = self.directory.tiers().await.unwrap_or_else(|error| {
            // What was refused stays refused, only without the advice.
            tracing::warn!(client = %client.id, %error, "the tiers could not be read");
            TierCatalog::default()
        });
        Error::LimitReached {
            client: client.id,
            limit: limit.clone(),
            allowed,
            used,
            lifted_by: tiers
                .lifting_from(&client.tier, limit, &client.limits, needed)
                .cloned(),
        }
    }

    /// Gives back what the meters hold, and meters no more.
    pub(crate) async fn close(&self) {
        self.meters.close().await;
    }
}

#[cfg(test)]
mod nowhere {
    use async_trait::async_trait;

    use super::*;
    use crate::client::PoolId;
    use crate::directory::PoolRecord;

    #[derive(Debug)]
    struct Nowhere;

    #[async_trait]
    impl Directory for Nowhere {
        async fn client(&self, _client: &ClientRef) -> Result<Option<ClientRecord>> {
            Ok(None)
        }

        async fn pool(&self, _pool: PoolId) -> Result<Option<PoolRecord>> {
            Ok(None)
        }
    }

    impl Default for Plans {
        fn default() -> Self {
            Self::new(Arc::new(Nowhere), PlanOptions::default())
        }
    }
}
