//! Relocations that ended halfway: what has arrived, and what is left to do.

use std::time::Duration;

use tenantry::testing::Fixture;
use tenantry::{Error, Phase, RelocateTo, RelocationOptions};

use super::{Outcome, own_database, relocation, rows};
use crate::sql::{connect, one, run};
use crate::support::{HOST, fill};

fn options() -> RelocationOptions {
    RelocationOptions::default()
        .plain_up_to(0)
        .lock_timeout(Duration::from_millis(300))
}

/// A trigger of the host that does something else each time.
const LOUDER: &str = "
    create function louder() returns trigger language plpgsql as $$ begin new.name := new.name || '!'; return new; end $$;
    create trigger louder before insert or update on agents for each row execute function louder()";

#[tokio::test]
async fn tables_that_have_arrived_are_brought_up_to_date_before_others_refer_to_them() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    let filled = fill(&db, "acme").await?;
    let relocation = relocation(&fixture).options(options());
    let mut target = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    let to = RelocateTo::Pool(second);

    // What others refer to comes first: while it cannot, they are not begun.
    run(&mut target, "begin; lock table agents in share mode").await;
    let stopped = relocation.start(acme, &to).await;
    assert!(matches!(&stopped, Err(Error::Statement { .. })), "{stopped:?}");
    run(
        &mut target,
        "rollback; begin; lock table conversation_transcripts in share mode",
    )
    .await;
    let stopped = relocation.resume(acme).await;
    assert!(matches!(&stopped, Err(Error::Statement { .. })), "{stopped:?}");
    let status = relocation.status(acme).await?.unwrap();
    assert_eq!((status.phase, status.attempts), (Phase::Copying, 2));
    let arrived = "select count(*) from tenantry.arrivals";
    assert!(one::<i64>(&mut target, arrived).await >= 4);

    // A row that refers to one that came after its table had arrived.
    let (agent,): (uuid::Uuid,) = db
        .insert("agents")
        .set("slug", "late")
        .set("name", "Late")
        .returning(["id"])
        .fetch_one()
        .await?;
    db.insert("conversation_transcripts")
        .set("conversation_id", filled.conversation)
        .set("agent_id", agent)
        .set("user_id", "ada")
        .set("role", "user")
        .set("content", "late")
        .execute()
        .await?;
    run(&mut target, "rollback").await;
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    let there = rows(&fixture, "pool-2", acme).await;
    assert_eq!(there.len(), 9);
    assert_eq!(rows(&fixture, "pool-1", acme).await, there);
    relocation.complete(acme).await?;
    // Neither remembers anything of it.
    for database in ["pool-1", "pool-2"] {
        let mut admin = connect(fixture.admin_options(&fixture.database(database))).await;
        let left =
            "select (select count(*) from tenantry.relocations) + (select count(*) from tenantry.arrivals)";
        assert_eq!(one::<i64>(&mut admin, left).await, 0, "{database}");
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_mover_that_ends_before_it_has_certified_is_certified_for() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture).options(options());
    let to = own_database(&fixture, "own", acme).await;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    run(
        &mut superuser,
        "create function stop() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
         create trigger stop before update on platform.relocations for each row
             when (new.certificate is not null) execute function stop()",
    )
    .await;
    let stopped = relocation.start(acme, &to).await;
    assert!(stopped.is_err(), "{stopped:?}");
    // It is served there, and writes.
    db.insert("agents")
        .set("slug", "late")
        .set("name", "Late")
        .execute()
        .await?;
    let uncompared = relocation.complete(acme).await;
    assert!(
        matches!(&uncompared, Err(Error::Relocation { .. })),
        "{uncompared:?}"
    );
    run(&mut superuser, "drop function stop() cascade").await;
    let resumed = relocation.resume(acme).await?;
    let certificate = resumed.certificate.unwrap();
    assert_eq!(
        (resumed.phase, certificate.compared_in_full),
        (Phase::Moved, true)
    );
    assert_eq!(certificate.tables.iter().map(|table| table.rows).sum::<u64>(), 8);
    relocation.complete(acme).await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn triggers_of_a_database_that_a_client_left_do_not_change_what_comes_back() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(vast).await?;
    fill(&db, "vast").await?;
    let mut source = connect(fixture.admin_options(&fixture.database("vast"))).await;
    run(&mut source, LOUDER).await;
    let relocation = relocation(&fixture).options(options());
    relocation.start(vast, &RelocateTo::Pool(fixture.pool())).await?;
    db.update("agents").set("name", "quiet").all().execute().await?;
    relocation.revert(vast).await?;
    let name = "select name from agents";
    assert_eq!(one::<String>(&mut source, name).await, "quiet");
    // From now on they fire again.
    db.update("agents").set("name", "loud").all().execute().await?;
    assert_eq!(one::<String>(&mut source, name).await, "loud!");
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn nor_do_those_of_a_database_that_it_comes_to_however_often_it_is_opened() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let to = own_database(&fixture, "own", acme).await;
    let mut target = connect(fixture.admin_options(&fixture.database("own"))).await;
    run(&mut target, LOUDER).await;
    let mut platform = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    // Its new place cannot be told, though it is open there.
    run(
        &mut platform,
        "create function stop() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
         create constraint trigger stop after update on platform.relocations deferrable initially deferred
             for each row when (new.phase = 'moved') execute function stop()",
    )
    .await;
    db.update("agents").set("name", "quiet").all().execute().await?;
    let relocation = relocation(&fixture);
    let stopped = relocation.start(acme, &to).await;
    assert!(stopped.is_err(), "{stopped:?}");
    run(&mut platform, "drop function stop() cascade").await;
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    let now = "select name from agents";
    assert_eq!(one::<String>(&mut target, now).await, "quiet");
    db.update("agents").set("name", "loud").all().execute().await?;
    assert_eq!(one::<String>(&mut target, now).await, "loud!");
    relocation.complete(acme).await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}
