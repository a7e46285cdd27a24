//! Telling how far a relocation is, and keeping to its pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::phase::Phase;
use crate::client::ClientId;

/// How far a relocation is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RelocationProgress {
    /// Whose.
    pub client: ClientId,
    /// What is being done.
    pub phase: Phase,
    /// The table that it is done with, if it is one.
    pub table: Option<String>,
    /// How many rows were copied.
    pub rows: u64,
    /// How many there are to copy, as they were counted when it was planned.
    pub rows_in_all: u64,
    /// How many bytes were copied.
    pub bytes: u64,
    /// How many bytes a second.
    pub bytes_per_second: u64,
    /// How long copying the rest takes at that pace.
    pub remaining: Option<Duration>,
    /// How many changes the last pass brought over.
    pub changes: u64,
}

/// Tells those who listen.
#[derive(Debug)]
pub(super) struct Teller {
    client: ClientId,
    listeners: broadcast::Sender<RelocationProgress>,
    began: Instant,
    rows_in_all: u64,
    rows: AtomicU64,
    bytes: AtomicU64,
    bytes_per_second: Option<u64>,
}

impl Teller {
    pub(super) fn new(
        client: ClientId,
        listeners: broadcast::Sender<RelocationProgress>,
        rows_in_all: u64,
        bytes_per_second: Option<u64>,
    ) -> Self {
        Self {
            client,
            listeners,
            began: Instant::now(),
            rows_in_all,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_per_second,
        }
    }

    pub(super) fn tell(&self, phase: Phase, table: Option<&str>, changes: u64) {
        if self.listeners.receiver_count() == 0 {
            return;
        }
        let (rows, bytes) = (
            self.rows.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        );
        let elapsed = self.began.elapsed().as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate"
        )]
        let bytes_per_second = if elapsed > 0.0 {
            (bytes as f64 / elapsed) as u64
        } else {
            0
        };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let remaining = (rows > 0 && phase == Phase::Copying).then(|| {
            let left = self.rows_in_all.saturating_sub(rows) as f64;
            Duration::from_secs_f64(elapsed * left / rows as f64)
        });
        // Those who listen too slowly miss some.
        let _ = self.listeners.send(RelocationProgress {
            client: self.client,
            phase,
            table: table.map(ToOwned::to_owned),
            rows,
            rows_in_all: self.rows_in_all,
            bytes,
            bytes_per_second,
            remaining,
            changes,
        });
    }

    /// Takes note of rows that were copied, and waits where that was too fast.
    pub(super) async fn copied(&self, rows: u64, bytes: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let sent = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Some(most) = self.bytes_per_second else { return };
        #[expect(clippy::cast_precision_loss, reason = "a pace")]
        let due = Duration::from_secs_f64(sent as f64 / most as f64);
        if let Some(early) = due.checked_sub(self.began.elapsed()) {
            tokio::time::sleep(early).await;
        }
    }
}
