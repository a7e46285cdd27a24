//! Building and dropping while others write, fail and build.

use futures_util::future::join_all;
use tenantry::{Error, VectorIndex};
use tokio::sync::{oneshot, watch};

use super::{Outcome, Place, index, near, query, recall};
use crate::sql::{connect, one, run, until};

#[tokio::test]
async fn writers_go_on_while_an_index_is_built_and_dropped() -> Outcome {
    let place = Place::with(1_500).await?;
    let db = place.db().await?;
    let (began, first_write) = oneshot::channel();
    let (stop, stopped) = watch::channel(false);
    let writer = tokio::spawn({
        let db = db.clone();
        async move {
            let (mut began, mut written) = (Some(began), 0);
            while !*stopped.borrow() {
                db.insert("spots")
                    .set("id", 10_000 + written)
                    .set("tag", 0)
                    .set("spot", query(u32::try_from(1_000 + written).unwrap()))
                    .execute()
                    .await?;
                db.update("spots")
                    .set("tag", written % 10)
                    .eq("id", 10_000 + written)
                    .execute()
                    .await?;
                written += 1;
                if let Some(began) = began.take() {
                    let _ = began.send(());
                }
            }
            Ok::<i32, Error>(written)
        }
    });
    first_write.await?;
    let platform = place.fixture.platform();
    let first = platform.promote_vectors(place.acme, &index()).await?;
    assert!(platform.demote_vectors(place.acme, "spots", "spot").await?);
    let second = platform.promote_vectors(place.acme, &index()).await?;
    stop.send(true)?;
    let written = writer.await??;
    assert!(written > 0);
    assert!(first.built && second.built);
    assert_eq!(first.index, second.index);
    // What was written meanwhile is found.
    let recall = recall(&db, 20).await?;
    assert!(recall >= 0.9, "{recall}");
    let (ids, approximately) = near(&db, 1_000, 100.0).await?;
    assert!(approximately && ids[0] == 10_000, "{ids:?}");
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn promoting_again_finds_the_index_that_is_there() -> Outcome {
    let mut place = Place::with(200).await?;
    let platform = place.fixture.platform();
    let all = join_all((0..3).map(|_| async { platform.promote_vectors(place.acme, &index()).await })).await;
    let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    // At once or one after the other: one of them builds it.
    assert_eq!(all.iter().filter(|promoted| promoted.built).count(), 1, "{all:?}");
    let again = platform
        .promote_vectors(
            place.acme,
            &VectorIndex::new("public.spots", "spot").m(8).ef_construction(32),
        )
        .await?;
    assert!(!again.built);
    assert_eq!((&again.index, again.rows), (&all[0].index, 200));
    assert_eq!(place.indexes().await, [(again.index, true)]);
    place.close().await;
    Ok(())
}

/// The builder's session, where it waits for a transaction in flight.
const WAITING: &str = "select count(*) = 1 from pg_stat_progress_create_index
     where datname = current_database() and phase like 'waiting for%'";

#[tokio::test]
async fn what_an_interrupted_build_left_is_built_anew() -> Outcome {
    let mut place = Place::with(200).await?;
    let mut superuser = place.superuser().await;
    let mut holder = connect(place.fixture.admin_options(&place.fixture.database("pool-1"))).await;
    run(
        &mut holder,
        &format!(
            "begin; update spots set tag = 1 where client_id = '{}' and id = 1",
            place.acme
        ),
    )
    .await;
    let platform = place.fixture.platform().clone();
    let acme = place.acme;
    let build = tokio::spawn(async move { platform.promote_vectors(acme, &index()).await });
    until(&mut superuser, WAITING).await;
    let ended: bool = one(
        &mut superuser,
        "select pg_terminate_backend(pid, 5000) from pg_stat_progress_create_index where datname = current_database()",
    )
    .await;
    assert!(ended);
    let error = build.await?.unwrap_err();
    assert!(matches!(error, Error::Statement { .. }), "{error:?}");
    let left = place.indexes().await;
    assert!(matches!(&*left, [(_, false)]), "{left:?}");
    let db = place.db().await?;
    assert!(!near(&db, 1, 100.0).await?.1);

    run(&mut holder, "commit").await;
    let promoted = place.fixture.platform().promote_vectors(acme, &index()).await?;
    assert!(promoted.built);
    assert_eq!(place.indexes().await, [(promoted.index, true)]);
    assert!(near(&db, 1, 100.0).await?.1);
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn demoting_takes_what_an_interrupted_build_left() -> Outcome {
    let mut place = Place::with(200).await?;
    let promoted = place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;
    let mut superuser = place.superuser().await;
    run(
        &mut superuser,
        &format!(
            "update pg_index set indisvalid = false where indexrelid = '{}'::regclass",
            promoted.index
        ),
    )
    .await;
    assert!(!super::told(&place.db().await?).await?);
    assert!(
        place
            .fixture
            .platform()
            .demote_vectors(place.acme, "spots", "spot")
            .await?
    );
    assert!(place.indexes().await.is_empty());
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn one_index_is_built_at_a_time_and_the_wait_for_another_is_bounded() -> Outcome {
    let mut place = Place::with(200).await?;
    // As another builder has it.
    run(
        &mut place.admin,
        "select pg_advisory_lock(1952804449, 1986356340)",
    )
    .await;
    let platform = place.fixture.platform();
    let error = platform.promote_vectors(place.acme, &index()).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(
        matches!(error, Error::Busy { client, .. } if client == place.acme),
        "{error:?}"
    );
    run(&mut place.admin, "select pg_advisory_unlock_all()").await;
    assert!(platform.promote_vectors(place.acme, &index()).await?.built);
    place.close().await;
    Ok(())
}
