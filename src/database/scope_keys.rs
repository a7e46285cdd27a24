use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::ticket::TicketMint;
use crate::error::Result;
use crate::secret::ScopeKey;

/// Where the key of a pool database's kernel is read, again after the kernel refused it.
#[async_trait]
pub(crate) trait KeySource: Send + Sync + fmt::Debug {
    async fn scope_key(&self) -> Result<ScopeKey>;
}

/// The key that the tickets of a pool database are made with, as new as the kernel demands.
#[derive(Debug)]
pub(super) struct ScopeKeys {
    source: Arc<dyn KeySource>,
    mint: RwLock<Arc<TicketMint>>,
    /// When the key was read again in vain; held while it is read, so that one reader serves all.
    read_at: tokio::sync::Mutex<Option<Instant>>,
}

/// A kernel that refuses tickets of the right key costs at most one reading of it in this time.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl ScopeKeys {
    pub(super) async fn read(source: Arc<dyn KeySource>) -> Result<Self> {
        let mint = TicketMint::new(&source.scope_key().await?);
        Ok(Self {
            source,
            mint: RwLock::new(Arc::new(mint)),
            read_at: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn mint(&self) -> Arc<TicketMint> {
        Arc::clone(&self.mint.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the key again after the kernel refused a ticket of this mint. Says whether there is another key.
    pub(super) async fn renew(&self, refused: &Arc<TicketMint>) -> Result<bool> {
        let mut read_at = self.read_at.lock().await;
        if !Arc::ptr_eq(refused, &self.mint()) {
            return Ok(true);
        }
        if read_at.is_some_and(|at| at.elapsed() < READ_AGAIN_AFTER) {
            return Ok(false);
        }
        let key = self.source.scope_key().await?;
        if key.id == refused.key_id() {
            *read_at = Some(Instant::now());
            return Ok(false);
        }
        tracing::info!(key = key.id, "the scope key of a pool database was read again");
        *self.mint.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(TicketMint::new(&key));
        Ok(true)
    }
}
