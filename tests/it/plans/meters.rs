use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, ClientRecord, ClientRef, Directory, Error, Following, Limit, Limits,
    Month, PlatformDirectory, PoolId, PoolRecord, TakeUsage, TakenUsage, TierCatalog,
};

use super::{Outcome, platform_connection};
use crate::sql::{refused, run, until};
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
    // What is left of a block is used with the next one, and stays where there is none to be had.
    run(
        &mut conn,
        "create trigger refuse before update on platform.usage
         for each statement execute function platform.refuse('not now')",
    )
    .await;
    assert!(matches!(
        db.meter_many(CALLS, 60).await,
        Err(Error::Platform { .. })
    ));
    run(&mut conn, "drop trigger refuse on platform.usage").await;
    db.meter_many(CALLS, 60).await?;
    assert_eq!(used(&fixture, acme).await?, [210]);

    // A meter makes room for another, and gives back what it holds.
    manager.tenant(bolt).await?.meter(CALLS).await?;
    manager.close().await;
    assert_eq!(
        (used(&fixture, acme).await?, used(&fixture, bolt).await?),
        (vec![171], vec![1])
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
    assert_eq!(used(&fixture, acme).await?, [1, 171]);
    let usage = fixture.platform().usage(acme).await?;
    assert!(usage[0].month > usage[1].month, "{usage:?}");

    let refused = db.meter(Limit::MAX_DOCUMENTS).await.unwrap_err();
    assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");

    // Nothing is counted for who was deleted, whoever has a handle.
    let deaf = Following::default().polling().poll_every(Duration::from_hours(1));
    let manager = ClientConnectionManager::connect(fixture.manager_options().following(deaf)).await?;
    manager.hears_changes().await;
    let db = manager.tenant(bolt).await?;
    fixture.platform().delete_client(bolt).await?;
    let refused = db.meter(CALLS).await.unwrap_err();
    assert!(matches!(refused, Error::UnknownClient { .. }), "{refused:?}");
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_under_way_is_not_lost_where_room_is_made_or_the_manager_is_closed() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and query ~ 'platform.take_usage')";

    let fixture = Fixture::start(&HOST).await?;
    let mut watcher = platform_connection(&fixture).await;
    let mut blocker = platform_connection(&fixture).await;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    for most in [1, 10] {
        let options = fixture.manager_options().max_meters(most);
        let manager = ClientConnectionManager::connect(options).await?;
        let (db, other) = (manager.tenant(acme).await?, manager.tenant(bolt).await?);
        if most > 1 {
            other.meter(CALLS).await?;
        }
        let row = "insert into platform.usage (client_id, name, month)
                   select id, 'api_calls_per_month', date_trunc('month', now() at time zone 'utc')
                   from platform.clients where slug = 'acme' on conflict do nothing";
        run(&mut watcher, row).await;
        run(&mut blocker, "begin; select from platform.usage for update").await;
        {
            let mut call = Box::pin(db.meter(CALLS));
            tokio::select! {
                counted = &mut call => panic!("not held up: {counted:?}"),
                () = until(&mut watcher, WAITING) => {}
            }
        }
        let mut closing = Box::pin(manager.close());
        if most == 1 {
            // Room for another, which the one in use does not make.
            other.meter(CALLS).await?;
            run(&mut blocker, "rollback").await;
        } else {
            assert!(closing.as_mut().now_or_never().is_none());
            run(&mut blocker, "rollback").await;
        }
        closing.await;
    }
    assert_eq!(
        (used(&fixture, acme).await?, used(&fixture, bolt).await?),
        (vec![2], vec![2])
    );
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_block_is_a_tenth_of_what_is_left_and_nobody_elses() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and query ~ 'platform.take_usage')";

    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    limit(&fixture, acme, Some(50)).await?;
    let platform = fixture.platform();
    let take = TakeUsage {
        client: acme,
        limit: &CALLS,
        needed: 1,
        block: 100,
    };
    assert_eq!(platform.take_usage(take).await?.granted, 5);
    let mut watcher = platform_connection(&fixture).await;
    let mut other = platform_connection(&fixture).await;
    run(&mut other, "begin; lock table platform.clients").await;
    let mut taking = Box::pin(platform.take_usage(take));
    tokio::select! {
        taken = &mut taking => panic!("not held up: {taken:?}"),
        () = until(&mut watcher, WAITING) => {}
    }
    // What is left was read, and is nobody else's until it is taken.
    let beside = "set lock_timeout = '10ms'; update platform.usage set used = 50";
    assert_eq!(refused(&mut watcher, beside).await.code, "55P03");
    run(&mut other, "commit").await;
    let taken = taking.await?;
    assert_eq!((taken.granted, taken.used), (4, 9));
    fixture.close().await;
    Ok(())
}

/// A directory whose months are over as soon as a block of them is taken.
#[derive(Debug)]
struct Late(PlatformDirectory);

#[async_trait]
impl Directory for Late {
    async fn client(&self, client: &ClientRef) -> tenantry::Result<Option<ClientRecord>> {
        self.0.client(client).await
    }

    async fn pool(&self, pool: PoolId) -> tenantry::Result<Option<PoolRecord>> {
        self.0.pool(pool).await
    }

    async fn take_usage(&self, take: TakeUsage<'_>) -> tenantry::Result<TakenUsage> {
        let taken = self.0.take_usage(take).await?;
        let month = before(taken.month);
        Ok(TakenUsage { month, ..taken })
    }

    async fn give_back(
        &self,
        client: ClientId,
        limit: &Limit,
        month: Month,
        unused: i64,
    ) -> tenantry::Result<()> {
        let now = Month::of(SystemTime::now());
        assert_eq!(month, before(now));
        self.0.give_back(client, limit, now, unused).await
    }
}

fn before(month: Month) -> Month {
    Month::new(month.year() - 1, month.month()).unwrap_or(month)
}

#[tokio::test]
async fn what_is_left_of_a_month_that_is_over_is_given_back_to_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let directory = Arc::new(Late(fixture.platform().clone()));
    let manager = ClientConnectionManager::with_directory(directory, fixture.manager_options());
    let db = manager.tenant(acme).await?;
    db.meter(CALLS).await?;
    db.meter(CALLS).await?;
    // The rest of the first block was given back for the second.
    assert_eq!(used(&fixture, acme).await?, [101]);
    manager.close().await;
    assert_eq!(used(&fixture, acme).await?, [2]);
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
