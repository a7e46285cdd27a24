//! What PostgreSQL lets every client of a pool do by raw SQL, whatever the guards: they share one role. No
//! row is read or written by it, and service is restored.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry::{ClientConnectionManager, ConnectionOptions, Error};

use super::{Arena, Home, Outcome, manager, victim_sees_its_rows, withstand};
use crate::support::{Reply, ask, ask_alone, ask_plainly};

#[tokio::test]
async fn a_client_can_end_the_sessions_of_others_which_are_replaced() -> Outcome {
    let arena = Arena::new(Home::Pool, 2).await?;
    let mut holding = arena.victim.begin().await?;
    let ended = arena
        .attack(
            "select pg_terminate_backend(pid, 30000)::text from pg_stat_activity
             where usename = current_user and datname = current_database() and pid <> pg_backend_pid()",
        )
        .await?;
    assert_eq!(ended, Reply::one("true"));
    let lost = holding.query("agents").count().await.unwrap_err();
    assert_eq!(lost.kind(), tenantry::ErrorKind::Ambiguous, "{lost:?}");
    drop(holding);
    victim_sees_its_rows(&arena).await?;
    arena.close().await
}

#[tokio::test]
async fn a_client_can_lock_others_out_for_as_long_as_its_transaction() -> Outcome {
    let mut arena = Arena::new(Home::Pool, 1).await?;
    let options = ConnectionOptions::default()
        .max_connections(2)
        .statement_timeout(Duration::from_secs(1));
    let manager =
        ClientConnectionManager::connect(arena.fixture.manager_options().pool_connections(options)).await?;
    let victim = manager.tenant(arena.victim_id()).await?;
    assert_eq!(victim.query("agents").count().await?, 1);
    // A small number, which is soon guessed.
    let handle: i64 = sqlx::query_scalar("select handle from tenantry.placement where client_id = $1")
        .bind(arena.victim_id())
        .fetch_one(&mut arena.admin)
        .await?;
    let lock_key =
        format!("select pg_advisory_xact_lock(hashint8extended({handle}, 8386654066998440569))::text");
    for lock in ["lock table agents in access exclusive mode", &lock_key] {
        let mut tx = arena.attacker.begin().await?;
        let locked = ask(&mut tx, lock).await;
        assert!(matches!(locked, Reply::Rows(_)), "{lock}: {locked:?}");
        match victim.query("agents").count().await.unwrap_err() {
            // Whoever holds a client's lock is taken for who relocates it.
            Error::Relocating { client } => assert_eq!((client, lock), (arena.victim_id(), &*lock_key)),
            waited => assert_eq!(waited.sqlstate().as_deref(), Some("57014"), "{lock}: {waited:?}"),
        }
        tx.rollback().await?;
        assert_eq!(victim.query("agents").count().await?, 1, "{lock}");
    }
    manager.close().await;
    arena.close().await
}

#[tokio::test]
async fn settings_that_a_client_stores_for_the_app_role_change_no_scope() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let shown = "select concat_ws(' ', current_setting('search_path'), current_setting('row_security'),
                         current_setting('default_transaction_read_only'),
                         current_setting('default_transaction_isolation'),
                         current_setting('statement_timeout'), current_setting('plan_cache_mode'))";
        let before = ask_alone(&arena.victim, shown).await?;
        for setting in [
            "search_path = evil, public",
            "row_security = off",
            "default_transaction_read_only = on",
            "default_transaction_isolation = serializable",
            "statement_timeout = 12345",
            "plan_cache_mode = force_generic_plan",
        ] {
            assert_eq!(
                arena.attack(stored(setting)).await?,
                Reply::Rows(vec![]),
                "{setting}"
            );
        }
        let ticket = arena.attack(stored("tenantry.ticket = mine")).await?;
        assert_eq!(ticket, Reply::refused("42501"));
        let app = arena.fixture.app_options(&arena.fixture.database("pool-1"));
        let mut plain = PgConnection::connect_with(&app).await?;
        assert_eq!(
            ask_plainly(&mut plain, shown).await,
            Reply::one("evil, public off on serializable 12345ms force_generic_plan")
        );
        plain.close().await?;
        let manager = manager(&arena.fixture, 1).await?;
        let victim = manager.tenant(arena.victim_id()).await?;
        for _ in 0..2 {
            assert_eq!(ask_alone(&victim, shown).await?, before);
            assert_eq!(victim.query("agents").count().await?, 1);
        }
        manager.close().await;
        Ok(())
    })
    .await
}

fn stored(setting: &str) -> String {
    format!(
        "do $$ begin execute format('alter role current_user in database %I set {setting}', current_database()); end $$"
    )
}

/// They have no client: a host keeps nothing of a client's in them.
#[tokio::test]
async fn large_objects_are_shared_by_all_clients() -> Outcome {
    let arena = Arena::new(Home::Pool, 1).await?;
    let kept = ask_alone(&arena.victim, "select lo_from_bytea(0, 'kept')::text").await?;
    let Reply::Rows(oid) = kept else {
        panic!("{kept:?}")
    };
    let read = format!("select convert_from(lo_get({}), 'UTF8')", oid[0]);
    assert_eq!(arena.attack(read).await?, Reply::one("kept"));
    arena.close().await
}
