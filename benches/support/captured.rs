//! What noting changes costs the server: of the client that moves, and of those beside it.

use std::time::Duration;

use tenantry::testing::Fixture;
use tenantry::{ConnectionOptions, RelocateTo, Relocation, RelocationOptions, TenantDb};

use super::backend::{pids, seconds_on_cpu};
use super::board::line;
use super::movers::{HOST, admin, fill};

pub(crate) async fn measure(quick: bool) {
    let fixture = Fixture::start(&HOST).await.unwrap();
    // Two pools alike: in one of them a client is followed.
    let mut clients = Vec::new();
    for pool in ["pool-1", "pool-2"] {
        if pool == "pool-2" {
            fixture
                .platform()
                .set_pool_active(fixture.pool(), false)
                .await
                .unwrap();
            fixture.add_pool(pool, 100).await.unwrap();
        }
        for slug in ["acme", "bolt"] {
            let client = fixture.shared_client(&format!("{slug}-{pool}")).await.unwrap().id;
            fill(&mut admin(&fixture, pool).await, client, 100, 320).await;
            clients.push(client);
        }
    }
    let third = fixture.add_pool("pool-3", 100).await.unwrap();
    let manager = {
        let one = ConnectionOptions::default().max_connections(1);
        let options = fixture.manager_options().pool_connections(one);
        tenantry::ClientConnectionManager::connect(options).await.unwrap()
    };
    let mut tenants = Vec::new();
    for client in &clients {
        tenants.push(manager.tenant(*client).await.unwrap());
    }
    // In the way of the cut-over, and of nothing else.
    let mut tx = tenants[0].begin().await.unwrap();
    tx.query("agents").count().await.unwrap();
    let hasty = RelocationOptions::default()
        .plain_up_to(0)
        .fence_attempts(1)
        .fence_budget(Duration::from_millis(300));
    let relocation = Relocation::new(fixture.platform().clone()).options(hasty);
    assert!(
        relocation
            .start(clients[0], &RelocateTo::Pool(third))
            .await
            .is_err()
    );
    tx.rollback().await.unwrap();

    let [followed, beside, plain, plain_beside] = &tenants[..] else {
        return;
    };
    for (what, ours, theirs, rows, target) in [
        ("the client, one row a statement", followed, plain, 1, 0.30),
        ("the client, 100 rows a statement", followed, plain, 100, 0.60),
        ("others, one row a statement", beside, plain_beside, 1, 0.03),
        ("others, 100 rows a statement", beside, plain_beside, 100, 0.03),
    ] {
        let mut ratios = Vec::new();
        let (rounds, turns) = if quick {
            (1, 2)
        } else {
            (40, if rows == 1 { 200 } else { 10 })
        };
        for round in 0..rounds {
            let (mut a, mut b) = (0.0, 0.0);
            // Who is first alternates.
            for turn in 0..2 {
                if (round + turn) % 2 == 0 {
                    a = cost(&fixture, (ours, "pool-1"), rows, turns).await;
                } else {
                    b = cost(&fixture, (theirs, "pool-2"), rows, turns).await;
                }
            }
            ratios.push(a / b);
        }
        ratios.sort_by(f64::total_cmp);
        let more = ratios[ratios.len() / 2] - 1.0;
        line(
            &format!("server CPU of writes noted, {what}"),
            &format!("{:+.0} %", more * 100.0),
            &format!("{:+.0} %", target * 100.0),
            more <= target,
        );
    }
    manager.close().await;
    fixture.close().await;
}

/// Seconds on a processor of so many inserts.
async fn cost(fixture: &Fixture, (db, pool): (&TenantDb, &str), rows: usize, turns: usize) -> f64 {
    let documents: Vec<_> = (0..rows)
        .map(|n| serde_json::json!({ "title": format!("{n}") }))
        .collect();
    // Binds the connection.
    db.delete("documents").all().execute().await.unwrap();
    let backends = pids(fixture, &fixture.database(pool)).await;
    let on_cpu = || {
        backends
            .iter()
            .filter_map(|pid| seconds_on_cpu(*pid))
            .sum::<f64>()
    };
    let before = on_cpu();
    for _ in 0..turns {
        if rows == 1 {
            db.insert("documents")
                .set("title", "one")
                .execute()
                .await
                .unwrap();
        } else {
            db.insert("documents")
                .records(&documents)
                .execute()
                .await
                .unwrap();
        }
    }
    on_cpu() - before
}
