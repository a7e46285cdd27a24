#![expect(clippy::disallowed_methods, reason = "holds records in the platform database")]

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use super::journal::{Journal, is_busy, millis};
use super::owed::Owed;
use super::phase::StorePhase;
use crate::directory::failed;
use crate::error::{DualStoreError, Error, Result};

/// Records that nobody else writes, repairs or copies meanwhile, in any process, each noted as being written.
///
/// It ends with the session that holds it, and so with the process; the notes do not. Dropped before its end, its
/// connection closes, and the records are owed to the second store.
#[derive(Debug)]
pub(super) struct Hold {
    // `None` only after it was given back.
    conn: Option<PoolConnection<Postgres>>,
    journal: Journal,
    owed: Arc<Owed>,
    keys: Vec<String>,
    notes: Vec<i64>,
    /// The phase, as it is.
    pub(super) phase: StorePhase,
    /// Keys that were noted before.
    pub(super) waiting: HashSet<String>,
}

/// What became of records that were held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Both stores have them as they are.
    Done,
    /// The truth has them, and there was no second store.
    Alone,
    /// Nothing was written.
    Unchanged,
    /// The second store does not have them.
    Failed,
}

/// What the platform database said when they were let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Let {
    /// The notes were there until then.
    Noted,
    /// They were not: the session was lost for so long that others took the write to be over.
    Overtaken,
}

/// The phase, the notes, and the keys that were noted before.
type Entered = (Option<String>, Vec<i64>, Option<Vec<String>>);

/// How much is kept of what a store said.
const LONGEST_FAILURE: usize = 300;

const ENTERING: &str = "holding records of a dual store";

impl Hold {
    /// Waits for others at the records, and for a phase that is being changed.
    pub(super) async fn take(journal: &Journal, owed: &Arc<Owed>, mut keys: Vec<String>) -> Result<Self> {
        keys.sort_unstable();
        keys.dedup();
        let conn = journal.platform.key_connection().await;
        let busy = || {
            journal.failed(ENTERING)(DualStoreError::Busy {
                waited: journal.key_wait,
            })
        };
        let mut hold = Self {
            conn: Some(conn.map_err(|error| {
                if is_busy(&error) {
                    busy()
                } else {
                    failed(ENTERING)(error)
                }
            })?),
            journal: journal.clone(),
            owed: Arc::clone(owed),
            // None yet: where it is not taken, nothing is owed.
            keys: Vec::new(),
            notes: Vec::new(),
            phase: StorePhase::Setup,
            waiting: HashSet::new(),
        };
        let entered: sqlx::Result<Entered> =
            sqlx::query_as("select phase, notes, waiting from platform.enter_store($1, $2, $3, $4)")
                .bind(journal.client)
                .bind(&*journal.name)
                .bind(&keys)
                .bind(millis(journal.key_wait))
                .fetch_one(hold.conn.as_deref_mut().ok_or(Error::Closed)?)
                .await;
        let (phase, notes, waiting) = match entered {
            Ok(entered) => entered,
            Err(error) if is_busy(&error) => return Err(busy()),
            Err(error) => return Err(failed(ENTERING)(error)),
        };
        let phase = phase.ok_or_else(|| journal.failed(ENTERING)(DualStoreError::Gone))?;
        hold.phase = phase
            .parse()
            .map_err(|_| journal.failed(ENTERING)(DualStoreError::Changed { phase }))?;
        hold.keys = keys;
        hold.notes = notes;
        hold.waiting = waiting.into_iter().flatten().collect();
        Ok(hold)
    }

    /// Lets go of some of the records.
    pub(super) async fn leave(
        &mut self,
        keys: &[String],
        became: Became,
        failure: Option<&str>,
    ) -> Result<Let> {
        if keys.is_empty() {
            return Ok(Let::Noted);
        }
        let how = match became {
            Became::Done => "done",
            Became::Alone => "alone",
            Became::Unchanged => "unchanged",
            Became::Failed => "failed",
        };
        let failure = failure.map(|text| text.chars().take(LONGEST_FAILURE).collect::<String>());
        let (kept,): (bool,) =
            sqlx::query_as("select kept from platform.leave_store($1, $2, $3, $4, $5, $6, $7)")
                .bind(self.journal.client)
                .bind(&*self.journal.name)
                .bind(keys)
                .bind(&self.notes)
                .bind(how)
                .bind(failure)
                .bind(millis(self.journal.settled_after))
                .fetch_one(self.conn.as_deref_mut().ok_or(Error::Closed)?)
                .await
                .map_err(failed("letting go of records of a dual store"))?;
        self.keys.retain(|key| !keys.contains(key));
        if self.keys.is_empty() {
            // Its session holds nothing any more: it may serve others.
            drop(self.conn.take());
        }
        // In the last phase nothing is noted.
        let noted = kept || self.phase == StorePhase::CleanUp;
        Ok(if noted { Let::Noted } else { Let::Overtaken })
    }

    /// Lets go of all.
    pub(super) async fn end(mut self, became: Became, failure: Option<&str>) -> Result<Let> {
        let keys = self.keys.clone();
        self.leave(&keys, became, failure).await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
        self.owed.add(std::mem::take(&mut self.keys));
    }
}
