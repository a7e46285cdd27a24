#![expect(clippy::disallowed_methods, reason = "a set-up of the host's own")]

use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use tenantry::testing::{Fixture, PgServer};
use tenantry::{ClientSetup, Directory as _, Error, HookError, NewClient, PoolId, Provisioning, TenantTx};

use super::board::{fact, line};
use super::town::{HOST, quantile};

/// The first agent of a client.
#[derive(Debug)]
struct Guide;

#[async_trait]
impl ClientSetup for Guide {
    fn name(&self) -> &'static str {
        "guide"
    }

    async fn set_up(&self, tx: &mut TenantTx) -> Result<(), HookError> {
        sqlx::query("insert into agents (slug, name) values ('guide', 'Guide')")
            .execute(tx)
            .await?;
        Ok(())
    }
}

fn adventurer(slug: &str) -> NewClient {
    NewClient::new(slug, slug.parse().unwrap(), "adventurer")
}

/// How long it takes to create a client of a pool, and to set one up.
pub(crate) async fn latency(turns: usize) {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let manager = fixture.manager().await.unwrap();
    let platform = fixture.platform();
    let provisioning = Provisioning::new(platform.clone(), manager.clone(), &HOST).setup(Guide);
    // The first opens the pool.
    provisioning.provision(adventurer("first")).await.unwrap();
    let (mut created, mut provisioned) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        let began = Instant::now();
        platform
            .create_client(adventurer(&format!("a{turn}")))
            .await
            .unwrap();
        created.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        provisioning
            .provision(adventurer(&format!("b{turn}")))
            .await
            .unwrap();
        provisioned.push(began.elapsed().as_secs_f64());
    }
    for (name, mut times) in [
        ("creating a shared client, p50", created),
        ("provisioning a shared client with a set-up, p50", provisioned),
    ] {
        let p50 = quantile(&mut times, 0.5) * 1e3;
        let measured = format!("{p50:.1} ms (p99 {:.1} ms)", quantile(&mut times, 0.99) * 1e3);
        line(name, &measured, "<= 10 ms", p50 <= 10.0);
    }
    manager.close().await;
    fixture.close().await;
}

/// How many of 50 at once find a place where there are 49.
pub(crate) async fn last_place() {
    let server = PgServer::shared().await.unwrap();
    let fixture = Fixture::on(server, &HOST, 24, None).await.unwrap();
    let second = fixture.add_pool("pool-2", 25).await.unwrap();
    let manager = fixture.manager().await.unwrap();
    let platform = fixture.platform();
    let provisioning = Provisioning::new(platform.clone(), manager.clone(), &HOST).setup(Guide);
    let began = Instant::now();
    let asked = (0..50).map(|number| {
        let provisioning = provisioning.clone();
        async move { provisioning.provision(adventurer(&format!("a{number}"))).await }
    });
    let answers = join_all(asked).await;
    let took = began.elapsed();
    let placed = answers.iter().filter(|answer| answer.is_ok()).count();
    let full = |answer: &&Result<_, _>| matches!(answer, Err(Error::NoPoolWithRoom { .. }));
    let refused = answers.iter().filter(full).count();
    for answer in &answers {
        if let Err(error) = answer
            && !matches!(error, Error::NoPoolWithRoom { .. })
        {
            fact("a client was not set up", &error.to_string());
        }
    }
    let count = async |pool: PoolId| platform.pool(pool).await.unwrap().unwrap().client_count;
    let counts = (count(fixture.pool()).await, count(second).await);
    line(
        "50 at once where there is room for 24 and 25",
        &format!("{placed} placed, {refused} refused, {counts:?}"),
        "49, 1",
        placed == 49 && refused == 1 && counts == (24, 25),
    );
    fact(
        "50 provisioned at once",
        &format!("{:.0} ms", took.as_secs_f64() * 1e3),
    );
    manager.close().await;
    fixture.close().await;
}
