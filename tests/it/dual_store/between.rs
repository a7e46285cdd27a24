//! What happens between the two stores: writes that hang, are given up, or meet each other.
#![expect(clippy::disallowed_methods, reason = "has tasks that write")]

use std::time::Duration;

use tenantry::{DualStoreError, DualStoreOptions, Repository as _, StorePhase};

use super::{Outcome, Stage, against, agent};
use crate::sql::{self, PATIENCE};

/// Waits until it is so: nobody tells when it comes to be.
pub(super) async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap();
}

#[tokio::test]
async fn whoever_remembered_the_phase_before_a_cut_over_does_not_read_the_old_store_after_it() -> Outcome {
    let stage = Stage::set().await;
    let lead = stage.open(DualStoreOptions::default()).await;
    let reader = stage.open(DualStoreOptions::default()).await;
    lead.create(&agent("first", "Ada")).await?;
    lead.change_phase(StorePhase::DualWrite).await?;
    lead.reconcile().await?;
    lead.change_phase(StorePhase::DualRead).await?;
    assert!(lead.verify().await?.is_clean());
    let changing = {
        let lead = lead.clone();
        tokio::spawn(async move { lead.change_phase(StorePhase::CutOver).await })
    };
    while !changing.is_finished() {
        reader.get("first").await?;
    }
    changing.await??;
    let old = stage.fixture.database("acme-old");
    let mut admin = sql::connect(stage.fixture.admin_options(&old)).await;
    sql::run(
        &mut admin,
        "alter table agents add constraint none check (name = '') not valid",
    )
    .await;
    // The new store decides, and has it; the old one does not.
    lead.update(&agent("first", "Eve")).await?;
    assert_eq!(reader.get("first").await?, Some(agent("first", "Eve")));
    assert!(matches!(
        against(lead.change_phase(StorePhase::DualRead).await),
        DualStoreError::RepairsPending { pending: 1, .. }
    ));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_cut_over_waits_for_the_writes_under_way_and_is_refused_where_they_do_not_end() -> Outcome {
    let stage = Stage::set().await;
    let store = stage
        .open(DualStoreOptions::default().drain(Duration::from_millis(100)))
        .await;
    store.change_phase(StorePhase::DualWrite).await?;
    store.change_phase(StorePhase::DualRead).await?;
    store.verify().await?;
    let old = stage.fixture.database("acme-old");
    let mut admin = sql::connect(stage.fixture.admin_options(&old)).await;
    sql::run(&mut admin, "begin; lock table agents in exclusive mode").await;
    let writing = {
        let store = store.clone();
        tokio::spawn(async move { store.create(&agent("first", "Ada")).await })
    };
    until(async || store.status().await.unwrap().under_way == 1).await;
    assert!(matches!(
        against(store.change_phase(StorePhase::CutOver).await),
        DualStoreError::NotDrained { under_way: 1, .. }
    ));
    assert_eq!(store.status().await?.phase, StorePhase::DualRead);
    sql::run(&mut admin, "commit").await;
    writing.await??;
    store.change_phase(StorePhase::CutOver).await?;
    assert_eq!(store.get("first").await?, Some(agent("first", "Ada")));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_write_whose_caller_gave_up_between_both_stores_arrives_in_the_second() -> Outcome {
    let stage = Stage::set().await;
    let store = stage.open(DualStoreOptions::default()).await;
    store.change_phase(StorePhase::DualWrite).await?;
    let pool = stage.fixture.database("pool-1");
    let mut admin = sql::connect(stage.fixture.admin_options(&pool)).await;
    sql::run(&mut admin, "begin; lock table agents in exclusive mode").await;
    let writing = {
        let store = store.clone();
        tokio::spawn(async move { store.create(&agent("first", "Ada")).await })
    };
    let old = stage.of(stage.old).await;
    until(async || old.get("first").await.unwrap().is_some()).await;
    writing.abort();
    assert!(writing.await.is_err_and(|error| error.is_cancelled()));
    // Whatever the server makes of the statement that was given up.
    let mut superuser = sql::connect(stage.fixture.server().connect_options(&pool)).await;
    sql::run(
        &mut superuser,
        "select pg_terminate_backend(pid) from pg_locks where relation = 'agents'::regclass and not granted
         and database = (select oid from pg_database where datname = current_database())",
    )
    .await;
    sql::run(&mut admin, "commit").await;
    let new = stage.of(stage.new).await;
    until(async || new.get("first").await.unwrap().is_some()).await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_a_process_that_died_left_behind_is_repaired_by_another() -> Outcome {
    let stage = Stage::set().await;
    let store = stage.open(DualStoreOptions::default()).await;
    store.change_phase(StorePhase::DualWrite).await?;
    stage.of(stage.old).await.create(&agent("first", "Ada")).await?;
    // As it leaves the platform database: noted, written to the first store, and never heard of again.
    let platform = stage.fixture.database("platform");
    let mut admin = sql::connect(stage.fixture.admin_options(&platform)).await;
    let client = stage.new;
    sql::run(
        &mut admin,
        &format!(
            "insert into platform.dual_store_notes (client_id, name, key) values ('{client}', 'agents', 'first')"
        ),
    )
    .await;
    let other = stage
        .open(DualStoreOptions::default().settled_after(Duration::from_millis(1)))
        .await;
    let new = stage.of(stage.new).await;
    until(async || new.get("first").await.unwrap().is_some()).await;
    until(async || other.status().await.unwrap().under_way == 0).await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_write_waits_for_the_one_before_it_to_be_in_both_stores() -> Outcome {
    let stage = Stage::set().await;
    let one = stage.open(DualStoreOptions::default()).await;
    one.change_phase(StorePhase::DualWrite).await?;
    one.create(&agent("first", "Ada")).await?;
    let other = stage.open(DualStoreOptions::default()).await;
    let pool = stage.fixture.database("pool-1");
    let mut admin = sql::connect(stage.fixture.admin_options(&pool)).await;
    sql::run(&mut admin, "begin; lock table agents in exclusive mode").await;
    let old = stage.of(stage.old).await;
    let earlier = tokio::spawn(async move { one.update(&agent("first", "Bea")).await });
    until(async || old.get("first").await.unwrap() == Some(agent("first", "Bea"))).await;
    let later = tokio::spawn(async move { other.update(&agent("first", "Cy")).await });
    // The later one is held up before it writes anything.
    let platform = stage.fixture.database("platform");
    let mut watcher = sql::connect(stage.fixture.admin_options(&platform)).await;
    let waits = "select count(*) > 0 from pg_locks where locktype = 'advisory' and not granted and
                 database = (select oid from pg_database where datname = current_database())";
    until(async || {
        assert_eq!(old.get("first").await.unwrap(), Some(agent("first", "Bea")));
        sql::one(&mut watcher, waits).await
    })
    .await;
    sql::run(&mut admin, "commit").await;
    earlier.await??;
    later.await??;
    let new = stage.of(stage.new).await;
    for store in [old, new] {
        assert_eq!(store.get("first").await?, Some(agent("first", "Cy")));
    }
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_one_record_arrive_in_both_stores_in_the_same_order() -> Outcome {
    let stage = Stage::set().await;
    let lead = stage.open(DualStoreOptions::default()).await;
    lead.change_phase(StorePhase::DualWrite).await?;
    lead.create(&agent("first", "Ada")).await?;
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(stage.open(DualStoreOptions::default()).await);
    }
    let (old, new) = (stage.of(stage.old).await, stage.of(stage.new).await);
    for round in 0..5 {
        let writers = stores.iter().cloned().enumerate().map(|(number, store)| {
            tokio::spawn(async move {
                for at in 0..4 {
                    let one = agent("first", &format!("{round} {number} {at}"));
                    store.update(&one).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await?;
        }
        assert_eq!(old.get("first").await?, new.get("first").await?);
    }
    stage.close().await;
    Ok(())
}
