//! Foreign keys that a restore takes off are there again, and were checked.

use tenantry::{Error, ExportOptions, RestoreOptions};

use super::{Outcome, Place, ROWS, all_rows, assert_same, count, foreign_keys};
use crate::sql::{connect, one, run};

/// Of every kind: with a comment, with all that one can say, not checked for the rows that are there, and of one
/// partition alone.
const MORE_KEYS: &str = r#"
    comment on constraint nodes_client_id_parent_fkey on nodes is 'it''s a "tree"';
    alter table events add constraint "a; ""key""" foreign key (client_id, node) references nodes (client_id, id)
        on update cascade on delete set null (node) deferrable initially deferred;
    alter table crews add constraint unchecked foreign key (client_id, leader) references nodes (client_id, id) not valid;
    alter table events_old add constraint old foreign key (client_id, node) references nodes (client_id, id)
        on delete cascade"#;

#[tokio::test]
async fn foreign_keys_are_as_they_were_after_a_restore() -> Outcome {
    let mut place = Place::set().await?;
    let platform = place.fixture.platform();
    let file = place.export().await?;
    let wanted = all_rows(&mut place.admin, Some(place.acme)).await;
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let database = place.fixture.database("vast");
    let mut admin = connect(place.fixture.admin_options(&database)).await;
    run(&mut admin, MORE_KEYS).await;
    let keys = foreign_keys(&mut admin).await;
    assert!(
        keys.contains("NOT VALID") && keys.contains("it's a \"tree\""),
        "{keys}"
    );
    platform
        .restore_client(vast, &file[..], &RestoreOptions::default())
        .await?;
    assert_eq!(foreign_keys(&mut admin).await, keys);
    assert_same(&all_rows(&mut admin, Some(vast)).await, &wanted, "here");

    // Those that are another role's stay where they are.
    let other = place.fixture.dedicated_client("other").await?.id;
    let database = place.fixture.database("other");
    let mut admin = connect(place.fixture.admin_options(&database)).await;
    let role: String = one(&mut admin, "select current_user::text").await;
    let mut superuser = connect(place.fixture.server().connect_options(&database)).await;
    run(
        &mut superuser,
        &format!("alter table crews owner to postgres; grant all on crews to \"{role}\""),
    )
    .await;
    let keys = foreign_keys(&mut admin).await;
    platform
        .restore_client(other, &file[..], &RestoreOptions::default())
        .await?;
    assert_eq!(foreign_keys(&mut admin).await, keys);
    assert_eq!(count(&mut admin, other).await, ROWS);
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_row_that_refers_to_nothing_is_refused_and_the_keys_stay() -> Outcome {
    let place = Place::set().await?;
    let platform = place.fixture.platform();
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let mut admin = connect(place.fixture.admin_options(&place.fixture.database("vast"))).await;
    let keys = foreign_keys(&mut admin).await;
    // An older system's tables had no keys.
    let (old, mut legacy) = place.legacy("old").await?;
    for (orphan, key) in [
        ("nodes values (1, 2)", "nodes_client_id_parent_fkey"),
        ("events values (1, '2024-01-01', 3)", "events_client_id_node_fkey"),
        ("crews values (1, 4)", "crews_client_id_leader_fkey"),
    ] {
        run(&mut legacy, &format!("insert into {orphan}")).await;
        let mut file = Vec::new();
        platform
            .export_client(old, &mut file, &ExportOptions::default())
            .await?;
        let error = platform
            .restore_client(vast, &file[..], &RestoreOptions::default())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Constraint { constraint: Some(name), .. } if name == key),
            "{error:?}"
        );
        assert_eq!(count(&mut admin, vast).await, 0);
        assert_eq!(foreign_keys(&mut admin).await, keys);
        run(&mut legacy, "truncate nodes, events, crews").await;
    }
    place.fixture.close().await;
    Ok(())
}
