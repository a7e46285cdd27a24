use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::tx::TenantTx;

/// The transaction of one attempt of [`TenantDb::run`](crate::TenantDb::run), lent to its closure.
///
/// Use it as the [`TenantTx`] that it is: `&mut *tx` where sqlx takes an executor. It has no commit: what the
/// closure returns ends the transaction. It goes back when it is dropped, which the closure's future does as it
/// ends.
pub struct Attempt {
    // `Some` until dropped.
    tx: Option<TenantTx>,
    back: Lent,
}

/// Where a transaction that was lent comes back to.
#[derive(Clone, Default)]
pub(super) struct Lent(Arc<Mutex<Option<TenantTx>>>);

impl Lent {
    pub(super) fn lend(&self, tx: TenantTx) -> Attempt {
        Attempt {
            tx: Some(tx),
            back: self.clone(),
        }
    }

    /// The transaction, unless the borrower keeps it.
    pub(super) fn take(&self) -> Option<TenantTx> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Deref for Attempt {
    type Target = TenantTx;

    #[expect(clippy::expect_used, reason = "the transaction is taken by Drop alone")]
    fn deref(&self) -> &TenantTx {
        self.tx
            .as_ref()
            .expect("a transaction is held until it is dropped")
    }
}

impl DerefMut for Attempt {
    #[expect(clippy::expect_used, reason = "the transaction is taken by Drop alone")]
    fn deref_mut(&mut self) -> &mut TenantTx {
        self.tx
            .as_mut()
            .expect("a transaction is held until it is dropped")
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Where nobody waits for it any more, it is rolled back with the last hold on its place.
        *self.back.0.lock().unwrap_or_else(PoisonError::into_inner) = self.tx.take();
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attempt").field(&self.tx).finish()
    }
}
