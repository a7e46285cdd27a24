//! Seeding that is cut off anywhere: applied again, it is complete, and nothing is there twice.
#![expect(
    clippy::disallowed_methods,
    reason = "a seed that is held up, in a task of its own"
)]

use std::future::poll_fn;
use std::task::Poll;

use serde_json::json;

use super::{Outcome, Stage, bot, set, totals};
use crate::sql::run;

/// Drops the future the moment that it has been woken so often. Says whether it was done before.
async fn cut_off<T>(future: impl Future<Output = T>, wakes: u32) -> bool {
    let mut future = Box::pin(future);
    let mut left = wakes;
    poll_fn(|context| {
        let Some(rest) = left.checked_sub(1) else {
            return Poll::Ready(false);
        };
        left = rest;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn cut_off_anywhere_it_is_completed_by_the_next() -> Outcome {
    let stage = Stage::start().await;
    let described = |slug: &str| {
        let mut described = bot(&[slug]);
        described["clients"] = json!([{ "slug": slug, "name": "Newly", "tier": "adventurer", "settings": { "a": 1 },
            "features": { "voice": true }, "keys": { "agent": [slug] },
            "credentials": [{ "provider": "openai", "kind": "api_key", "secret": { "$secret": "KEY" } }] }]);
        stage
            .seed()
            .data(set(&described))
            .batch_rows(2)
            .transaction_rows(3)
    };
    let (mut wakes, mut cut) = (0, 0);
    loop {
        let seed = described(&format!("c{wakes}"));
        if cut_off(seed.apply(), wakes).await {
            break;
        }
        cut += 1;
        let completed = seed.apply().await?;
        // The client, its key and its credential, and its 8 rows; and the 3 that all share.
        let [created, changed, unchanged] = totals(&completed);
        assert_eq!(created + changed + unchanged, 14, "cut off after {wakes}");
        let verified = seed.verify().await?;
        assert!(verified.is_complete(), "cut off after {wakes}: {verified}");
        assert!(
            verified
                .tables
                .iter()
                .all(|of| of.in_database.is_none_or(|rows| rows == of.expected)),
            "{verified}"
        );
        wakes += 1 + wakes / 6;
    }
    assert!(cut > 5, "it was cut off at {cut} points only");
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn whose_sessions_are_ended_is_told_so_and_completed_by_the_next() -> Outcome {
    let stage = Stage::with_acme().await;
    let tools: Vec<_> = (0..40)
        .map(|number| json!({ "slug": format!("t{number}") }))
        .collect();
    let described =
        json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": tools }] } });
    let seed = stage
        .seed()
        .data(set(&described))
        .batch_rows(5)
        .transaction_rows(10);
    let db = stage.manager.tenant(stage.clients[0].id).await?;
    // It is held up at its third transaction.
    let mut tx = db.begin().await?;
    tx.insert("tools").set("slug", "t25").execute().await?;
    let applying = tokio::spawn({
        let seed = seed.clone();
        async move { seed.apply().await }
    });
    let mut server = stage.superuser().await;
    crate::sql::until(
        &mut server,
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and query like 'insert into public.tools%' and datname = current_database())",
    )
    .await;
    run(
        &mut server,
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'
        and query like 'insert into public.tools%' and datname = current_database()",
    )
    .await;
    assert!(applying.await?.is_err());
    tx.rollback().await?;
    assert_eq!(db.query("tools").count().await?, 20);
    assert_eq!(totals(&seed.apply().await?), [20, 0, 20]);
    stage.close().await;
    Ok(())
}
