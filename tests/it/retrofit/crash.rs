//! Whoever is at it is killed, wherever it is, and it is resumed or rolled back from there.
#![expect(clippy::disallowed_methods, reason = "ends sessions")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tenantry::{Assign, Retrofit, RetrofitOptions, RetrofitState};

use super::old_application::OldApplication;
use super::{Outcome, Stage};
use crate::sql::run;

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

/// Goes on with whatever is to be done until the tables are protected.
async fn go_on(retrofit: &Retrofit) -> tenantry::Result<RetrofitState> {
    let state = retrofit.status().await?.map(|status| status.state);
    let status = match state {
        None | Some(RetrofitState::RolledBack) => retrofit.start().await?,
        Some(RetrofitState::Prepared) => retrofit.protect().await?,
        _ => retrofit.resume().await?,
    };
    Ok(status.state)
}

async fn end_session(stage: &Stage) {
    let sql = "select pg_terminate_backend(pid, 5000) from pg_stat_activity
               where datname = current_database() and application_name = 'tenantry retrofit'";
    sqlx::query(sql)
        .execute(&mut stage.superuser().await)
        .await
        .unwrap();
}

fn by_rule(stage: &Stage) -> Retrofit {
    stage
        .retrofit()
        .table(
            "public.documents",
            Assign::from_column("tenant", [("house", stage.house)]),
        )
        .table("public.lines", Assign::from_parent("lines_document_id_fkey"))
        .options(RetrofitOptions::default().take_over_wait(Duration::from_secs(30)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_or_killed_anywhere_it_is_resumed_and_rolled_back_under_the_old_application() -> Outcome {
    let stage = Stage::start().await;
    let before = stage.schema().await;
    let application = OldApplication::begin(&stage, 2).await;
    let retrofit = by_rule(&stage);
    let (mut after, mut hits) = (3, 0);
    loop {
        let mut going = pin!(go_on(&retrofit));
        let reached = polled(going.as_mut(), after).await;
        // Every other time its session is ended under it, and it sees that.
        if reached.is_none() && hits % 2 == 1 {
            end_session(&stage).await;
            drop(going.await);
        } else if let Some(reached) = reached
            && reached? == RetrofitState::Protected
        {
            break;
        }
        hits += 1;
        after += 7;
        assert!(hits < 100, "not protected after {hits} hits");
    }
    assert!(hits > 1, "only {hits} hits");
    application.has_written(10).await;
    let (mut after, mut hits) = (3, 0);
    loop {
        let mut going = pin!(retrofit.rollback());
        match polled(going.as_mut(), after).await {
            Some(done) => {
                assert_eq!(done?.state, RetrofitState::RolledBack);
                break;
            }
            None if hits % 2 == 1 => {
                end_session(&stage).await;
                drop(going.await);
            }
            None => {}
        }
        hits += 1;
        after += 7;
        assert!(hits < 100, "not rolled back after {hits} hits");
    }
    assert!(hits > 1, "only {hits} hits");
    assert_eq!(stage.schema().await, before);
    application.end(&stage).await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn from_wherever_it_was_left_it_is_rolled_back_to_what_was() -> Outcome {
    let stage = Stage::start().await;
    let before = stage.schema().await;
    let mut admin = stage.admin().await;
    run(
        &mut admin,
        "insert into runs (name) values ('first');
         insert into documents (run_id, filename, email, tenant) values (1, 'a', 'a', 'house');
         insert into lines select 1, n from generate_series(1, 5) n",
    )
    .await;
    for retrofit in [stage.retrofit(), by_rule(&stage)] {
        let mut seen = Vec::new();
        for after in (4..).step_by(5) {
            let all = async {
                retrofit.start().await?;
                retrofit.protect().await?;
                retrofit.finish().await
            };
            let done = polled(all, after).await;
            let status = retrofit.status().await?;
            if let Some(status) = status.filter(|status| status.state != RetrofitState::RolledBack) {
                seen.push(status.next);
                retrofit.rollback().await?;
            }
            assert_eq!(stage.schema().await, before, "after {after} polls");
            if let Some(done) = done {
                assert_eq!(done?.state, RetrofitState::Finished);
                break;
            }
        }
        seen.dedup();
        // On a slow machine answers come together, and a poll sees more of them.
        assert!(seen.len() >= 2, "it was left in {seen:?} alone");
    }
    assert_eq!(stage.count("select count(*) from lines").await, 5);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn an_index_that_a_crash_left_invalid_is_built_again() -> Outcome {
    let stage = Stage::start().await;
    let retrofit = stage.retrofit();
    // A transaction of long standing keeps the index from being done.
    let mut old = stage.old().await;
    run(
        &mut old,
        "begin isolation level repeatable read; select count(*) from runs; select txid_current()",
    )
    .await;
    let (mut admin, mut superuser) = (stage.admin().await, stage.superuser().await);
    let invalid = "select exists (select from pg_index i join pg_class c on c.oid = i.indrelid
                   where not i.indisvalid and c.relnamespace = 'public'::regnamespace)";
    let killing = async {
        crate::sql::until(&mut admin, invalid).await;
        end_session(&stage).await;
    };
    let held = async {
        // The column is added in turns until the transaction that has only read lets go of the table.
        let waits = "select exists (select from pg_stat_activity where application_name = 'tenantry retrofit' and datname = current_database())";
        crate::sql::until(&mut superuser, waits).await;
        run(
            &mut old,
            "commit; begin isolation level repeatable read; select txid_current(), count(*) from pg_class",
        )
        .await;
    };
    let (started, (), ()) = tokio::join!(retrofit.start(), killing, held);
    assert!(started.is_err(), "{started:?}");
    assert!(crate::sql::one::<bool>(&mut admin, invalid).await);
    run(&mut old, "commit").await;
    assert_eq!(retrofit.resume().await?.state, RetrofitState::Prepared);
    assert!(!crate::sql::one::<bool>(&mut admin, invalid).await);
    retrofit.protect().await?;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_step_and_the_note_of_it_are_one() -> Outcome {
    let stage = Stage::start().await;
    let retrofit = by_rule(&stage);
    let mut admin = stage.admin().await;
    // Whatever was done is done again where the note of it fails: it would be there already, had it stayed.
    let fails_at = |step: i32| {
        format!(
            "create or replace function tenantry.fails() returns trigger language plpgsql as
             $$ begin raise exception 'no note' using errcode = 'TX001'; end $$;
             create or replace trigger fails before update on tenantry.retrofit_steps
             for each row when (new.step = {step} and new.state = 'done') execute function tenantry.fails()"
        )
    };
    let mut step = 1;
    loop {
        run(&mut admin, &fails_at(step)).await;
        match go_on(&retrofit).await {
            Ok(RetrofitState::Protected) => break,
            Ok(_) => {}
            Err(error) => {
                for error in [error, go_on(&retrofit).await.unwrap_err()] {
                    assert_eq!(error.sqlstate().as_deref(), Some("TX001"), "{step}: {error}");
                }
                step += 1;
            }
        }
    }
    assert!(step > 20, "{step}");
    stage.close().await;
    Ok(())
}
