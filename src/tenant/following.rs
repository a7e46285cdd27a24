//! Going where a client is by now, and waiting while it is on its way.

use std::time::{Duration, Instant};

use super::db::TenantDb;
use crate::database::Database;
use crate::error::{self, Error, Result};

/// How long what was asked for has waited for its client already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    since: Option<Instant>,
    pauses: u32,
}

/// The pause before a client that is on its way is looked for again, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Patience {
    /// Waits before the next attempt. Says whether there may be one: not once so much time has passed.
    async fn pause(&mut self, most: Duration) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(self.pauses))
            .min(LONGEST_PAUSE);
        self.pauses += 1;
        if since.elapsed() + pause > most {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

impl TenantDb {
    /// Where to try again, where the client was refused here since it moved or is being relocated: the refusal came
    /// before anything was done. `None` where that is not why, or it was waited for long enough.
    pub(crate) async fn followed<T: Sync>(
        &self,
        refused: &Result<T>,
        patience: &mut Patience,
    ) -> Result<Option<Self>> {
        match refused {
            Ok(_) => Ok(None),
            // Boxed, so that what is not refused does not move the state of what is.
            Err(error) => Box::pin(self.found_again(error, patience)).await,
        }
    }

    async fn found_again(&self, refused: &Error, patience: &mut Patience) -> Result<Option<Self>> {
        let is_on_its_way = match refused {
            Error::Relocating { .. } => true,
            Error::Moved { .. } => false,
            Error::Statement { source, .. } if error::is_denied(source) && self.has_left().await => false,
            _ => return Ok(None),
        };
        let client = self.id();
        tracing::debug!(%client, is_on_its_way, "a client that moved is followed");
        loop {
            let router = self.tenant.router.upgrade().ok_or(Error::Closed)?;
            router.forget(client);
            let most = router.relocation_wait();
            // Where it is fenced it may stay.
            if is_on_its_way && !patience.pause(most).await {
                return Ok(None);
            }
            let tenant = router.resolve(client, self.tenant.record.status).await?;
            let moved = (tenant.record.epoch, tenant.record.placement)
                != (self.tenant.record.epoch, self.tenant.record.placement);
            if moved || is_on_its_way {
                return Ok(Some(Self { tenant }));
            }
            // It has left, and where to is not told yet.
            if !patience.pause(most).await {
                return Ok(None);
            }
        }
    }

    /// Whether the client's own database says that it does not serve it any more; then its route is forgotten.
    pub(super) async fn has_left(&self) -> bool {
        let has_left = match &self.tenant.database {
            Database::Pool(_) => false,
            Database::Dedicated(database) => database.has_left().await,
        };
        if has_left && let Some(router) = self.tenant.router.upgrade() {
            router.forget(self.id());
        }
        has_left
    }
}
