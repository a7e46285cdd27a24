//! Several who seed the same at once.
#![expect(
    clippy::disallowed_methods,
    reason = "a seed that is held up, in a task of its own"
)]

use futures_util::future::try_join_all;
use serde_json::json;
use tenantry::{Seed, SeedError};

use super::{BOT, Outcome, Passwords, Quick, Stage, bot, set, totals};
use crate::sql::{connect, one, rows, run};

const ALL: [&str; 3] = ["acme", "vast", "olden"];

#[tokio::test]
async fn each_row_is_created_once_and_the_reports_add_up() -> Outcome {
    let stage = Stage::with_all().await;
    let mut described = bot(&ALL);
    described["clients"] = json!([
        { "slug": "newly", "name": "Newly", "tier": "adventurer", "settings": { "a": 1 }, "keys": { "agent": ["a"] },
          "credentials": [{ "provider": "openai", "kind": "api_key", "secret": { "$secret": "KEY" } }] },
        { "slug": "other", "name": "Other", "tier": "adventurer" }
    ]);
    // As processes have them: each its own connections, and what it remembers.
    let mut processes = Vec::new();
    for _ in 0..4 {
        let manager = stage.fixture.manager().await?;
        let url = stage.fixture.admin_url(&stage.fixture.database("platform"));
        let platform = tenantry::PlatformDirectory::connect(&url.into(), stage.fixture.keyring()).await?;
        let seed = Seed::new(platform, manager)
            .secrets(Passwords::default())
            .secret_form("argon2", Quick)
            .data(set(&described));
        processes.push(seed);
    }
    let reports = try_join_all(processes.iter().map(Seed::apply)).await?;
    let all: [u64; 3] = reports.iter().fold([0; 3], |all, report| {
        let of = totals(report);
        std::array::from_fn(|at| all[at] + of[at])
    });
    // Two clients, a key, a credential, and rows of two more clients.
    let rows_in_all = 33 + 4 + 2 * 6;
    assert_eq!(all, [rows_in_all, 0, 3 * rows_in_all]);
    for client in ALL {
        let mut conn = stage.database(client).await;
        let tools: i64 = one(&mut conn, "select count(*) from tools").await;
        assert_eq!(tools, if client == "acme" { 9 } else { 3 });
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_whose_creation_comes_to_light_meanwhile_is_completed() -> Outcome {
    let stage = Stage::start().await;
    let described =
        json!({ "clients": [{ "slug": "newly", "name": "Newly", "tier": "adventurer" }], "each_client": [] });
    let seed = stage.seed().data(set(&described));
    // Somebody was cut off, and the server is still at it.
    let platform = stage.fixture.database("platform");
    let mut creating = connect(stage.fixture.admin_options(&platform)).await;
    run(&mut creating, "begin").await;
    let insert = "insert into platform.clients (id, name, slug, tier) values (gen_random_uuid(), 'Newly', 'newly', 'adventurer')";
    run(&mut creating, insert).await;
    let applying = tokio::spawn({
        let seed = seed.clone();
        async move { seed.apply().await }
    });
    let mut server = connect(stage.fixture.server().connect_options(&platform)).await;
    crate::sql::until(
        &mut server,
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and query like 'insert into platform.clients%' and datname = current_database())",
    )
    .await;
    run(&mut creating, "commit").await;
    assert_eq!(totals(&applying.await??), [0, 0, 1]);
    assert!(seed.verify().await?.is_complete());
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn those_who_add_the_same_rows_without_waiting_for_each_other_do_no_harm() -> Outcome {
    let stage = Stage::with_acme().await;
    let tools: Vec<_> = (0..300)
        .map(|number| json!({ "slug": format!("t{number}"), "endpoint": "seeded" }))
        .collect();
    let described =
        json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": tools }] } });
    let seed = stage.seed().data(set(&described)).batch_rows(300);
    let db = stage.manager.tenant(stage.clients[0].id).await?;
    // Somebody has added some, and not committed them when the seed looks for what is missing.
    let mut tx = db.begin().await?;
    for number in [7, 11] {
        tx.insert("tools")
            .set("slug", format!("t{number}"))
            .set("endpoint", "of the host")
            .execute()
            .await?;
    }
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
    tx.commit().await?;
    let applied = applying.await??;
    assert_eq!(totals(&applied), [298, 2, 0]);
    let others: Vec<(String,)> = rows(&mut server, "select slug from tools where endpoint <> 'seeded'").await;
    assert!(others.is_empty(), "{others:?}");
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn who_waits_in_vain_is_told_so() -> Outcome {
    let stage = Stage::with_acme().await;
    let mut holder =
        crate::sql::connect(stage.fixture.admin_options(&stage.fixture.database("platform"))).await;
    let name = format!("seed rows of {}", stage.clients[0].id);
    let held: bool = one(
        &mut holder,
        &format!("select pg_try_advisory_lock(hashtextextended('{name}', 1413828180))"),
    )
    .await;
    assert!(held);
    let seed = stage
        .seed()
        .data(set(&bot(&["acme"])))
        .wait(std::time::Duration::from_millis(50));
    let refused = seed.apply().await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    assert!(matches!(super::why::<()>(Err(refused)), SeedError::Busy { .. }));
    // Who only looks waits for nobody.
    seed.dry_run().await?;
    let ended: bool = one(&mut holder, "select pg_advisory_unlock_all() is not null").await;
    assert!(ended);
    seed.apply().await?;
    assert_eq!(BOT.iter().count(), 1);
    stage.close().await;
    Ok(())
}
