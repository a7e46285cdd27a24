//! How long writers wait, over many relocations.

use std::time::{Duration, Instant};

use tenantry::testing::Fixture;
use tenantry::{ClientId, RelocateTo, Relocation, RelocationOptions};

use super::board::{fact, line};
use super::movers::{HOST, Paced, admin, fill, quantile};

pub(crate) async fn measure(quick: bool) {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let second = fixture.add_pool("pool-2", 1_000).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap().id;
    fill(&mut admin(&fixture, "pool-1").await, acme, 100, 320).await;
    let pools = [RelocateTo::Pool(second), RelocateTo::Pool(fixture.pool())];
    let times = if quick { 1 } else { 200 };
    let followed = RelocationOptions::default().plain_up_to(0);
    let (fenced, waited, _) = over(&fixture, acme, &pools, times, followed).await;
    let (median, worst) = (quantile(&fenced, 0.5), quantile(&fenced, 0.99));
    let measured = format!("p50 {median:.1} ms, p99 {worst:.1} ms");
    let target = median <= 15.0 && worst <= 150.0;
    line(
        "writers kept out, 1,000 rows, followed",
        &measured,
        "15, 150",
        target,
    );
    let measured = format!(
        "p50 {:.1} ms, p99 {:.1} ms",
        quantile(&waited, 0.5),
        quantile(&waited, 0.99)
    );
    fact("  the longest write of each, end to end", &measured);

    let (fenced, waited, took) = over(
        &fixture,
        acme,
        &pools,
        times / 4 + 1,
        RelocationOptions::default(),
    )
    .await;
    let median = quantile(&fenced, 0.5);
    line(
        "writers kept out, 1,000 rows, plain",
        &format!("p50 {median:.1} ms"),
        "100",
        median <= 100.0,
    );
    fact(
        "  the longest write of each, end to end",
        &format!("p50 {:.1} ms", quantile(&waited, 0.5)),
    );
    fact(
        "  from call to answer",
        &format!("p50 {:.1} ms", quantile(&took, 0.5)),
    );
    fixture.close().await;
}

/// How long writers were kept out, the longest write, and all of it, of each relocation.
async fn over(
    fixture: &Fixture,
    client: ClientId,
    pools: &[RelocateTo; 2],
    times: usize,
    options: RelocationOptions,
) -> (Vec<Duration>, Vec<Duration>, Vec<Duration>) {
    let manager = fixture.manager().await.unwrap();
    manager.hears_changes().await;
    let relocation = Relocation::new(fixture.platform().clone()).options(options);
    let (mut fenced, mut longest, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for time in 0..times * 2 {
        let writers = Paced::begin(vec![manager.tenant(client).await.unwrap(); 4], 400).await;
        let began = Instant::now();
        let moved = relocation.start(client, &pools[time % 2]).await.unwrap();
        took.push(began.elapsed());
        let written = writers.end().await;
        longest.extend(written.last());
        fenced.push(Duration::from_micros(moved.certificate.unwrap().fenced_micros));
        relocation.complete(client).await.unwrap();
        if time + 1 >= times && time % 2 == 1 {
            break;
        }
    }
    manager.close().await;
    for times in [&mut fenced, &mut longest, &mut took] {
        times.sort();
    }
    (fenced, longest, took)
}
