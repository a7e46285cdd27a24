//! Phases are taken one by one, forwards and back, while it is written.
#![expect(clippy::disallowed_methods, reason = "has tasks that write")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tenantry::{DivergenceKind, DualStore, DualStoreError, DualStoreOptions, Repository as _, StorePhase};

use super::{Outcome, Stage, against, agent};
use crate::sql;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_is_in_the_store_that_decides_while_phases_go_forward_and_back() -> Outcome {
    let stage = Stage::set().await;
    stage
        .of(stage.old)
        .await
        .create(&agent("first", "before all"))
        .await?;
    let lead = stage.open(DualStoreOptions::default()).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for number in 0..3 {
        // Each as a process of its own, that nobody tells anything.
        let store = stage.open(DualStoreOptions::default()).await;
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        writers.push(tokio::spawn(async move {
            let mut there = BTreeMap::new();
            let mut at = 0_u32;
            while !stop.load(Ordering::Acquire) {
                at += 1;
                let slug = format!("{number}-{}", at % 7);
                let one = agent(&slug, &format!("{at}"));
                if there.contains_key(&slug) && at.is_multiple_of(5) {
                    store.delete(&slug).await.unwrap();
                    there.remove(&slug);
                } else if there.contains_key(&slug) {
                    store.update(&one).await.unwrap();
                    there.insert(slug.clone(), one);
                } else {
                    store.create(&one).await.unwrap();
                    there.insert(slug.clone(), one);
                }
                // What was acknowledged is read, whatever phase this process remembers.
                assert_eq!(store.get(&slug).await.unwrap().as_ref(), there.get(&slug));
                done.fetch_add(1, Ordering::AcqRel);
            }
            store.compared().await;
            assert_eq!(store.comparisons().diverged(), 0);
            there
        }));
    }
    let written = async |more: u64| {
        let until = done.load(Ordering::Acquire) + more;
        while done.load(Ordering::Acquire) < until {
            tokio::task::yield_now().await;
        }
    };
    written(20).await;
    lead.change_phase(StorePhase::DualWrite).await?;
    lead.reconcile().await?;
    assert!(lead.verify().await?.is_clean());
    lead.change_phase(StorePhase::DualRead).await?;
    written(20).await;
    lead.change_phase(StorePhase::CutOver).await?;
    written(20).await;
    lead.change_phase(StorePhase::DualRead).await?;
    written(20).await;
    lead.change_phase(StorePhase::CutOver).await?;
    written(20).await;
    stop.store(true, Ordering::Release);
    let mut expected = BTreeMap::from([("first".to_owned(), agent("first", "before all"))]);
    for writer in writers {
        expected.extend(writer.await?);
    }
    for side in [stage.old, stage.new] {
        let found = stage.of(side).await.list(None, 1_000).await?;
        let found: BTreeMap<_, _> = found.into_iter().map(|one| (one.slug.clone(), one)).collect();
        assert_eq!(found, expected);
    }
    lead.change_phase(StorePhase::CleanUp).await?;
    lead.create(&agent("last", "in the new one alone")).await?;
    assert_eq!(stage.of(stage.old).await.get("last").await?, None);
    assert!(stage.of(stage.new).await.get("last").await?.is_some());
    assert!(matches!(
        against(lead.change_phase(StorePhase::CutOver).await),
        DualStoreError::NoSuchStep { .. }
    ));
    lead.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_cut_over_asks_for_a_comparison_in_full_and_for_no_divergence() -> Outcome {
    let stage = Stage::set().await;
    stage.of(stage.old).await.create(&agent("first", "Ada")).await?;
    let store = stage.open(DualStoreOptions::default()).await;
    assert!(matches!(
        against(store.change_phase(StorePhase::DualRead).await),
        DualStoreError::NoSuchStep { .. }
    ));
    store.change_phase(StorePhase::DualWrite).await?;
    store.change_phase(StorePhase::DualRead).await?;
    assert!(matches!(
        against(store.change_phase(StorePhase::CutOver).await),
        DualStoreError::NotVerified
    ));
    let found = store.verify().await?;
    assert_eq!((found.truth, found.second, found.diverging), (1, 0, 1));
    assert_eq!(found.divergences[0].kind, DivergenceKind::Missing);
    assert_eq!(store.reconcile().await?.written, 1);
    assert!(store.verify().await?.is_clean());
    // Planted behind its back, and found by who reads.
    stage.of(stage.new).await.update(&agent("first", "Eve")).await?;
    store.get("first").await?;
    store.compared().await;
    assert_eq!(store.comparisons().different, 1);
    let fields = vec!["name".to_owned()];
    assert_eq!(
        store.status().await?.divergences[0].kind,
        DivergenceKind::Different { fields }
    );
    assert!(matches!(
        against(store.change_phase(StorePhase::CutOver).await),
        DualStoreError::Diverges { divergences: 1, .. }
    ));
    assert_eq!(store.reconcile().await?.written, 1);
    store.change_phase(StorePhase::CutOver).await?;
    assert_eq!(store.get("first").await?, Some(agent("first", "Ada")));
    store.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_second_write_that_fails_is_noted_and_repaired_and_holds_a_cut_over_up() -> Outcome {
    let stage = Stage::set().await;
    let store = stage.open(DualStoreOptions::default()).await;
    store.change_phase(StorePhase::DualWrite).await?;
    store.change_phase(StorePhase::DualRead).await?;
    assert!(store.verify().await?.is_clean());
    let pool = stage.fixture.database("pool-1");
    let mut admin = sql::connect(stage.fixture.admin_options(&pool)).await;
    sql::run(
        &mut admin,
        "alter table agents add constraint none check (name = '') not valid",
    )
    .await;
    // The old store has it, and decides: it is acknowledged.
    store.create(&agent("first", "Ada")).await?;
    assert_eq!(stage.of(stage.new).await.get("first").await?, None);
    let status = store.status().await?;
    assert_eq!((status.to_be_repaired, status.under_way), (1, 0));
    for stated in [false, true] {
        let changed = if stated {
            store
                .change_phase_despite(StorePhase::CutOver, "in a hurry")
                .await
        } else {
            store.change_phase(StorePhase::CutOver).await
        };
        assert!(matches!(
            against(changed),
            DualStoreError::RepairsPending { pending: 1, .. }
        ));
    }
    sql::run(&mut admin, "alter table agents drop constraint none").await;
    store.repair().await?;
    assert_eq!(
        stage.of(stage.new).await.get("first").await?,
        Some(agent("first", "Ada"))
    );
    assert_eq!(store.status().await?.to_be_repaired, 0);
    store.change_phase(StorePhase::CutOver).await?;
    store.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stores_are_cut_over_at_once() -> Outcome {
    let stage = Stage::set().await;
    let mut stores = Vec::new();
    // More than there are connections to the platform database.
    for number in 0..8 {
        let (old, new) = (stage.of(stage.old).await, stage.of(stage.new).await);
        let platform = stage.fixture.platform().clone();
        let name = format!("agents-{number}");
        stores.push(DualStore::open(platform, stage.new, name, old, new, DualStoreOptions::default()).await?);
    }
    for phase in [StorePhase::DualWrite, StorePhase::DualRead] {
        futures_util::future::try_join_all(stores.iter().map(|store| store.change_phase(phase))).await?;
    }
    futures_util::future::try_join_all(stores.iter().map(DualStore::verify)).await?;
    let cut = stores.iter().map(|store| store.change_phase(StorePhase::CutOver));
    tokio::time::timeout(
        std::time::Duration::from_secs(9),
        futures_util::future::try_join_all(cut),
    )
    .await??;
    stage.close().await;
    Ok(())
}
