//! Whoever moves a client is frozen for so long that another ends it, wakes up, and does no more harm.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]
#![expect(clippy::future_not_send, reason = "a mover is polled where it is")]

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{
    ClientId, Error, Phase, RelocateTo, Relocation, RelocationError, RelocationOptions, RelocationStatus,
};

use super::{Outcome, relocation, rows, stopped};
use crate::sql::{PATIENCE, connect, one, run};
use crate::support::{HOST, fill};

type Mover<'a> = Pin<Box<dyn Future<Output = tenantry::Result<RelocationStatus>> + 'a>>;

/// One that others may take over from soon.
fn forgettable(fixture: &Fixture) -> Relocation {
    relocation(fixture).options(
        RelocationOptions::default()
            .plain_up_to(0)
            .lease(Duration::from_secs(1)),
    )
}

/// Polls the mover until that is so, and no further: as a process that is stopped there.
async fn frozen<T: Debug>(
    mover: &mut Pin<Box<dyn Future<Output = T> + '_>>,
    conn: &mut PgConnection,
    condition: &str,
) {
    let deadline = Instant::now() + PATIENCE;
    while !one::<bool>(conn, condition).await {
        let ended = poll_fn(|context| match mover.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => Poll::Ready(None),
        });
        let ended = ended.await;
        assert!(ended.is_none(), "{ended:?} before: {condition}");
        assert!(Instant::now() < deadline, "still not so: {condition}");
    }
}

/// Does it as soon as whoever is frozen was silent for long enough.
async fn taken_over(what: impl AsyncFn() -> tenantry::Result<RelocationStatus>) -> RelocationStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match what().await {
            Err(error) if is_taken(&error) => {
                assert!(Instant::now() < deadline);
                tokio::task::yield_now().await;
            }
            done => return done.unwrap(),
        }
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(
        error,
        Error::Relocation {
            source: RelocationError::Taken,
            ..
        }
    )
}

fn in_phase(client: ClientId, phase: Phase) -> String {
    format!(
        "select exists (select from platform.relocations where client_id = '{client}' and phase = '{phase}' and ended_at is null)"
    )
}

#[tokio::test]
async fn who_was_frozen_as_it_removed_rows_removes_none_of_a_client_that_is_back() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let first = RelocateTo::Pool(fixture.pool());
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let (other, relocation) = (relocation(&fixture), forgettable(&fixture));
    let mut platform = connect(fixture.server().connect_options(&fixture.database("platform"))).await;

    // Given up, and then moved to where it was given up.
    stopped(&relocation, &db, &second).await;
    let mut giving_up: Mover<'_> = Box::pin(relocation.cancel(acme));
    frozen(&mut giving_up, &mut platform, &in_phase(acme, Phase::Cancelling)).await;
    assert_eq!(taken_over(|| other.resume(acme)).await.phase, Phase::Cancelled);
    assert_eq!(other.start(acme, &second).await?.phase, Phase::Moved);
    let there = rows(&fixture, "pool-2", acme).await;
    assert_eq!(there.len(), 7);
    let woken = giving_up.await;
    assert!(woken.as_ref().is_err_and(is_taken), "{woken:?}");
    assert_eq!(rows(&fixture, "pool-2", acme).await, there);
    assert_eq!(other.complete(acme).await?.phase, Phase::Completed);

    // Moved on, and back to where it was being removed from.
    relocation.start(acme, &first).await?;
    let mut completing: Mover<'_> = Box::pin(relocation.complete(acme));
    frozen(&mut completing, &mut platform, &in_phase(acme, Phase::Completing)).await;
    assert_eq!(taken_over(|| other.resume(acme)).await.phase, Phase::Completed);
    assert_eq!(other.start(acme, &second).await?.phase, Phase::Moved);
    let woken = completing.await;
    assert!(woken.as_ref().is_err_and(is_taken), "{woken:?}");
    assert_eq!(rows(&fixture, "pool-2", acme).await, there);
    assert_eq!(other.complete(acme).await?.phase, Phase::Completed);
    assert_eq!(db.query("agents").count().await?, 1);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn who_was_frozen_before_it_took_over_takes_nothing_from_those_who_came_after() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let (other, relocation) = (relocation(&fixture), forgettable(&fixture));
    let mut platform = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    stopped(&relocation, &db, &second).await;
    let mut giving_up: Mover<'_> = Box::pin(relocation.cancel(acme));
    frozen(&mut giving_up, &mut platform, &in_phase(acme, Phase::Cancelling)).await;
    // As one that is killed there.
    drop(giving_up);
    let mut resuming: Mover<'_> = Box::pin(relocation.resume(acme));
    let begun = format!(
        "select exists (select from platform.relocations where client_id = '{acme}' and attempt = 3)"
    );
    frozen(&mut resuming, &mut platform, &begun).await;
    assert_eq!(taken_over(|| other.resume(acme)).await.phase, Phase::Cancelled);
    assert_eq!(other.start(acme, &second).await?.phase, Phase::Moved);
    let there = rows(&fixture, "pool-2", acme).await;
    let woken = resuming.await;
    assert!(woken.as_ref().is_err_and(is_taken), "{woken:?}");
    assert_eq!(rows(&fixture, "pool-2", acme).await, there);
    assert_eq!(other.complete(acme).await?.phase, Phase::Completed);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_the_platform_is_told_it_takes_from_the_latest_alone() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme).await?, "acme").await?;
    let here = rows(&fixture, "pool-1", acme).await;
    let other = relocation(&fixture);
    let held_up = Relocation::new(fixture.platform().clone().acting_as("frozen"))
        .options(RelocationOptions::default().lease(Duration::from_secs(1)));
    let mut platform = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                 and database = (select oid from pg_database where datname = current_database()))";
    for (saying, refused) in [
        ("set attempt = ", "it is not being relocated"),
        ("set phase = ", "another process is at it"),
    ] {
        other.start(acme, &second).await?;
        let hold = format!(
            "create or replace function hold() returns trigger language plpgsql as $$ begin
                 if current_setting('platform.actor', true) = 'frozen' and current_query() like '%{saying}%' then
                     perform pg_advisory_xact_lock_shared(7);
                 end if;
                 return null;
             end $$;
             create or replace trigger hold before update on platform.relocations for each statement execute function hold();
             select pg_advisory_lock(7)"
        );
        run(&mut platform, &hold).await;
        let mut completing: Mover<'_> = Box::pin(held_up.complete(acme));
        frozen(&mut completing, &mut platform, waits).await;
        assert_eq!(taken_over(|| other.revert(acme)).await.phase, Phase::Reverted);
        run(&mut platform, "select pg_advisory_unlock(7)").await;
        let woken = completing.await.map_err(|error| match error {
            Error::Relocation { source, .. } => source.to_string(),
            other => other.to_string(),
        });
        assert_eq!(woken.unwrap_err(), refused);
        assert_eq!(other.status(acme).await?.unwrap().phase, Phase::Reverted);
        assert!(other.unfinished().await?.is_empty());
        assert_eq!(rows(&fixture, "pool-1", acme).await, here);
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn who_is_frozen_while_it_keeps_writers_out_keeps_them_out_no_longer_than_the_budget() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let (other, relocation) = (relocation(&fixture), forgettable(&fixture));
    stopped(&relocation, &db, &second).await;
    let mut platform = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    let mut target = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    // Something is in flight, so that there is something to bring over, and that is held up.
    let mut tx = db.begin().await?;
    tx.insert("agents")
        .set("slug", "last")
        .set("name", "Last")
        .execute()
        .await?;
    let mut resuming: Mover<'_> = Box::pin(relocation.resume(acme));
    let waits = format!(
        "select exists (select from pg_locks l join pg_database d on d.oid = l.database
                        where l.locktype = 'advisory' and not l.granted and d.datname = '{}')",
        fixture.database("pool-1")
    );
    frozen(&mut resuming, &mut platform, &waits).await;
    run(&mut target, "begin; lock table agents in exclusive mode").await;
    tx.commit().await?;
    let accepted = "select exists (select from pg_stat_activity where datname = current_database()
                    and state = 'idle in transaction' and query like 'update platform.relocations set phase%')";
    frozen(&mut resuming, &mut platform, accepted).await;
    run(&mut target, "rollback").await;
    // Whoever takes over waits for what it has begun.
    let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let free = "select exists (select from (select from tenantry.relocations for update skip locked) free)";
    assert!(!one::<bool>(&mut source, free).await);

    let written = db
        .insert("agents")
        .set("slug", "between")
        .set("name", "Between")
        .execute();
    tokio::time::timeout(PATIENCE, written).await??;
    // Nor does it keep the platform database from placing others, or whoever takes over.
    fixture.shared_client("bolt").await?;
    assert_eq!(taken_over(|| other.resume(acme)).await.phase, Phase::Moved);
    let woken = resuming.await;
    assert!(woken.is_err(), "{woken:?}");
    assert_eq!(db.query("agents").count().await?, 3);
    assert_eq!(other.complete(acme).await?.phase, Phase::Completed);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_session_that_was_not_ended_in_time_begins_nothing_more() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &second).await;
    let mut tx = db.begin().await?;
    tx.query("agents").count().await?;
    let mut resuming: Mover<'_> = Box::pin(relocation.resume(acme));
    let mut source = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                 and database = (select oid from pg_database where datname = current_database()))";
    frozen(&mut resuming, &mut source, waits).await;
    // What taking over does, but for ending it: first it gives up waiting, and what it had begun.
    let taking_over = async {
        run(
            &mut source,
            "update tenantry.relocations set attempt = attempt + 1",
        )
        .await;
        tx.commit().await
    };
    let (outcome, committed) = tokio::join!(resuming, taking_over);
    committed?;
    assert!(outcome.as_ref().is_err_and(is_taken), "{outcome:?}");
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    manager.close().await;
    fixture.close().await;
    Ok(())
}
