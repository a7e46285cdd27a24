//! Whoever moves a client is killed, wherever it is: what was acknowledged to writers is there once, and whoever
//! resumes ends it.
#![expect(
    clippy::disallowed_methods,
    reason = "ends sessions, and watches past the library"
)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientId, Error, Isolation, Phase, RelocateTo, Relocation, RelocationOptions};

use super::writers::{As, Writers};
use super::{Outcome, own_database, relocation};
use crate::sql::connect;
use crate::support::{HOST, fill};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_is_killed_anywhere_loses_nothing_and_is_resumed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let own = own_database(&fixture, "own", acme).await;
    let each = [As::Statements, As::Transactions(Isolation::Serializable)];
    let ways = [
        (own.clone(), ["pool-1", "own"]),
        (RelocateTo::Pool(second), ["pool-1", "pool-2"]),
    ];
    let mut after = 3;
    for (to, sides) in ways {
        let writers = Writers::begin(&fixture, acme, &each).await;
        for round in 0..4 {
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
                match hit(&fixture, acme, &to, after, what).await {
                    Some(Phase::Moved) => break,
                    Some(phase) => panic!("{phase}"),
                    None => assert!(hits < 60, "not moved after {hits} hits"),
                }
            }
            after = 3 + round * 7;
            writers.have_written(6).await;
            relocation(&fixture).revert(acme).await?;
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
    }
    manager.close().await;
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
