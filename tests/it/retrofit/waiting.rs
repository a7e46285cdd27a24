//! Whoever holds a table is waited for in turns, and nobody waits long behind.

use std::time::Duration;

use tenantry::{Error, RetrofitError, RetrofitOptions, RetrofitState};

use super::{Outcome, Stage};
use crate::sql::{one, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_on_while_a_transaction_keeps_the_table() -> Outcome {
    let stage = Stage::start().await;
    let hasty = RetrofitOptions::default().lock_wait(Duration::from_millis(700));
    let retrofit = stage.retrofit().options(hasty);
    let (mut holder, mut writer) = (stage.old().await, stage.old().await);
    run(
        &mut holder,
        "begin; insert into documents (filename, email) values ('held', 'held')",
    )
    .await;
    let pid: i32 = one(&mut holder, "select pg_backend_pid()").await;
    // A writer that were kept behind for as long as the table is waited for would fail.
    run(&mut writer, "set lock_timeout = '400ms'").await;
    let mut written = 0;
    let starting = retrofit.start();
    tokio::pin!(starting);
    let outcome = loop {
        tokio::select! {
            outcome = &mut starting => break outcome,
            () = run(&mut writer, "insert into documents (filename, email) values (gen_random_uuid()::text, 'w')") => {
                written += 1;
            }
        }
    };
    assert!(
        matches!(&outcome, Err(Error::Retrofit { source: RetrofitError::NotDrained { blockers }, .. })
            if blockers.iter().any(|told| told.starts_with(&format!("pid {pid}, ")))),
        "{outcome:?}"
    );
    assert!(written > 5, "only {written} rows");
    run(&mut holder, "commit").await;
    assert_eq!(retrofit.resume().await?.state, RetrofitState::Prepared);
    assert!(stage.count("select count(*) from documents").await >= written);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn two_at_once_are_one() -> Outcome {
    let stage = Stage::start().await;
    let retrofit = stage
        .retrofit()
        .options(RetrofitOptions::default().take_over_wait(Duration::ZERO));
    let (one, other) = tokio::join!(retrofit.start(), retrofit.start());
    let outcomes = [one, other];
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{outcomes:?}"
    );
    let taken = |outcome: &tenantry::Result<_>| {
        matches!(outcome, Err(error @ Error::Retrofit { source: RetrofitError::Taken | RetrofitError::UnderWay { .. }, .. })
            if error.is_retryable() || matches!(error, Error::Retrofit { source: RetrofitError::UnderWay { .. }, .. }))
    };
    assert!(outcomes.iter().any(taken), "{outcomes:?}");
    stage.close().await;
    Ok(())
}
