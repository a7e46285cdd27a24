use super::divergence::Divergence;
use super::dual_store::DualStore;
use super::journal::PendingRepair;
use super::phase::StorePhase;
use super::repository::Repository;
use crate::error::Result;

/// How a dual store is, in all processes together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DualStoreStatus {
    /// The phase.
    pub phase: StorePhase,
    /// Writes that the second store does not have yet.
    pub to_be_repaired: u64,
    /// Some of those, the oldest first.
    pub repairs: Vec<PendingRepair>,
    /// Writes under way, or whose processes died and that are not over for sure.
    pub under_way: u64,
    /// Records that were seen to differ, and not to agree since.
    pub diverging: u64,
    /// Whether more differ than those: as many are kept as
    /// [`keep_divergences`](crate::DualStoreOptions::keep_divergences) says. [`verify`](DualStore::verify) counts all.
    pub more_diverging: bool,
    /// Some of those.
    pub divergences: Vec<Divergence>,
    /// How often a record was found to differ, in all processes, since the second store is written: one that is found
    /// again counts again.
    pub divergences_found: u64,
    /// Whether both stores were compared in full, and held the same, since every write is in both.
    pub is_verified: bool,
    /// Why the last change of the phase was made in spite of what stood against it.
    pub stated: Option<String>,
}

impl<O: Repository, N: Repository<Record = O::Record>> DualStore<O, N> {
    /// How the store is, in all processes together.
    ///
    /// # Errors
    /// [`DualStoreError::Gone`](crate::DualStoreError::Gone); [`Error::Platform`](crate::Error::Platform).
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn status(&self) -> Result<DualStoreStatus> {
        let journal = &self.inner.journal;
        let told = self.inner.options.told;
        let entry = journal.entry().await?;
        let noted = journal.noted(None).await?;
        Ok(DualStoreStatus {
            phase: entry.phase().map_err(journal.failed("reading its status"))?,
            to_be_repaired: noted.failed.unsigned_abs(),
            repairs: journal.pending(told).await?,
            under_way: noted.under_way.unsigned_abs(),
            diverging: noted.divergences.unsigned_abs(),
            more_diverging: noted.unlisted,
            divergences: journal.divergences(told).await?,
            divergences_found: noted.found.unsigned_abs(),
            is_verified: entry.is_verified,
            stated: entry.stated,
        })
    }
}
