//! Searches by the builder.

use pgvector::Vector;
use tenantry::{Error, Metric, Search, TenantDb, TransactionOptions};

use super::{DIMENSIONS, Outcome, Place, add_spots, index, query, scans};
use crate::sql::run;

async fn found(db: &TenantDb, number: u32, search: Search) -> tenantry::Result<Vec<(i32, f64)>> {
    let spots = db.query("spots").columns(["id"]);
    spots
        .nearest("spot", query(number))
        .search(search)
        .fetch_all()
        .await
}

#[tokio::test]
async fn the_nearest_rows_are_found_by_the_own_index_as_they_are_exactly() -> Outcome {
    let place = Place::with(2_000).await?;
    let db = place.db().await?;
    let exact = found(&db, 1, Search::Approximate).await?;
    assert_eq!(exact.len(), 10);
    assert!(exact.is_sorted_by(|(_, one), (_, next)| one <= next));
    let promoted = place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;

    // Another process, which knows of the index from the beginning.
    let manager = place.fixture.manager().await?;
    let db = manager.tenant(place.acme).await?;
    for (search, scanned) in [(Search::Approximate, 1), (Search::Exact, 0), (Search::Auto, 0)] {
        let mut tx = db.begin().await?;
        let before = scans(&mut tx, &promoted.index).await?;
        let rows: Vec<(i32, f64)> = tx
            .query("spots")
            .columns(["id"])
            .nearest("spot", query(1))
            .search(search)
            .fetch_all()
            .await?;
        assert_eq!(rows.len(), 10);
        // 2,000 rows are measured as fast.
        assert_eq!(
            scans(&mut tx, &promoted.index).await?,
            before + scanned,
            "{search:?}"
        );
        // The settings of the search are not left to what follows.
        let sorts: String = sqlx::query_scalar("select current_setting('enable_sort')")
            .fetch_one(&mut tx)
            .await?;
        assert_eq!(sorts, "on");
        tx.commit().await?;
    }
    let (mut of, mut hits) = (0, 0);
    for number in 0..20 {
        let spots = db
            .query("spots")
            .nearest("spot", query(number))
            .search(Search::Approximate);
        let recall = spots.recall().await?;
        assert!(recall.approximate && recall.exact == 10, "{recall:?}");
        (of, hits) = (of + recall.exact, hits + recall.found);
    }
    assert!(hits * 100 >= of * 95, "{hits} of {of}");
    manager.close().await;
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn conditions_and_a_distance_hold_and_all_rows_that_are_wanted_come_back() -> Outcome {
    let mut place = Place::with(4_500).await?;
    place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await?;
    let db = place.db().await?;
    for number in 0..10 {
        let tagged = || db.query("spots").columns(["id"]).eq("tag", 3);
        let search = |search| tagged().nearest("spot", query(number)).limit(30).search(search);
        let rows: Vec<(i32, f64)> = search(Search::Auto).fetch_all().await?;
        assert_eq!(rows.len(), 30, "{number}");
        assert!(rows.iter().all(|(id, _)| id % 10 == 3));
        let exact: Vec<(i32, f64)> = search(Search::Exact).fetch_all().await?;
        let middle = exact[15].1;
        let near: Vec<(i32, f64)> = search(Search::Auto).within(middle).fetch_all().await?;
        assert!((14..=17).contains(&near.len()), "{}", near.len());
        assert!(near.iter().all(|(_, distance)| *distance <= middle));
        // By ids of a sub-query, too, as the documents of an agent are.
        let some = db.query("spots").columns(["id"]).lt("id", 40);
        let among = db.query("spots").columns(["id"]).is_in_query("id", some);
        let rows: Vec<(i32, f64)> = among.nearest("spot", query(number)).limit(30).fetch_all().await?;
        assert_eq!(rows.len(), 30);
        assert!(rows.iter().all(|(id, _)| *id < 40));
    }
    // More than there are.
    let rows: Vec<(i32, f64)> = db
        .query("spots")
        .columns(["id"])
        .eq("tag", 3)
        .nearest("spot", query(1))
        .limit(1_000)
        .fetch_all()
        .await?;
    assert_eq!(rows.len(), 450);
    run(&mut place.admin, "analyze spots").await;
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn no_search_finds_a_row_of_another_client() -> Outcome {
    let mut place = Place::with(500).await?;
    let other = place.fixture.shared_client("other").await?.id;
    // At the very same spots, under the same ids and others.
    add_spots(&mut place.admin, other, 0, 500).await;
    add_spots(&mut place.admin, other, 100_000, 500).await;
    let few = place.fixture.shared_client("few").await?.id;
    add_spots(&mut place.admin, few, 200_000, 3).await;
    for client in [place.acme, other] {
        place.fixture.platform().promote_vectors(client, &index()).await?;
    }
    let (acme, few) = (place.db().await?, place.manager.tenant(few).await?);
    for search in [Search::Auto, Search::Exact, Search::Approximate] {
        for number in 0..5 {
            let mine = found(&acme, number, search).await?;
            assert!(
                mine.len() == 10 && mine.iter().all(|(id, _)| *id < 500),
                "{mine:?}"
            );
            let mine = found(&few, number, search).await?;
            assert!(
                mine.len() == 3 && mine.iter().all(|(id, _)| *id >= 200_000),
                "{mine:?}"
            );
        }
    }
    // The settings and the transaction of a search are gone with it.
    let mut tx = acme.begin_with(TransactionOptions::default()).await?;
    let sorts: String = sqlx::query_scalar("select current_setting('enable_sort')")
        .fetch_one(&mut tx)
        .await?;
    assert_eq!(sorts, "on");
    tx.commit().await?;
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn every_metric_measures_and_a_client_of_its_own_database_is_searched_alike() -> Outcome {
    let place = Place::with(300).await?;
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let mut admin = crate::sql::connect(place.fixture.admin_options(&place.fixture.database("vast"))).await;
    add_spots(&mut admin, vast, 0, 300).await;
    let (acme, vast) = (place.db().await?, place.manager.tenant(vast).await?);
    for metric in [Metric::Cosine, Metric::L2, Metric::InnerProduct] {
        for client in [&acme, &vast] {
            let index = index().metric(metric);
            place
                .fixture
                .platform()
                .promote_vectors(client.client().id, &index)
                .await?;
        }
        let other = place.fixture.manager().await?;
        let mut answers = Vec::new();
        for client in [&acme, &vast] {
            let db = other.tenant(client.client().id).await?;
            for search in [Search::Exact, Search::Approximate] {
                let spots = db.query("spots").columns(["id"]);
                let spots = spots
                    .nearest("spot", query(2))
                    .metric(metric)
                    .limit(3)
                    .search(search);
                let rows: Vec<(i32, f64)> = spots.fetch_all().await?;
                answers.push(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>());
            }
        }
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{metric}: {answers:?}"
        );
        other.close().await;
    }
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn a_search_that_cannot_be_is_refused_before_it_is_sent() -> Outcome {
    let place = Place::with(1).await?;
    let db = place.db().await?;
    let unknown = db
        .query("spots")
        .nearest("spott", query(1))
        .fetch_all::<(i32,)>()
        .await;
    assert!(matches!(unknown, Err(Error::UnknownColumn { .. })), "{unknown:?}");
    let no_vector = db
        .query("spots")
        .nearest("tag", query(1))
        .fetch_all::<(i32,)>()
        .await;
    assert!(
        matches!(no_vector, Err(Error::StatementRefused { .. })),
        "{no_vector:?}"
    );
    let grouped = db.query("spots").columns(["tag"]).group_by(["tag"]);
    let grouped = grouped.nearest("spot", query(1)).fetch_all::<(i32,)>().await;
    assert!(
        matches!(grouped, Err(Error::StatementRefused { .. })),
        "{grouped:?}"
    );
    let short = Vector::from(vec![1.0; DIMENSIONS - 1]);
    let short = db
        .query("spots")
        .nearest("spot", short)
        .fetch_all::<(i32,)>()
        .await;
    assert_eq!(short.unwrap_err().sqlstate().as_deref(), Some("22000"));
    // As numbers, without a type of vectors.
    let numbers = vec![1.0_f32; DIMENSIONS];
    let rows: Vec<(i32, f64)> = db
        .query("spots")
        .columns(["id"])
        .nearest("spot", numbers)
        .distance_as("away")
        .fetch_all()
        .await?;
    assert_eq!(rows.len(), 1);
    place.close().await;
    Ok(())
}
