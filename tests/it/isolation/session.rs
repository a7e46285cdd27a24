#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "attacks by raw SQL, and panics in a task of its own"
)]

use sqlx::{Executor as _, Row as _};
use uuid::Uuid;

use super::{Arena, Home, Outcome, from_both_homes, withstand};
use crate::support::{Reply, ask};

from_both_homes![
    a_failed_statement_leaves_nothing_to_the_next_client,
    a_panic_leaves_nothing_to_the_next_client,
    a_dropped_statement_leaves_nothing_to_the_next_client,
    a_statement_prepared_for_the_victim_is_run_for_the_attacker,
];

async fn a_failed_statement_leaves_nothing_to_the_next_client(arena: &mut Arena) -> Outcome {
    for (failing, code) in [
        ("select 1 / 0", "22012"),
        ("select from nowhere", "42P01"),
        ("insert into agents (slug, name) values ('guide', 'x')", "23505"),
        ("select 'x'::int", "22P02"),
        ("do $$ begin commit; end $$", "2D000"),
        ("do $$ begin raise exception 'mine'; end $$", "P0001"),
    ] {
        for rolled_back in [true, false] {
            let mut tx = arena.attacker.begin().await?;
            assert_eq!(ask(&mut tx, failing).await, Reply::refused(code));
            assert_eq!(
                ask(&mut tx, "select t::text from agents t").await,
                Reply::refused("25P02")
            );
            if rolled_back {
                tx.rollback().await?;
            } else {
                let error = tx.commit().await.unwrap_err();
                assert_eq!(error.sqlstate().as_deref(), Some("25P02"), "{error:?}");
            }
            super::victim_writes(arena).await?;
            super::victim_sees_its_rows(arena).await?;
            assert_eq!(arena.attacker.query("agents").count().await?, 1);
        }
    }
    Ok(())
}

async fn a_panic_leaves_nothing_to_the_next_client(arena: &mut Arena) -> Outcome {
    let db = arena.attacker.clone();
    let panicked = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        let written = ask(&mut tx, "update agents set name = 'half done' returning '1'").await;
        assert_eq!(written, Reply::one("2"), "fails on purpose");
    })
    .await
    .unwrap_err();
    assert!(panicked.is_panic());
    super::victim_writes(arena).await?;
    super::victim_sees_its_rows(arena).await?;
    let half_done = arena
        .attacker
        .query("agents")
        .eq("name", "half done")
        .count()
        .await?;
    assert_eq!(half_done, 0);
    Ok(())
}

async fn a_dropped_statement_leaves_nothing_to_the_next_client(arena: &mut Arena) -> Outcome {
    let mut tx = arena.attacker.begin().await?;
    ask(&mut tx, "update agents set name = 'half done'").await;
    {
        // Rows are on their way when the stream is dropped.
        use futures_util::StreamExt as _;
        let mut rows = tx.fetch(sqlx::query(
            "select repeat('x', 10000) from generate_series(1, 100)",
        ));
        assert_eq!(rows.next().await.unwrap()?.get::<String, _>(0).len(), 10_000);
    }
    assert_eq!(
        ask(&mut tx, "select name from agents").await,
        Reply::one("half done")
    );
    let sleeping = tx.execute(sqlx::query("select pg_sleep(0.2)"));
    assert!(futures_util::FutureExt::now_or_never(sleeping).is_none());
    drop(tx);
    super::victim_writes(arena).await?;
    super::victim_sees_its_rows(arena).await?;
    let half_done = arena
        .attacker
        .query("agents")
        .eq("name", "half done")
        .count()
        .await?;
    assert_eq!(half_done, 0);
    Ok(())
}

async fn a_statement_prepared_for_the_victim_is_run_for_the_attacker(arena: &mut Arena) -> Outcome {
    const SQL: &str = "select id from agents where $1::uuid is null or id = $1";
    let (mine, theirs) = (arena.mine.agent, arena.theirs.agent);
    for plan in ["auto", "force_generic_plan", "force_custom_plan"] {
        let plan = format!("select set_config('plan_cache_mode', '{plan}', true)");
        let mut tx = arena.victim.begin().await?;
        ask(&mut tx, &plan).await;
        // A plan is kept from the sixth time on.
        for _ in 0..7 {
            let found: Vec<Uuid> = sqlx::query_scalar(SQL).bind(theirs).fetch_all(&mut tx).await?;
            assert_eq!(found, [theirs]);
        }
        let statement = (&mut tx).prepare(sqlx::SqlSafeStr::into_sql_str(SQL)).await?;
        tx.commit().await?;

        let mut tx = arena.attacker.begin().await?;
        ask(&mut tx, &plan).await;
        for id in [Some(theirs), None, Some(theirs), Some(mine)] {
            let expected = if id == Some(theirs) { vec![] } else { vec![mine] };
            let found: Vec<Uuid> = sqlx::query_scalar(SQL).bind(id).fetch_all(&mut tx).await?;
            assert_eq!(found, expected, "{plan}: {id:?}");
            let rows = sqlx::Statement::query(&statement)
                .bind(id)
                .fetch_all(&mut tx)
                .await?;
            let found: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(found, expected, "{plan}: {id:?}");
        }
        tx.commit().await?;
    }
    // The server's own name for a statement that the victim prepared.
    if arena.home == Home::Pool {
        let names = arena
            .attack("select name from pg_prepared_statements where statement ~ '^select id from agents'")
            .await?;
        let Reply::Rows(names) = names else {
            panic!("{names:?}")
        };
        assert!(!names.is_empty());
        for name in names {
            let found = arena.attack(format!("execute {name} ('{theirs}')")).await?;
            assert_eq!(found, Reply::Rows(vec![]), "{name}");
        }
    }
    Ok(())
}
