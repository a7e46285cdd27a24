//! Between the commit that closes the source and the one that tells where the client is.
#![expect(clippy::disallowed_methods, reason = "has tasks of its own")]

use std::time::Duration;

use sqlx::PgConnection;
use tenantry::testing::{Fixture, PgServer};
use tenantry::{ClientConnectionManager, Error, Phase, RelocateTo, RelocationOptions};

use super::{Outcome, own_database, relocation, rows, stopped};
use crate::sql::{PATIENCE, connect, one, run, until};
use crate::support::{HOST, fill};

fn options() -> RelocationOptions {
    RelocationOptions::default()
        .plain_up_to(0)
        .tend_every(Duration::from_millis(20))
        .follow_back_every(Duration::from_millis(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_after_relocations_ends_what_was_interrupted_and_follows_back() -> Outcome {
    for plain in [0, 5_000] {
        let fixture = Fixture::start(&HOST).await?;
        let second = fixture.add_pool("pool-2", 10).await?;
        let acme = fixture.shared_client("acme").await?.id;
        let patient = fixture.manager_options().relocation_wait(PATIENCE);
        let manager = ClientConnectionManager::connect(patient).await?;
        let impatient = fixture.manager_options().relocation_wait(Duration::ZERO);
        let impatient = ClientConnectionManager::connect(impatient).await?;
        let (db, hasty) = (manager.tenant(acme).await?, impatient.tenant(acme).await?);
        fill(&db, "acme").await?;
        let mut target = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
        let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-2"))).await;
        // Whatever opens the pool to the client fails, as if whoever does it were killed there.
        let stop = format!(
            "create function stop() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
             create trigger stop before insert or update on tenantry.placement for each row
                 when (new.state = 'active' and new.client_id = '{acme}') execute function stop()"
        );
        run(&mut superuser, &stop).await;

        let relocation = relocation(&fixture).options(options().plain_up_to(plain));
        let stopped = relocation.start(acme, &RelocateTo::Pool(second)).await;
        assert!(matches!(&stopped, Err(Error::Statement { .. })), "{stopped:?}");
        // It is served nowhere.
        let refused = hasty.query("agents").count().await;
        assert!(matches!(refused, Err(Error::Moved { .. })), "{refused:?}");
        run(&mut superuser, "drop function stop() cascade").await;
        let tending = tokio::spawn({
            let relocation = relocation.clone();
            async move { relocation.tend().await }
        });
        // Whoever waits does not notice.
        db.insert("agents")
            .set("slug", "late")
            .set("name", "Late")
            .execute()
            .await?;
        let status = relocation.status(acme).await?.unwrap();
        assert_eq!(status.phase, Phase::Moved);

        // What it writes there comes back, and can be taken back.
        let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        until(
            &mut source,
            &format!("select exists (select from agents where client_id = '{acme}' and slug = 'late')"),
        )
        .await;
        tending.abort();
        assert!(tending.await.unwrap_err().is_cancelled());
        // It was certified, by whoever ended it.
        let status = relocation.status(acme).await?.unwrap();
        assert!(status.certificate.unwrap().compared_in_full);
        let there = rows(&fixture, "pool-2", acme).await;
        relocation.revert(acme).await?;
        assert_eq!(rows(&fixture, "pool-1", acme).await, there);
        assert_eq!(one::<i64>(&mut target, "select count(*) from agents").await, 0);
        for manager in [manager, impatient] {
            manager.close().await;
        }
        fixture.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_way_back_that_was_interrupted_is_ended_by_whoever_resumes_or_looks_after_it() -> Outcome {
    for tended in [false, true] {
        let fixture = Fixture::start(&HOST).await?;
        let acme = fixture.shared_client("acme").await?.id;
        let patient = fixture.manager_options().relocation_wait(PATIENCE);
        let manager = ClientConnectionManager::connect(patient).await?;
        let db = manager.tenant(acme).await?;
        fill(&db, "acme").await?;
        let to = own_database(&fixture, "own", acme).await;
        let relocation = relocation(&fixture).options(options());
        relocation.start(acme, &to).await?;
        db.update("agents").set("name", "late").all().execute().await?;
        let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
        let stop = format!(
            "create function stop() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
             create trigger stop before insert or update on tenantry.placement for each row
                 when (new.state = 'active' and new.client_id = '{acme}') execute function stop()"
        );
        run(&mut superuser, &stop).await;
        let stopped = relocation.revert(acme).await;
        assert!(matches!(&stopped, Err(Error::Statement { .. })), "{stopped:?}");
        run(&mut superuser, "drop function stop() cascade").await;
        if tended {
            // Who waits does not notice.
            let writing = async { db.insert("documents").set("title", "back").execute().await };
            tokio::select! {
                () = relocation.tend() => {}
                written = writing => { written?; }
            }
        } else {
            assert_eq!(relocation.resume(acme).await?.phase, Phase::Reverted);
        }
        let name = format!("select name from agents where client_id = '{acme}'");
        assert_eq!(one::<String>(&mut superuser, &name).await, "late");
        manager.close().await;
        fixture.close().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_lost_in_a_crash_is_brought_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let to = own_database(&fixture, "own", acme).await;
    let relocation = relocation(&fixture).options(options());
    stopped(&relocation, &db, &to).await;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("own"))).await;
    run(
        &mut superuser,
        "create function stop() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
         create trigger stop before update on tenantry.relocations for each row
             when (current_query() ~ 'set left_for = null') execute function stop()",
    )
    .await;

    // The last pass has something to bring: what was in flight when writers were to be kept out.
    let mut tx = db.begin().await?;
    tx.insert("agents")
        .set("slug", "last")
        .set("name", "Last")
        .execute()
        .await?;
    let resuming = relocation.clone();
    let resuming = tokio::spawn(async move { resuming.resume(acme).await });
    let mut pool = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                 and database = (select oid from pg_database where datname = current_database()))";
    until(&mut pool, waits).await;
    tx.commit().await?;
    let interrupted = resuming.await?;
    assert!(
        matches!(&interrupted, Err(Error::Statement { .. })),
        "{interrupted:?}"
    );
    // The last pass does not wait for the disk of the target: a crash of its server takes with it what it brought.
    run(
        &mut superuser,
        "drop function stop() cascade; with lost as (delete from agents where slug = 'last' returning 1)
         select 1 / count(*) from lost",
    )
    .await;

    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    assert_eq!(db.query("agents").eq("slug", "last").count().await?, 1);
    relocation.complete(acme).await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}

/// A session that is at the table as long as the server's own upkeep is.
async fn vacuumed(superuser: &mut PgConnection, database: &str) {
    until(
        superuser,
        &format!("select exists (select from pg_stat_progress_vacuum where datname = '{database}' and phase <> 'initializing')"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_upkeep_of_a_table_gives_way() -> Outcome {
    let fixture = Fixture::on(PgServer::private().await?, &HOST, 10, None).await?;
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    run(&mut superuser, "alter system set autovacuum_naptime = '1s'").await;
    run(&mut superuser, "select pg_reload_conf()").await;
    let vast = fixture.dedicated_client("vast").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(vast).await?;
    fill(&db, "vast").await?;
    let database = fixture.database("vast");
    let mut admin = connect(fixture.admin_options(&database)).await;
    // Which takes minutes.
    run(
        &mut admin,
        "insert into documents (title, content) select n::text, repeat('x', 1000) from generate_series(1, 20000) n;
         alter table documents set (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
             autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0);
         delete from documents where title ~ '^[0-9]*[02468]$'",
    )
    .await;
    vacuumed(&mut superuser, &database).await;
    let moved = relocation(&fixture)
        .options(options().fence_attempts(2))
        .start(vast, &RelocateTo::Pool(fixture.pool()))
        .await?;
    assert_eq!(moved.phase, Phase::Moved);
    assert!(db.query("documents").count().await? >= 10_000);
    manager.close().await;
    fixture.close().await;
    Ok(())
}
