//! Whoever works for the client while it moves.
#![expect(
    clippy::disallowed_methods,
    reason = "has tasks that write until it ends them"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tenantry::{ClientConnectionManager, ClientId, TenantDb};
use tokio::task::JoinHandle;

use super::Outcome;

/// Tasks that insert one document after the other.
pub(crate) struct Writers {
    tasks: Vec<JoinHandle<tenantry::Result<u64>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    written: AtomicU64,
    longest_micros: AtomicU64,
}

impl Writers {
    pub(crate) async fn begin(
        manager: &ClientConnectionManager,
        client: ClientId,
        tasks: usize,
    ) -> Outcome<Self> {
        let shared = Arc::new(Shared::default());
        let db = manager.tenant(client).await?;
        let tasks = (0..tasks)
            .map(|number| tokio::spawn(write(db.clone(), number, Arc::clone(&shared))))
            .collect();
        let writers = Self { tasks, shared };
        writers.have_written(100).await?;
        Ok(writers)
    }

    /// Waits until so much more was written.
    pub(crate) async fn have_written(&self, more: u64) -> Outcome<()> {
        let aim = self.shared.written.load(Ordering::Acquire) + more;
        while self.shared.written.load(Ordering::Acquire) < aim {
            if self.tasks.iter().any(JoinHandle::is_finished) {
                return Err("a writer failed".into());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The longest that a statement took, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "told to a tenth")]
    pub(crate) fn longest(&self) -> f64 {
        self.shared.longest_micros.load(Ordering::Acquire) as f64 / 1_000.0
    }

    /// How many writes were acknowledged.
    pub(crate) async fn end(self) -> Outcome<u64> {
        self.shared.stop.store(true, Ordering::Release);
        let mut written = 0;
        for task in self.tasks {
            written += task.await??;
        }
        Ok(written)
    }
}

async fn write(db: TenantDb, number: usize, shared: Arc<Shared>) -> tenantry::Result<u64> {
    let mut written = 0;
    while !shared.stop.load(Ordering::Acquire) {
        let began = Instant::now();
        let title = format!("of {number}: {written}");
        db.insert("documents").set("title", title).execute().await?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.longest_micros.fetch_max(took, Ordering::AcqRel);
        shared.written.fetch_add(1, Ordering::AcqRel);
        written += 1;
    }
    Ok(written)
}
