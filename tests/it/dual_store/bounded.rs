//! What is kept of divergences is bounded, and what is kept of failures tells no values.

use tenantry::{DualStoreError, DualStoreOptions, Repository as _, StorePhase};

use super::{Outcome, Stage, against, agent};
use crate::sql;

#[tokio::test]
async fn divergences_are_kept_up_to_a_bound_and_all_of_them_hold_a_cut_over_up() -> Outcome {
    let stage = Stage::set().await;
    let store = stage.open(DualStoreOptions::default().keep_divergences(3)).await;
    store.change_phase(StorePhase::DualWrite).await?;
    for number in 0..8 {
        store.create(&agent(&format!("a-{number}"), "alike")).await?;
    }
    store.change_phase(StorePhase::DualRead).await?;
    assert!(store.verify().await?.is_clean());
    let new = stage.of(stage.new).await;
    for number in 0..8 {
        new.update(&agent(&format!("a-{number}"), "otherwise")).await?;
    }
    store.list(None, 100).await?;
    store.compared().await;
    assert_eq!(store.comparisons().different, 8);
    let status = store.status().await?;
    assert_eq!(
        (status.diverging, status.more_diverging, status.divergences_found),
        (3, true, 8)
    );
    // Those that are listed are mended; nobody knows by name who else is not.
    for divergence in &status.divergences {
        store.update(&agent(&divergence.key, "mended")).await?;
    }
    assert_eq!(store.status().await?.diverging, 0);
    assert!(matches!(
        against(store.change_phase(StorePhase::CutOver).await),
        DualStoreError::Diverges {
            divergences: 0,
            and_more: true,
            ..
        }
    ));
    let compared = store.verify().await?;
    assert_eq!((compared.diverging, compared.agreed), (5, 3));
    assert_eq!(store.reconcile().await?.written, 5);
    assert!(store.status().await?.more_diverging);
    assert!(store.verify().await?.is_clean());
    let status = store.status().await?;
    assert_eq!(
        (status.diverging, status.more_diverging, status.divergences_found),
        (0, false, 13)
    );
    store.change_phase(StorePhase::CutOver).await?;
    store.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_a_store_said_of_a_record_is_not_kept() -> Outcome {
    const SECRET: &str = "plantedsecret-of-a-record";
    let stage = Stage::set().await;
    let store = stage.open(DualStoreOptions::default()).await;
    store.change_phase(StorePhase::DualWrite).await?;
    let pool = stage.fixture.database("pool-1");
    let mut admin = sql::connect(stage.fixture.admin_options(&pool)).await;
    // PostgreSQL quotes the value that is no number.
    sql::run(
        &mut admin,
        "alter table agents add constraint number check (name::integer > 0) not valid",
    )
    .await;
    store.create(&agent("first", SECRET)).await?;
    let status = store.status().await?;
    assert_eq!(status.repairs.len(), 1);
    let failure = &status.repairs[0].failure;
    assert_eq!(failure, "the new store: refused (database, SQLSTATE 22P02)");
    let refused = stage
        .of(stage.new)
        .await
        .create(&agent("second", SECRET))
        .await
        .unwrap_err();
    assert!(!refused.to_string().contains(SECRET), "{refused}");
    let source = std::error::Error::source(&refused)
        .and_then(std::error::Error::source)
        .unwrap();
    assert!(
        source.to_string().contains(SECRET),
        "it is among the sources, for whoever asks: {source}"
    );
    let platform = stage.fixture.database("platform");
    let mut admin = sql::connect(stage.fixture.admin_options(&platform)).await;
    for table in [
        "dual_stores",
        "dual_store_notes",
        "dual_store_divergences",
        "audit_log",
    ] {
        let kept = format!("select coalesce(string_agg(t::text, ' '), '') from platform.{table} t");
        let kept: String = sql::one(&mut admin, &kept).await;
        assert!(!kept.contains(SECRET), "{table}: {kept}");
    }
    store.close().await;
    stage.close().await;
    Ok(())
}
