//! Foreign keys and indexes that a restore takes off are there again, and were checked.

use tenantry::testing::{Fixture, PgServer};
use tenantry::{Error, ExportOptions, RestoreOptions};

use super::{KINDS, Outcome, Place, ROWS, all_rows, assert_same, count, keys_and_indexes};
use crate::sql::{connect, one, run, until};

/// Keys of every kind: with a comment, with all that one can say, not checked for the rows that are there, and of one
/// partition alone. Indexes of every kind: of partitions of partitions, of an expression, of vectors, of one partition
/// alone, and such as stay: a clustered one, and one that a constraint needs.
const MORE: &str = r#"
    comment on constraint nodes_client_id_parent_fkey on nodes is 'it''s a "tree"';
    alter table events add constraint "a; ""key""" foreign key (client_id, node) references nodes (client_id, id)
        on update cascade on delete set null (node) deferrable initially deferred;
    alter table crews add constraint unchecked foreign key (client_id, leader) references nodes (client_id, id) not valid;
    alter table events_old add constraint old foreign key (client_id, node) references nodes (client_id, id)
        on delete cascade;
    create index "by ""node""" on events (client_id, node) where node is not null;
    comment on index "by ""node""" is 'it''s a comment';
    comment on index events_new_0_client_id_node_idx is 'of a part';
    create index of_a_part on events_new_1 (at);
    create index by_words on kinds (client_id, md5(words)) include (small) with (fillfactor = 70);
    create index nearest on kinds using hnsw (vector vector_cosine_ops) with (m = 4);
    create index clustered on kinds (large);
    alter table kinds cluster on clustered;
    alter table kinds add constraint apart exclude using gist (between with -|-)"#;

#[tokio::test]
async fn foreign_keys_and_indexes_are_as_they_were_after_a_restore() -> Outcome {
    let mut place = Place::set().await?;
    let platform = place.fixture.platform();
    let file = place.export().await?;
    let wanted = all_rows(&mut place.admin, Some(place.acme)).await;
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let database = place.fixture.database("vast");
    let mut admin = connect(place.fixture.admin_options(&database)).await;
    run(&mut admin, MORE).await;
    let there = keys_and_indexes(&mut admin).await;
    assert!(
        there.contains("NOT VALID") && there.contains("it's a comment"),
        "{there}"
    );
    platform
        .restore_client(vast, &file[..], &RestoreOptions::default())
        .await?;
    assert_eq!(keys_and_indexes(&mut admin).await, there);
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
    let there = keys_and_indexes(&mut admin).await;
    platform
        .restore_client(other, &file[..], &RestoreOptions::default())
        .await?;
    assert_eq!(keys_and_indexes(&mut admin).await, there);
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
    let there = keys_and_indexes(&mut admin).await;
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
        assert_eq!(keys_and_indexes(&mut admin).await, there);
        run(&mut legacy, "truncate nodes, events, crews").await;
    }
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_of_a_pool_are_checked_at_once_where_the_role_may_write_as_a_replica_does() -> Outcome {
    // What a role may set is the whole server's.
    let place = Place::on(Fixture::on(PgServer::private().await?, &KINDS, 10, None).await?).await?;
    let platform = place.fixture.platform();
    let options = RestoreOptions::default();
    let mut superuser = connect(place.fixture.server().connect_options("postgres")).await;
    let mut admin = connect(place.fixture.admin_options(&place.fixture.database("pool-1"))).await;
    // Nodes refer to a table that clients share, as well, and nobody may write to them but by a replica's leave.
    run(
        &mut admin,
        "create table sizes (id integer primary key); select tenantry.share('sizes');
         insert into sizes select generate_series(1, 100);
         alter table nodes add constraint sized foreign key (id) references sizes (id);
         create function never() returns trigger language plpgsql as $$ begin raise exception 'never'; end $$;
         create trigger never before insert on nodes for each row execute function never()",
    )
    .await;
    let file = place.export().await?;
    let wanted = all_rows(&mut admin, Some(place.acme)).await;
    let bolt = place.fixture.shared_client("bolt").await?.id;
    let refused = platform.restore_client(bolt, &file[..], &options).await;
    assert!(matches!(&refused, Err(Error::Statement { .. })), "{refused:?}");
    let may = format!(
        "grant set on parameter session_replication_role to {}",
        place.fixture.admin_role()
    );
    run(&mut superuser, &may).await;

    // What it refers to is taken away meanwhile: acme's row, and the size that no other row has.
    let mut other = connect(place.fixture.admin_options(&place.fixture.database("pool-1"))).await;
    let mut watching = connect(place.fixture.admin_options(&place.fixture.database("pool-1"))).await;
    let taken = format!(
        "update events set node = null where client_id = '{0}' and node = 100;
         delete from nodes where client_id = '{0}' and id = 100; begin; delete from sizes where id = 100",
        place.acme
    );
    run(&mut other, &taken).await;
    let taking = async {
        let waits = "select exists (select from pg_stat_activity where datname = current_database()
                         and wait_event_type = 'Lock' and query like '%for key share%')";
        until(&mut watching, waits).await;
        run(&mut other, "commit").await;
    };
    let (refused, ()) = tokio::join!(platform.restore_client(bolt, &file[..], &options), taking);
    let violates = |refused: &tenantry::Result<_>, key: &str| {
        assert!(
            matches!(refused, Err(Error::Constraint { constraint: Some(name), .. }) if name == key),
            "{refused:?}"
        );
    };
    violates(&refused, "sized");
    assert_eq!(count(&mut admin, bolt).await, 0);
    run(&mut admin, "insert into sizes values (100)").await;

    // Rows that refer to nothing, from an older system's tables that had no keys.
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
        violates(&platform.restore_client(bolt, &file[..], &options).await, key);
        assert_eq!(count(&mut admin, bolt).await, 0);
        run(&mut legacy, "truncate nodes, events, crews").await;
    }

    platform.restore_client(bolt, &file[..], &options).await?;
    assert_same(&all_rows(&mut admin, Some(bolt)).await, &wanted, "here");
    place.fixture.close().await;
    Ok(())
}
