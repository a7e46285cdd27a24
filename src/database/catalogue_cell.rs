use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::schema::Catalogue;

/// The catalogue of an open database, read again when a name is not found in it.
#[derive(Debug)]
pub(super) struct CatalogueCell {
    current: RwLock<Arc<Catalogue>>,
    /// When it was read; held while it is read again, so that one reader serves all.
    read_at: tokio::sync::Mutex<Instant>,
}

/// A name that does not exist costs at most one reading of the catalogue in this time.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl CatalogueCell {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self {
            current: RwLock::new(Arc::new(catalogue)),
            read_at: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    pub(super) fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the catalogue again, unless that was done just now. Says whether it was.
    pub(super) async fn refresh<F>(&self, load: impl FnOnce() -> F + Send) -> Result<bool>
    where
        F: Future<Output = Result<Catalogue>> + Send,
    {
        let mut read_at = self.read_at.lock().await;
        if read_at.elapsed() < READ_AGAIN_AFTER {
            return Ok(false);
        }
        let mut catalogue = load().await?;
        catalogue.generation = self.current().generation.wrapping_add(1).max(1);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue);
        *read_at = Instant::now();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_reading_is_of_a_generation_of_its_own() {
        let cell = CatalogueCell::new(Catalogue::default());
        let read = || async { Ok(Catalogue::default()) };
        assert!(!cell.refresh(read).await.unwrap(), "it was read just now");
        assert_eq!(cell.current().generation, 0);
        for generation in 1..4 {
            *cell.read_at.lock().await = Instant::now().checked_sub(READ_AGAIN_AFTER).unwrap();
            assert!(cell.refresh(read).await.unwrap());
            assert_eq!(cell.current().generation, generation);
        }
    }
}
