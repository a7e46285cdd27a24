use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::schema::vectors::OwnIndexes;

/// Which clients of an open database have vector indexes of their own, read again from time to time: other processes
/// make and drop them.
#[derive(Debug, Default)]
pub(crate) struct OwnIndexCell {
    read: RwLock<Option<(Instant, Arc<OwnIndexes>)>>,
}

/// An index that another process made or dropped is known of after so long. Until then a search is exact that need
/// not be, or asks for an index that is gone and is slow.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(30);

impl OwnIndexCell {
    /// Those that are known, unless whoever asks is to read them again. While one does, the others go by what was.
    pub(crate) fn known(&self) -> Option<Arc<OwnIndexes>> {
        let fresh = |(at, indexes): &(Instant, Arc<OwnIndexes>)| {
            (at.elapsed() < READ_AGAIN_AFTER).then(|| Arc::clone(indexes))
        };
        let known = self.read.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(indexes) = known.as_ref().and_then(fresh) {
            return Some(indexes);
        }
        drop(known);
        let mut known = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(indexes) = known.as_ref().and_then(fresh) {
            return Some(indexes);
        }
        if let Some((at, _)) = &mut *known {
            *at = Instant::now();
        }
        None
    }

    pub(crate) fn put(&self, indexes: Arc<OwnIndexes>) {
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), indexes));
    }
}
