//! Searches by an own index, and by none.

use sqlx::Executor as _;
use tenantry::{Error, Metric};

use super::{Outcome, Place, add_spots, index, near, of_client, query, recall, scans, told};
use crate::sql::{connect, one, run};

#[tokio::test]
async fn a_promoted_client_is_searched_by_its_own_index_and_finds_the_same() -> Outcome {
    let place = Place::with(2_000).await?;
    let db = place.db().await?;
    assert!(!told(&db).await?);
    let promoted = place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;
    assert!(promoted.built);
    assert_eq!(promoted.rows, 2_000);
    assert!(told(&db).await?);
    let recall = recall(&db, 20).await?;
    assert!(recall >= 0.95, "{recall}");

    let mut tx = db.begin().await?;
    let before = scans(&mut tx, &promoted.index).await?;
    let found: Vec<(i32, bool)> = tx.rpc("near").arg("p_spot", query(1)).fetch_all().await?;
    assert_eq!(found.len(), 10);
    assert_eq!(scans(&mut tx, &promoted.index).await?, before + 1);
    tx.rollback().await?;

    assert!(
        place
            .fixture
            .platform()
            .demote_vectors(place.acme, "spots", "spot")
            .await?
    );
    assert!(!told(&db).await?);
    let (found, approximately) = near(&db, 1, 100.0).await?;
    assert!(found.len() == 10 && !approximately);
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn all_rows_that_are_asked_for_come_back_though_nine_of_ten_are_filtered() -> Outcome {
    let place = Place::with(2_000).await?;
    let db = place.db().await?;
    place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;
    for number in 0..10 {
        let found: Vec<(i32, bool)> = db
            .rpc("near")
            .arg("p_spot", query(number))
            .arg("p_tag", 3)
            .fetch_all()
            .await?;
        assert_eq!(found.len(), 10, "{number}");
        assert!(
            found
                .iter()
                .all(|(id, approximately)| id % 10 == 3 && *approximately)
        );
    }
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn few_rows_are_searched_exactly_whatever_index_there_is() -> Outcome {
    let mut place = Place::with(300).await?;
    let db = place.db().await?;
    let promoted = place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;
    assert!(near(&db, 1, 300.0).await?.1);
    assert!(!near(&db, 1, 301.0).await?.1);
    // Unless the function says otherwise, few is fewer than four thousand.
    let by_default = "select tenantry.approximate('spots', 'spot')";
    assert!(!of_client::<bool>(&db, by_default).await?);
    add_spots(&mut place.admin, place.acme, 300, 3_700).await;
    run(&mut place.admin, "analyze spots").await;
    assert_eq!(super::tuples(&mut place.admin, &promoted.index).await, 4_000);
    assert!(of_client::<bool>(&db, by_default).await?);
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn an_index_is_of_one_metric() -> Outcome {
    let mut place = Place::with(200).await?;
    let db = place.db().await?;
    let platform = place.fixture.platform();
    let asked = |metric: Metric| format!("select tenantry.approximate('spots', 'spot', '{metric}', 100)");
    for metric in [Metric::L2, Metric::InnerProduct] {
        assert!(!of_client::<bool>(&db, asked(metric)).await?);
        platform
            .promote_vectors(place.acme, &index().metric(metric))
            .await?;
        assert!(of_client::<bool>(&db, asked(metric)).await?);
    }
    assert!(!of_client::<bool>(&db, asked(Metric::Cosine)).await?);
    assert!(!of_client::<bool>(&db, "select tenantry.approximate('spots', 'tag', 'l2', 100)").await?);
    // One demotion takes both.
    assert!(
        platform
            .demote_vectors(place.acme, "public.spots", "spot")
            .await?
    );
    assert!(
        !platform
            .demote_vectors(place.acme, "public.spots", "spot")
            .await?
    );
    assert!(place.indexes().await.is_empty());
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn no_client_is_told_or_shown_anything_by_the_index_of_another() -> Outcome {
    let mut place = Place::with(1_000).await?;
    let other = place.fixture.shared_client("other").await?.id;
    add_spots(&mut place.admin, other, 100_000, 1_000).await;
    let few = place.fixture.shared_client("few").await?.id;
    add_spots(&mut place.admin, few, 200_000, 5).await;
    run(&mut place.admin, "analyze spots").await;
    let acme = place.db().await?;
    let few = place.manager.tenant(few).await?;
    let plan = "explain (costs off) select id from spots where client_id = tenantry.current_client()
                order by spot <=> '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]' limit 10";
    let before = plan_of(&acme, plan).await?;

    let promoted = place.fixture.platform().promote_vectors(other, &index()).await?;
    assert_eq!(promoted.rows, 1_000);
    assert_eq!(plan_of(&acme, plan).await?, before);
    for db in [&acme, &few] {
        assert!(!told(db).await?);
        // Its functions asked for the other, and the statement of the index itself.
        for sql in [
            format!("select count(*) from near('{other}', array_fill(1, array[16])::vector)"),
            format!(
                "select count(*) from (select id from spots where client_id = '{other}'
                 order by spot::halfvec(16) <=> array_fill(1, array[16])::halfvec limit 10) s"
            ),
        ] {
            assert_eq!(of_client::<i64>(db, sql.as_str()).await?, 0, "{sql}");
        }
        // Without a predicate of its own, an order by vector brings the client's rows alone.
        let foreign = "select count(*) from (select client_id from spots order by spot::halfvec(16) <=>
                       array_fill(1, array[16])::halfvec limit 1000) s where client_id <> tenantry.current_client()";
        assert_eq!(of_client::<i64>(db, foreign).await?, 0);
    }
    // Nor does its own index bring others' rows.
    place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;
    for number in 0..10 {
        let (ids, approximately) = near(&acme, number, 100.0).await?;
        assert!(
            approximately && ids.len() == 10 && ids.iter().all(|id| *id < 1_000),
            "{ids:?}"
        );
    }
    let (ids, approximately) = near(&few, 1, 100.0).await?;
    assert!(
        !approximately && ids.len() == 5 && ids.iter().all(|id| *id >= 200_000),
        "{ids:?}"
    );
    // Nobody is bound: nobody is told.
    let mut app = connect(place.fixture.app_options(&place.fixture.database("pool-1"))).await;
    let refused = app
        .execute("select tenantry.hello(); select tenantry.approximate('spots', 'spot')")
        .await;
    let code = refused
        .unwrap_err()
        .as_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned();
    assert_eq!(code, "TN005");
    place.close().await;
    Ok(())
}

async fn plan_of(db: &tenantry::TenantDb, sql: &'static str) -> tenantry::Result<Vec<String>> {
    let mut tx = db.begin().await?;
    let plan = sqlx::query_scalar(sql)
        .fetch_all(&mut tx)
        .await
        .map_err(|error| Error::from_sqlx(db.client().id, error))?;
    tx.rollback().await?;
    Ok(plan)
}

#[tokio::test]
async fn a_dedicated_database_is_promoted_the_same() -> Outcome {
    let place = Place::with(0).await?;
    let fixture = &place.fixture;
    let vast = fixture.dedicated_client("vast").await?.id;
    let mut admin = connect(fixture.admin_options(&fixture.database("vast"))).await;
    add_spots(&mut admin, vast, 0, 2_000).await;
    let db = place.manager.tenant(vast).await?;
    assert!(!told(&db).await?);
    let promoted = fixture.platform().promote_vectors(vast, &index()).await?;
    assert!(promoted.built);
    assert_eq!(promoted.rows, 2_000);
    let predicate: Option<String> = one(
        &mut admin,
        &format!(
            "select pg_get_expr(indpred, indrelid) from pg_index where indexrelid = '{}'::regclass",
            promoted.index
        ),
    )
    .await;
    assert_eq!(predicate, None);
    assert!(told(&db).await?);
    assert!(recall(&db, 10).await? >= 0.95);
    assert!(!fixture.platform().promote_vectors(vast, &index()).await?.built);
    assert!(fixture.platform().demote_vectors(vast, "spots", "spot").await?);
    assert!(!told(&db).await?);
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn so_is_one_that_an_older_system_made() -> Outcome {
    let place = Place::with(0).await?;
    let fixture = &place.fixture;
    let old = fixture
        .legacy_client("old", "create table spots (id serial primary key)")
        .await?
        .id;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("old"))).await;
    run(
        &mut superuser,
        "create extension vector; alter table spots add spot vector(3);
         insert into spots (spot) select array[n, 500 - n, 1]::vector from generate_series(1, 500) n",
    )
    .await;
    let promoted = fixture.platform().promote_vectors(old, &index()).await?;
    assert!(promoted.built && promoted.rows == 500, "{promoted:?}");
    assert!(fixture.platform().demote_vectors(old, "spots", "spot").await?);
    place.close().await;
    Ok(())
}
