//! Whoever is killed midway leaves nothing, and nobody writes meanwhile.

use tenantry::{ClientId, RestoreOptions};
use tokio::io::AsyncWriteExt as _;

use super::{Outcome, Place, ROWS, count, keys_and_indexes, shared};
use crate::sql::{connect, one, run, until};

#[tokio::test]
async fn a_restore_that_is_killed_midway_leaves_nothing() -> Outcome {
    let mut place = Place::set().await?;
    let file = place.export().await?;
    let platform = place.fixture.platform();
    let bolt = place.fixture.shared_client("bolt").await?.id;
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let options = RestoreOptions::default();
    // In the middle of the rows, and when all of them are loaded.
    let moments = [(file.len() / 2, LOADING), (file.len() - 1, LOADED)];
    for (client, database) in [(bolt, "pool-1"), (vast, "vast")] {
        let mut admin = connect(place.fixture.admin_options(&place.fixture.database(database))).await;
        let there = keys_and_indexes(&mut admin).await;
        for (moment, is_there) in moments {
            // Dropped, while it waits for the rest.
            let mut from = tokio::io::duplex(1024);
            let feeding = async {
                from.1.write_all(&file[..moment]).await.unwrap();
                until(&mut admin, is_there).await;
            };
            tokio::select! {
                outcome = platform.restore_client(client, &mut from.0, &options) => panic!("{outcome:?}"),
                () = feeding => {}
            }
            drop(from);
            until(&mut admin, &format!("select not exists (select {SESSION})")).await;
            assert_eq!(count(&mut admin, client).await, 0);
            assert_eq!(keys_and_indexes(&mut admin).await, there);

            // Its session is ended by the server.
            let (mut to, from) = tokio::io::duplex(1024);
            let ending = async {
                to.write_all(&file[..moment]).await?;
                until(&mut admin, is_there).await;
                run(&mut admin, &format!("select pg_terminate_backend(pid) {SESSION}")).await;
                // It may be gone already.
                let _ = to.write_all(&file[moment..]).await;
                Ok::<_, std::io::Error>(())
            };
            let (restored, ended) = tokio::join!(platform.restore_client(client, from, &options), ending);
            ended?;
            assert!(restored.is_err(), "{restored:?}");
            until(&mut admin, &format!("select not exists (select {SESSION})")).await;
            assert_eq!(count(&mut admin, client).await, 0);
            assert_eq!(keys_and_indexes(&mut admin).await, there);
        }
        platform.restore_client(client, &file[..], &options).await?;
        assert_eq!(count(&mut admin, client).await, ROWS);
        assert_eq!(keys_and_indexes(&mut admin).await, there);
    }
    let active =
        format!("select count(*) from tenantry.placement where client_id = '{bolt}' and state = 'active'");
    assert_eq!(one::<i64>(&mut place.admin, &active).await, 1);
    platform
        .restore_client(shared("twin"), &file[..], &options)
        .await?;
    place.fixture.close().await;
    Ok(())
}

/// The session that restores, whose last statement is a COPY until all rows are loaded.
const SESSION: &str = "from pg_stat_activity
    where datname = current_database() and query ~ '^copy .* from stdin' and pid <> pg_backend_pid()";

/// The table is the last of the file.
const LOADED: &str = "select exists (select from pg_stat_activity
    where datname = current_database() and state = 'idle in transaction' and query ~ '^copy .*members_only.* from stdin')";

const LOADING: &str = "select exists (select from pg_stat_activity
    where datname = current_database() and query ~ '^copy .* from stdin' and state <> 'idle')";

#[tokio::test]
async fn a_client_that_writes_while_it_is_restored_waits_for_the_end() -> Outcome {
    let mut place = Place::set().await?;
    let file = place.export().await?;
    let platform = place.fixture.platform();
    let bolt = place.fixture.shared_client("bolt").await?.id;
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let manager = place.fixture.manager().await?;
    let options = RestoreOptions::default();
    for (client, database) in [(bolt, "pool-1"), (vast, "vast")] {
        let mut admin = connect(place.fixture.admin_options(&place.fixture.database(database))).await;
        let db = manager.tenant(client).await?;
        // A session that is bound already.
        assert_eq!(db.query("nodes").count().await?, 0);
        let (mut to, from) = tokio::io::duplex(1024);
        let feeding = async {
            to.write_all(&file[..file.len() / 2]).await?;
            until(&mut admin, LOADING).await;
            let insert = db.insert("nodes").set("id", 1_000_000).execute();
            let waiting = async {
                until(&mut admin, WAITING).await;
                to.write_all(&file[file.len() / 2..]).await
            };
            let (inserted, written) = tokio::join!(insert, waiting);
            written?;
            Ok::<_, std::io::Error>(inserted)
        };
        let (restored, inserted) = tokio::join!(platform.restore_client(client, from, &options), feeding);
        restored?;
        inserted??;
        assert_eq!(count(&mut admin, client).await, ROWS + 1);
    }
    // The neighbour never waited: its rows can be written in the meantime, as those of a restore that has begun.
    let (mut to, from) = tokio::io::duplex(1024);
    let acme = manager.tenant(place.acme).await?;
    let feeding = async {
        to.write_all(&file[..file.len() / 2]).await?;
        until(&mut place.admin, LOADING).await;
        let inserted = acme.insert("nodes").set("id", 1_000_000).execute().await;
        to.write_all(&file[file.len() / 2..]).await?;
        Ok::<_, std::io::Error>(inserted)
    };
    let (restored, inserted) = tokio::join!(platform.restore_client(shared("twin"), from, &options), feeding);
    restored?;
    inserted??;
    manager.close().await;
    place.fixture.close().await;
    Ok(())
}

const WAITING: &str = "select exists (select from pg_locks l where not l.granted
    and l.database = (select oid from pg_database where datname = current_database()))";

#[tokio::test]
async fn a_client_that_was_activated_before_its_file_failed_is_not_taken_back() -> Outcome {
    let place = Place::set().await?;
    let file = place.export().await?;
    let platform = place.fixture.platform();
    let id = ClientId::new();
    let (mut to, from) = tokio::io::duplex(1024);
    let mut conn = connect(place.fixture.admin_options(&place.fixture.database("platform"))).await;
    let there = format!("select exists (select from platform.clients where id = '{id}')");
    let activating = async {
        // No section yet.
        to.write_all(&file[..18]).await.unwrap();
        until(&mut conn, &there).await;
        let active = platform.activate(id).await;
        drop(to);
        active
    };
    let options = RestoreOptions::default();
    let restoring = platform.restore_client(shared("bolt").id(id), from, &options);
    let (restored, active) = tokio::join!(restoring, activating);
    assert!(restored.is_err() && active.is_ok(), "{restored:?} {active:?}");
    assert!(one::<bool>(&mut conn, &there).await);
    place.fixture.close().await;
    Ok(())
}
