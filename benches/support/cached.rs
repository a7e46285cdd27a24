use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use moka::future::Cache;
use tenantry::{ClientConnectionManager, ClientRef};
use tokio::runtime::Handle;

/// How long so many look-ups of a client that is remembered take.
pub(crate) fn tenant(
    handle: &Handle,
    manager: &ClientConnectionManager,
    client: &ClientRef,
    turns: u64,
) -> Duration {
    handle.block_on(async {
        let started = Instant::now();
        for _ in 0..turns {
            black_box(manager.tenant(black_box(client)).await.unwrap());
        }
        started.elapsed()
    })
}

/// A cache as the manager has one, to hold a look-up against.
pub(crate) fn bare_cache(
    handle: &Handle,
    clients: impl IntoIterator<Item = ClientRef>,
) -> Cache<ClientRef, std::sync::Arc<u64>> {
    let cache = Cache::builder()
        .max_capacity(100_000)
        .time_to_live(Duration::from_hours(1))
        .build();
    handle.block_on(async {
        for client in clients {
            cache.insert(client, std::sync::Arc::new(1)).await;
        }
        cache.run_pending_tasks().await;
    });
    cache
}

/// How long so many look-ups in a bare cache take.
pub(crate) fn bare(
    handle: &Handle,
    cache: &Cache<ClientRef, std::sync::Arc<u64>>,
    client: &ClientRef,
    turns: u64,
) -> Duration {
    handle.block_on(async {
        let started = Instant::now();
        for _ in 0..turns {
            let client = black_box(client).clone();
            black_box(cache.get(&client).await.unwrap());
        }
        started.elapsed()
    })
}

/// How long it takes two threads that do so many turns each at once, each by its own number.
pub(crate) fn at_once(turns: u64, work: impl Fn(usize, u64) -> Duration + Sync) -> Duration {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            start.wait();
            work(1, turns)
        });
        start.wait();
        let started = Instant::now();
        work(0, turns);
        other.join().unwrap();
        started.elapsed()
    })
}
