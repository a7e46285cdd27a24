//! What is not indexed, and why.

use tenantry::{ClientId, Error, ErrorKind, VectorIndex};

use super::{Outcome, Place, index};
use crate::sql::run;

#[tokio::test]
async fn what_cannot_be_indexed_is_said_before_anything_is_built() -> Outcome {
    let mut place = Place::with(20).await?;
    let acme = place.acme;
    run(
        &mut place.admin,
        &format!(
            "insert into odd (client_id, id, words) values ('{acme}', 1, 'none');
             insert into dated (client_id, id, spot)
             select '{acme}', n, array_fill(n, array[16])::vector from unnest(array[1, 20]) n;
             insert into everyones values (1, array_fill(1, array[16])::vector)"
        ),
    )
    .await;
    let platform = place.fixture.platform();
    let refused = [
        ("odd", "words", "it is not of the type vector"),
        ("odd", "half", "it is not of the type vector"),
        (
            "odd",
            "unsized",
            "its type does not say how many dimensions it has",
        ),
        ("odd", "wide", "an index takes 4,000 dimensions at most"),
        ("odd", "Spot \"1\"", "the client has no vectors there"),
        (
            "everyones",
            "spot",
            "the table has no client_id, and is not of clients",
        ),
        ("dated", "spot", "the client's vectors are in several partitions"),
    ];
    for (table, column, expected) in refused {
        let error = platform
            .promote_vectors(acme, &VectorIndex::new(table, column))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
        match error {
            Error::StatementRefused { client, what, reason } => {
                assert_eq!((client, reason), (acme, expected));
                assert!(what.ends_with(&format!("{table}.{column}")), "{what}");
            }
            other => panic!("{table}.{column}: {other:?}"),
        }
    }
    for wrong in [
        index().m(1),
        index().m(101),
        index().ef_construction(3),
        index().m(40).ef_construction(79),
        index().ef_construction(1_001),
    ] {
        let error = platform.promote_vectors(acme, &wrong).await.unwrap_err();
        assert!(
            matches!(error, Error::StatementRefused { .. }),
            "{wrong:?}: {error:?}"
        );
    }

    let error = platform
        .promote_vectors(acme, &VectorIndex::new("spot", "spot"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::UnknownTable { nearest_name: Some(near), .. } if near == "spots"),
        "{error:?}"
    );
    // A partition is named through its parent.
    for table in [
        "dated_old",
        "tenantry.placement",
        "pg_class",
        "spots; drop table spots",
    ] {
        let error = platform.demote_vectors(acme, table, "spot").await.unwrap_err();
        assert!(matches!(error, Error::UnknownTable { .. }), "{table}: {error:?}");
    }
    let error = platform
        .promote_vectors(acme, &VectorIndex::new("spots", "spott"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::UnknownColumn { nearest_name: Some(near), .. } if near == "spot"),
        "{error:?}"
    );
    let nobody = ClientId::new();
    let error = platform.promote_vectors(nobody, &index()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
    let empty = place.fixture.shared_client("empty").await?.id;
    let error = platform.promote_vectors(empty, &index()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::StatementRefused {
                reason: "the client has no vectors there",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(place.indexes().await.is_empty());
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn names_of_any_spelling_are_indexed() -> Outcome {
    let mut place = Place::with(0).await?;
    let acme = place.acme;
    run(
        &mut place.admin,
        &format!(
            "insert into odd (client_id, id, \"Spot \"\"1\"\"\")
             select '{acme}', n, array[n, 1, 1]::vector from generate_series(1, 100) n"
        ),
    )
    .await;
    let odd = VectorIndex::new("odd", "Spot \"1\"");
    let promoted = place.fixture.platform().promote_vectors(acme, &odd).await?;
    assert_eq!((promoted.built, promoted.rows), (true, 100));
    let told: bool = super::of_client(
        &place.db().await?,
        "select tenantry.approximate('odd', 'Spot \"1\"', p_rows => 100)",
    )
    .await?;
    assert!(told);
    assert!(
        place
            .fixture
            .platform()
            .demote_vectors(acme, "odd", "Spot \"1\"")
            .await?
    );
    place.close().await;
    Ok(())
}

#[tokio::test]
async fn a_build_that_fails_leaves_nothing() -> Outcome {
    let mut place = Place::with(20).await?;
    let beyond = format!(
        "update spots set spot = array_fill(65536, array[16])::vector where client_id = '{}' and id = 7",
        place.acme
    );
    run(&mut place.admin, &beyond).await;
    let error = place
        .fixture
        .platform()
        .promote_vectors(place.acme, &index())
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("22003"), "{error:?}");
    assert!(place.indexes().await.is_empty());
    place.close().await;
    Ok(())
}
