//! Whoever moves a client is killed, wherever it is: what was acknowledged to writers is there once, and whoever
//! resumes ends it.
#![expect(
    clippy::disallowed_methods,
    reason = "ends sessions, and watches past the library"
)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use tenantry::testing::Fixture;
use tenantry::{
    ClientId, Error, Isolation, Phase, RelocateTo, Relocation, RelocationError, RelocationOptions,
};

use super::writers::{As, Writers};
use super::{Outcome, own_database, relocation};
use crate::sql::{connect, run};
use crate::support::{HOST, fill};

/// Two tables, for writers alone.
static WRITTEN: Migrator = sqlx::migrate!("tests/it/relocate/written");

/// The host's tables are there already.
static NONE: Migrator = Migrator::DEFAULT;

/// The same as an older system made them, which had one client.
const BARE: &str = "
    create table agents (id uuid primary key default gen_random_uuid(), slug text not null unique, name text not null);
    create table documents (id uuid primary key default gen_random_uuid(), title text not null,
        content text not null default '');
    grant select, insert, update, delete on all tables in schema public to tenantry_fixture_app";

/// Polls the future so often, or to its end, and drops it.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Where a mover is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    /// It is gone, with all of its connections.
    Itself,
    /// The sessions that it has on one server.
    Sessions(&'static str),
}

/// Begins or resumes, and is hit after so many polls. Says whether it was done before.
async fn hit(fixture: &Fixture, client: ClientId, to: &RelocateTo, after: usize, hit: Hit) -> Option<Phase> {
    let relocation = Relocation::new(fixture.platform().clone())
        .options(RelocationOptions::default().plain_up_to(0).fence_attempts(50));
    let going = async {
        match relocation.status(client).await? {
            Some(status) if !status.phase.is_ended() => relocation.resume(client).await,
            _ => relocation.start(client, to).await,
        }
    };
    let mut going = pin!(going);
    if let Some(done) = polled(going.as_mut(), after).await {
        return done.ok().map(|status| status.phase);
    }
    let Hit::Sessions(database) = hit else { return None };
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    end_sessions(&mut superuser, &fixture.database(database)).await;
    going.await.ok().map(|status| status.phase)
}

async fn end_sessions(superuser: &mut PgConnection, database: &str) {
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = $1 and (application_name like 'tenantry relocate %' or ($1 like '%platform' and pid <> pg_backend_pid()))";
    sqlx::query(sql).bind(database).execute(superuser).await.unwrap();
}

/// Moves the client there and back, killed again and again, each time in another place.
async fn is_moved_in_spite_of_all(
    fixture: &Fixture,
    client: ClientId,
    to: &RelocateTo,
    sides: [&'static str; 2],
    rounds: usize,
) -> Outcome {
    let manager = fixture.manager().await?;
    let db = manager.tenant(client).await?;
    let each = [As::Statements, As::Transactions(Isolation::Serializable)];
    let writers = Writers::begin(fixture, client, &each).await;
    let mut after = 3;
    for round in 0..rounds {
        let mut hits = 0;
        loop {
            let what = match hits % 3 {
                0 => Hit::Itself,
                1 => Hit::Sessions(sides[round % 2]),
                _ => Hit::Sessions("platform"),
            };
            // Each time further, so that it is hit in all of its phases.
            after = after * 5 / 4 + 1;
            hits += 1;
            match hit(fixture, client, to, after, what).await {
                Some(Phase::Moved) => break,
                Some(phase) => assert_eq!(phase, Phase::Moved),
                None => assert!(hits < 60, "not moved after {hits} hits"),
            }
        }
        after = 3 + round * 7;
        writers.have_written(6).await;
        relocation(fixture).revert(client).await?;
        writers.have_written(6).await;
    }
    writers.end(&db).await?;
    db.delete("documents")
        .like("title", tenantry::Pattern::starting_with("of "))
        .execute()
        .await?;
    db.delete("agents")
        .like("slug", tenantry::Pattern::starting_with("writer-"))
        .execute()
        .await?;
    manager.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_is_killed_anywhere_loses_nothing_and_is_resumed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme).await?, "acme").await?;
    let own = own_database(&fixture, "own", acme).await;
    for (to, there) in [(own, "own"), (RelocateTo::Pool(second), "pool-2")] {
        is_moved_in_spite_of_all(&fixture, acme, &to, ["pool-1", there], 4).await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_out_of_a_database_of_its_own_and_into_one_that_does_not_say_whose_rows_it_has() -> Outcome {
    let fixture = Fixture::start(&WRITTEN).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let acme = fixture.shared_client("acme").await?.id;
    fixture.legacy_client("bare", BARE).await?;
    let mut admin = connect(fixture.admin_options(&fixture.database("bare"))).await;
    tenantry::schema::apply_to_dedicated(&mut admin, fixture.app_role(), acme, &NONE).await?;
    drop(admin);
    let bare = fixture.database("bare");
    let bare = RelocateTo::dedicated(fixture.app_url(&bare), fixture.admin_url(&bare));
    let pool = RelocateTo::Pool(fixture.pool());
    is_moved_in_spite_of_all(&fixture, vast, &pool, ["vast", "pool-1"], 3).await?;
    is_moved_in_spite_of_all(&fixture, acme, &bare, ["pool-1", "bare"], 3).await?;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn two_at_once_are_one() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme).await?, "acme").await?;
    let own = own_database(&fixture, "own", acme).await;
    let (one, other) = (relocation(&fixture), relocation(&fixture));
    let (first, second) = tokio::join!(one.start(acme, &own), other.start(acme, &own));
    let outcomes = [first, second];
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{outcomes:?}"
    );
    assert!(
        outcomes
            .iter()
            .any(|outcome| matches!(outcome, Err(Error::Relocation { .. }))),
        "{outcomes:?}"
    );
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn who_is_at_it_is_waited_for_as_long_as_one_that_was_dropped_takes_to_end() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let relocation = relocation(&fixture);
    let mut other = connect(fixture.admin_options(&fixture.database("platform"))).await;
    let lock = format!("pg_advisory_lock(hashtextextended('relocate {acme}', 1413828180))");
    run(&mut other, &format!("select {lock}")).await;
    let began = Instant::now();
    let taken = relocation.resume(acme).await.unwrap_err();
    assert!(
        matches!(
            &taken,
            Error::Relocation {
                source: RelocationError::Taken,
                ..
            }
        ),
        "{taken:?}"
    );
    assert!(began.elapsed() >= Duration::from_millis(500));
    run(&mut other, "select pg_advisory_unlock_all()").await;
    let none = relocation.resume(acme).await.unwrap_err();
    assert!(
        matches!(
            &none,
            Error::Relocation {
                source: RelocationError::NotUnderWay,
                ..
            }
        ),
        "{none:?}"
    );
    fixture.close().await;
    Ok(())
}
