//! An erased client leaves nothing, its neighbour loses nothing, and one that was interrupted goes on.

use std::time::Duration;

use sqlx::Connection as _;
use tenantry::{
    ClientId, ClientStatus, CredentialKind, EraseOptions, EraseReport, Error, PlatformDirectory,
    PortableError, Provider, VectorIndex,
};

use super::{Outcome, Place, ROWS, all_rows, assert_same, count, fill, portable, shared};
use crate::sql::{connect, one, run, until};

fn rows(report: &EraseReport) -> u64 {
    report.tables.iter().map(|table| table.rows).sum()
}

fn at_once() -> EraseOptions {
    EraseOptions::default().after(Duration::ZERO).batch(7)
}

/// Served again, it would lose its rows to whoever goes on with its erasure.
async fn stays_deleted(platform: &PlatformDirectory, client: ClientId) {
    let refused = platform.undelete_client(client).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { reason, .. } if reason.contains("is being erased, or was")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_erased_client_leaves_nothing_and_its_neighbour_loses_nothing() -> Outcome {
    let (openai, key) = (&Provider::OPENAI, &CredentialKind::API_KEY);
    let mut place = Place::set().await?;
    let acme = place.acme;
    let bolt = place.fixture.shared_client("bolt").await?.id;
    fill(&mut place.admin, bolt, "bolt").await;
    let neighbours = all_rows(&mut place.admin, Some(bolt)).await;
    let platform = place.fixture.platform();
    platform
        .set_credential(acme, openai, key, &"sk-acme".into())
        .await?;
    platform
        .set_credential(bolt, openai, key, &"sk-bolt".into())
        .await?;
    let index = VectorIndex::new("kinds", "vector");
    let promoted = platform.promote_vectors(acme, &index).await?.index;
    platform.promote_vectors(bolt, &index).await?;
    let step = format!("insert into tenantry.steps (client_id, step) values ('{acme}', 'welcome')");
    run(&mut place.admin, &step).await;
    let manager = place.fixture.manager().await?;
    let stale = manager.tenant(acme).await?;
    assert_eq!(stale.query("nodes").count().await?, 100);

    // Not while it is served, nor before its time.
    for (said, status) in [
        (
            "it is active, and not archived or deleted",
            ClientStatus::Suspended,
        ),
        (
            "it is suspended, and not archived or deleted",
            ClientStatus::Archived,
        ),
    ] {
        let error = portable(platform.erase_client(acme, &at_once()).await);
        assert!(error.to_string().contains(said), "{error}");
        platform.set_status(acme, status).await?;
    }
    for options in [EraseOptions::default(), at_once().after(Duration::from_hours(1))] {
        let error = portable(platform.erase_client(acme, &options).await);
        assert!(error.to_string().contains("it is kept until "), "{error}");
    }
    assert_eq!(count(&mut place.admin, acme).await, ROWS);

    let report = platform.erase_client(acme, &at_once()).await?;
    assert_eq!((rows(&report), report.tables.len()), (211, 8));
    assert_eq!(report.vector_indexes, [promoted]);
    assert_eq!(
        (report.credentials, report.database_to_drop.as_deref()),
        (1, None)
    );
    assert_eq!(count(&mut place.admin, acme).await, 0);
    let indexes = "select count(*) from pg_class where relname ~ '^tenantry_nearest_'";
    assert_eq!(one::<i64>(&mut place.admin, indexes).await, 1);
    assert_same(
        &all_rows(&mut place.admin, Some(bolt)).await,
        &neighbours,
        "the neighbour",
    );

    // Refused for ever, whoever remembers it; and its names are another's.
    let error = stale.insert("nodes").set("id", 1).execute().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Moved { .. } | Error::UnknownClient { .. } | Error::NotServed { .. }
        ),
        "{error:?}"
    );
    assert_eq!(count(&mut place.admin, acme).await, 0);
    let tombstone = format!("select state from tenantry.placement where client_id = '{acme}'");
    assert_eq!(one::<String>(&mut place.admin, &tombstone).await, "moved");
    assert!(platform.credential(acme, openai, key).await.is_err());
    platform.credential(bolt, openai, key).await?;
    assert!(matches!(
        platform.activate(acme).await,
        Err(Error::UnknownClient { .. })
    ));
    let again = platform.create_client(shared("acme")).await?;
    assert_ne!(again.id, acme);

    // What was removed can be told again; what never was, cannot.
    assert_eq!(
        platform.erase_client(acme, &EraseOptions::default()).await?,
        report
    );
    let nobody = ClientId::new();
    let error = platform.erase_client(nobody, &at_once()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
    let steps = "select count(*) from tenantry.steps";
    assert_eq!(one::<i64>(&mut place.admin, steps).await, 0);
    let mut conn = connect(place.fixture.admin_options(&place.fixture.database("platform"))).await;
    let left = format!(
        "select (select count(*) from platform.client_credentials where client_id = '{acme}')
              + (select count(*) from platform.clients where id = '{acme}' and pool_id is not null)"
    );
    assert_eq!(one::<i64>(&mut conn, &left).await, 0);
    let logged = format!(
        "select count(*) from platform.audit_log where client_id = '{acme}' and action ~ '^erasures'"
    );
    assert!(one::<i64>(&mut conn, &logged).await >= 2);
    manager.close().await;
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn an_erasure_that_was_interrupted_goes_on_and_tells_all() -> Outcome {
    let mut place = Place::set().await?;
    let acme = place.acme;
    let platform = place.fixture.platform();
    platform.set_status(acme, ClientStatus::Archived).await?;
    let database = place.fixture.database("pool-1");

    // Somebody has a lock on a row in the middle: children are gone, parents are not.
    let mut blocker = connect(place.fixture.admin_options(&database)).await;
    let mut tx = blocker.begin().await?;
    let lock = format!("select from nodes where client_id = '{acme}' and id = 50 for update");
    run(&mut tx, &lock).await;
    {
        let mut superuser = connect(place.fixture.server().connect_options(&database)).await;
        let options = at_once();
        tokio::select! {
            outcome = platform.erase_client(acme, &options) => panic!("{outcome:?}"),
            () = until(&mut superuser, WAITING) => {}
        }
        // The server goes on until it is told that nobody listens.
        run(&mut superuser, END).await;
        until(&mut superuser, &WAITING.replace("exists", "not exists")).await;
    }
    tx.rollback().await?;
    let left = count(&mut place.admin, acme).await;
    assert!(left > 0 && left < ROWS, "{left}");

    // It is deleted from the beginning on, and nothing brings it back; going on needs no time to pass.
    let error = platform.set_status(acme, ClientStatus::Active).await.unwrap_err();
    assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
    stays_deleted(platform, acme).await;
    let report = platform.erase_client(acme, &EraseOptions::default()).await?;
    assert_eq!(rows(&report), 211);
    assert_eq!(count(&mut place.admin, acme).await, 0);

    // A trigger that keeps rows is told of, and is no end.
    let bolt = place.fixture.shared_client("bolt").await?.id;
    fill(&mut place.admin, bolt, "bolt").await;
    platform.set_status(bolt, ClientStatus::Archived).await?;
    run(
        &mut place.admin,
        "create function f() returns trigger language plpgsql as $$begin return null; end$$;
         create trigger t before delete on empties for each row execute function f()",
    )
    .await;
    let insert = format!("insert into empties values ('{bolt}', gen_random_uuid())");
    run(&mut place.admin, &insert).await;
    let error = portable(platform.erase_client(bolt, &at_once()).await);
    assert!(
        matches!(&error, PortableError::RowsLeft { table } if table == "public.empties"),
        "{error:?}"
    );
    run(&mut place.admin, "drop trigger t on empties").await;
    assert_eq!(rows(&platform.erase_client(bolt, &at_once()).await?), 212);
    place.fixture.close().await;
    Ok(())
}

const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
    and datname = current_database() and query ~ '^delete from')";

const END: &str = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'
    and datname = current_database() and query ~ '^delete from'";

#[tokio::test]
async fn a_database_of_ones_own_is_emptied_and_named() -> Outcome {
    let place = Place::set().await?;
    let platform = place.fixture.platform();
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let mut admin = connect(place.fixture.admin_options(&place.fixture.database("vast"))).await;
    fill(&mut admin, vast, "vast").await;
    let (old, mut old_admin) = place.legacy("old").await?;
    run(
        &mut old_admin,
        "insert into nodes values (1, 1); create table colours ()",
    )
    .await;
    for (client, database, had) in [(vast, "vast", 211), (old, "old", 1)] {
        platform.set_status(client, ClientStatus::Archived).await?;
        let report = platform.erase_client(client, &at_once()).await?;
        assert_eq!(rows(&report), had);
        assert_eq!(report.database_to_drop, Some(place.fixture.database(database)));
        stays_deleted(platform, client).await;
    }
    assert_eq!(count(&mut admin, vast).await, 0);
    let kept = "select (select count(*) from colours) || ' ' || (select count(*) from _sqlx_migrations)";
    assert_eq!(one::<String>(&mut admin, kept).await, "1 1");
    assert_eq!(one::<i64>(&mut old_admin, "select count(*) from nodes").await, 0);
    // The connections are gone with the credentials.
    let mut conn = connect(place.fixture.admin_options(&place.fixture.database("platform"))).await;
    let left = "select count(*) from platform.clients where deleted_at is not null
                and app_connection is null and admin_connection is null";
    assert_eq!(one::<i64>(&mut conn, left).await, 2);

    // Of a database that was dropped already, nothing is left to be removed.
    let gone = place.fixture.dedicated_client("gone").await?.id;
    platform.set_status(gone, ClientStatus::Archived).await?;
    let mut superuser = connect(place.fixture.server().connect_options("postgres")).await;
    let drop_it = format!("drop database {} with (force)", place.fixture.database("gone"));
    run(&mut superuser, &drop_it).await;
    let report = platform.erase_client(gone, &at_once()).await?;
    assert_eq!((rows(&report), report.database_to_drop), (0, None));
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_written_until_an_erasure_locks_a_database_of_ones_own_is_told_of() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database())";

    let place = Place::set().await?;
    let platform = place.fixture.platform();
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let database = place.fixture.database("vast");
    let mut admin = connect(place.fixture.admin_options(&database)).await;
    let mut late = connect(place.fixture.admin_options(&database)).await;
    fill(&mut admin, vast, "vast").await;
    platform.set_status(vast, ClientStatus::Archived).await?;
    run(&mut late, "begin; insert into nodes (id) values (101)").await;
    let options = at_once();
    let mut erasing = Box::pin(platform.erase_client(vast, &options));
    tokio::select! {
        erased = &mut erasing => panic!("not held up: {erased:?}"),
        () = until(&mut admin, WAITING) => {}
    }
    run(&mut late, "commit").await;
    assert_eq!(rows(&erasing.await?), 212);
    assert_eq!(one::<i64>(&mut admin, "select count(*) from nodes").await, 0);
    place.fixture.close().await;
    Ok(())
}
