//! How a relocation tells how far it is, and how fast it goes.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tenantry::testing::Fixture;
use tenantry::{Phase, RelocationOptions};

use super::{Outcome, own_database, relocation};
use crate::sql::{connect, run};
use crate::support::{HOST, TABLES, fill};

#[tokio::test]
async fn it_tells_what_it_is_at_and_how_much_is_left() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme).await?, "acme").await?;
    let to = own_database(&fixture, "own", acme).await;
    let relocation = relocation(&fixture).options(RelocationOptions::default().plain_up_to(0));
    let events = relocation.progress();
    relocation.start(acme, &to).await?;
    let events: Vec<_> = events
        .take_while(|event| std::future::ready(event.phase != Phase::Moved))
        .collect()
        .await;
    assert!(
        events
            .iter()
            .all(|event| event.client == acme && event.rows_in_all == 7)
    );
    let mut phases: Vec<Phase> = events.iter().map(|event| event.phase).collect();
    phases.dedup();
    assert_eq!(phases, [Phase::Planned, Phase::Copying, Phase::Following]);
    let mut tables: Vec<_> = events.iter().filter_map(|event| event.table.clone()).collect();
    tables.sort();
    let mut all = TABLES.map(|table| format!("public.{table}"));
    all.sort();
    assert_eq!(tables, all);
    let last = events.last().unwrap();
    assert_eq!((last.rows, last.remaining), (7, None));
    assert!(last.bytes > 1_000 && last.bytes_per_second > 0, "{last:?}");
    let under_way = events
        .iter()
        .rfind(|event| event.phase == Phase::Copying)
        .unwrap();
    assert!(
        under_way.rows < 7 && under_way.remaining.is_some(),
        "{under_way:?}"
    );
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn it_copies_no_faster_than_it_may() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let to = own_database(&fixture, "own", acme).await;
    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let documents = format!(
        "insert into documents (client_id, title, content)
         select '{acme}', 'long', repeat('x', 1000) from generate_series(1, 200)"
    );
    run(&mut admin, &documents).await;
    let options = RelocationOptions::default()
        .plain_up_to(0)
        .max_bytes_per_second(400_000);
    let began = Instant::now();
    relocation(&fixture).options(options).start(acme, &to).await?;
    // 200 kB.
    assert!(began.elapsed() >= Duration::from_millis(500));
    fixture.close().await;
    Ok(())
}
