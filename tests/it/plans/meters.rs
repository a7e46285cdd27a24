use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, ClientRecord, ClientRef, Directory, Error, Limit, Limits,
    PlatformDirectory, PoolId, PoolRecord, TierCatalog,
};

use super::{Outcome, platform_connection};
use crate::sql::run;
use crate::support::HOST;

const CALLS: Limit = Limit::API_CALLS_PER_MONTH;

/// What was taken of this month and the months before.
async fn used(fixture: &Fixture, client: ClientId) -> tenantry::Result<Vec<i64>> {
    let usage = fixture.platform().usage(client).await?;
    Ok(usage.iter().map(|usage| usage.used).collect())
}

async fn limit(fixture: &Fixture, client: ClientId, most: Option<i64>) -> tenantry::Result<()> {
    let limits = Limits::default().with(CALLS, most);
    fixture.platform().set_limits(client, &limits).await
}

#[tokio::test]
async fn processes_together_never_pass_the_limit_of_the_month_and_reach_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    limit(&fixture, acme, Some(500)).await?;
    let processes = join_all((0..4).map(|_| fixture.manager())).await;
    let processes = processes.into_iter().collect::<Result<Vec<_>, _>>()?;
    let calls = processes.iter().map(|process| async move {
        let db = process.tenant(acme).await?;
        let calls = join_all((0..200).map(|_| db.meter(CALLS))).await;
        let refused: Vec<_> = calls.into_iter().filter_map(Result::err).collect();
        assert!(
            refused.iter().all(|error| matches!(
                error,
                Error::LimitReached {
                    allowed: 500,
                    used: 500,
                    ..
                }
            )),
            "{refused:?}"
        );
        Ok::<_, Error>((db, 200 - refused.len()))
    });
    let counted = join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    // One that had enough may hold a rest, which is good until it is used.
    let mut all = 0;
    for (db, counted) in counted {
        all += counted;
        while db.meter(CALLS).await.is_ok() {
            all += 1;
        }
    }
    assert_eq!((all, used(&fixture, acme).await?), (500, vec![500]));

    // A plan that changed is heeded with the next block, whatever route the handle is of.
    let db = processes[0].tenant(acme).await?;
    let refused = db.meter(CALLS).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("has used 500 of 500 api_calls_per_month"),
        "{refused}"
    );
    limit(&fixture, acme, Some(510)).await?;
    db.meter_many(CALLS, 10).await?;
    assert!(matches!(db.meter(CALLS).await, Err(Error::LimitReached { .. })));
    fixture.platform().apply_tiers(&TierCatalog::agents()).await?;
    fixture.platform().set_tier(acme, "starter").await?;
    fixture.platform().set_limits(acme, &Limits::default()).await?;
    db.meter(CALLS).await?;
    let refused = db.meter_many(CALLS, 20_000).await.unwrap_err();
    assert!(
        matches!(&refused, Error::LimitReached { lifted_by: Some(tier), .. } if tier.as_str() == "professional"),
        "{refused}"
    );
    for process in processes {
        process.close().await;
    }
    assert_eq!(used(&fixture, acme).await?, [511]);
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_a_process_did_not_use_it_gives_back() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    // Unlimited, and counted all the same.
    let options = fixture.manager_options().meter_block(50).max_meters(1);
    let manager = ClientConnectionManager::connect(options).await?;
    let db = manager.tenant(acme).await?;
    // A caller that gives up loses no block.
    assert!(db.meter(CALLS).now_or_never().is_none());
    for _ in 0..49 {
        db.meter(CALLS).await?;
    }
    assert_eq!(used(&fixture, acme).await?, [50]);
    db.meter_many(CALLS, 60).await?;
    assert_eq!(used(&fixture, acme).await?, [110]);
    db.meter(CALLS).await?;
    assert_eq!(used(&fixture, acme).await?, [160]);

    // A meter makes room for another, and gives back what it holds.
    manager.tenant(bolt).await?.meter(CALLS).await?;
    manager.close().await;
    assert_eq!(
        (used(&fixture, acme).await?, used(&fixture, bolt).await?),
        (vec![111], vec![1])
    );
    assert!(matches!(db.meter(CALLS).await, Err(Error::Closed)));

    // Another month is counted anew.
    run(
        &mut conn,
        "update platform.usage set month = month - interval '1 month'",
    )
    .await;
    let manager = fixture.manager().await?;
    manager.tenant(acme).await?.meter(CALLS).await?;
    manager.close().await;
    assert_eq!(used(&fixture, acme).await?, [1, 111]);
    let usage = fixture.platform().usage(acme).await?;
    assert!(usage[0].month > usage[1].month, "{usage:?}");

    let refused = db.meter(Limit::MAX_DOCUMENTS).await.unwrap_err();
    assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
    fixture.close().await;
    Ok(())
}

/// A directory of the host's own, that meters nothing.
#[derive(Debug)]
struct Plain(PlatformDirectory);

#[async_trait]
impl Directory for Plain {
    async fn client(&self, client: &ClientRef) -> tenantry::Result<Option<ClientRecord>> {
        self.0.client(client).await
    }

    async fn pool(&self, pool: PoolId) -> tenantry::Result<Option<PoolRecord>> {
        self.0.pool(pool).await
    }
}

#[tokio::test]
async fn a_directory_without_meters_says_so_and_counts_tables_all_the_same() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let limits = Limits::default()
        .with(Limit::MAX_DOCUMENTS, Some(0))
        .with(CALLS, Some(5));
    fixture.platform().set_limits(acme, &limits).await?;
    let directory = Arc::new(Plain(fixture.platform().clone()));
    let options = fixture
        .manager_options()
        .counts("documents", Limit::MAX_DOCUMENTS);
    let manager = ClientConnectionManager::with_directory(directory, options);
    let db = manager.tenant(acme).await?;
    assert!(matches!(db.meter(CALLS).await, Err(Error::Unsupported { .. })));
    let refused = db
        .insert("documents")
        .set("title", "x")
        .execute()
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            Error::LimitReached {
                allowed: 0,
                used: 0,
                lifted_by: None,
                ..
            }
        ),
        "{refused:?}"
    );
    manager.close().await;
    fixture.close().await;
    Ok(())
}
