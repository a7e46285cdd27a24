//! Keeping writers out, and not for long.
#![expect(
    clippy::disallowed_methods,
    reason = "writes past the library, and ends sessions"
)]

use std::time::Duration;

use tenantry::testing::Fixture;
use tenantry::{Error, Phase, Placement, RelocateTo, RelocationError, RelocationOptions};

use super::{Outcome, hasty, own_database, relocation, stopped};
use crate::sql::{connect, one, run, until};
use crate::support::{HOST, fill};

#[tokio::test]
async fn a_transaction_that_does_not_end_keeps_the_client_where_it_is_and_is_named() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme.id).await?;
    fill(&db, "acme").await?;
    let to = own_database(&fixture, "acme", acme.id).await;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &to).await;

    let status = relocation.status(acme.id).await?.unwrap();
    assert_eq!(status.phase, Phase::Following);
    let failure = status.failure.unwrap();
    assert!(failure.contains("did not end in time: pid "), "{failure}");
    assert_eq!(relocation.unfinished().await?.len(), 1);
    // It is served where it was, and what it writes now is not lost.
    db.insert("agents")
        .set("slug", "between")
        .set("name", "Between")
        .execute()
        .await?;
    assert!(matches!(
        manager.tenant(acme.id).await?.client().placement,
        Placement::Pool(_)
    ));
    let again = relocation.start(acme.id, &to).await;
    assert!(
        matches!(
            &again,
            Err(Error::Relocation {
                source: RelocationError::UnderWay { .. },
                ..
            })
        ),
        "{again:?}"
    );

    let moved = relocation.resume(acme.id).await?;
    assert_eq!(
        (moved.phase, moved.attempts, moved.failure),
        (Phase::Moved, 2, None)
    );
    assert_eq!(db.query("agents").count().await?, 2);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn sessions_in_the_way_are_ended_only_if_told_to() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    run(
        &mut superuser,
        &format!("grant pg_signal_backend to {}", fixture.admin_role()),
    )
    .await;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme.id).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    let to = own_database(&fixture, "own", acme.id).await;
    let is_held = |outcome: &tenantry::Result<_>| {
        matches!(outcome, Err(Error::Relocation { source: RelocationError::NotDrained { blockers }, .. })
            if blockers.len() == 1)
    };
    // Who makes triggers waits for everybody who writes, and ends nobody.
    let mut tx = db.begin().await?;
    tx.update("agents").set("name", "new").all().execute().await?;
    let outcome = relocation
        .clone()
        .options(hasty().end_blockers(true))
        .start(acme.id, &to)
        .await;
    assert!(is_held(&outcome), "{outcome:?}");
    tx.rollback().await?;
    // Nor does who keeps the client's own transactions out.
    let mut tx = db.begin().await?;
    tx.query("agents").count().await?;
    let outcome = relocation.clone().options(hasty()).resume(acme.id).await;
    assert!(is_held(&outcome), "{outcome:?}");
    tx.update("agents").set("name", "new").all().execute().await?;
    let outcome = relocation
        .clone()
        .options(hasty().end_blockers(true).fence_budget(Duration::from_secs(3)))
        .resume(acme.id)
        .await?;
    assert_eq!(outcome.phase, Phase::Moved);
    let committed = tx.commit().await;
    assert!(
        matches!(&committed, Err(Error::CommitUnknown { .. })),
        "{committed:?}"
    );
    // Its update was neither committed there nor taken along.
    let (name,): (String,) = db.query("agents").columns(["name"]).fetch_one().await?;
    assert_ne!(name, "new");
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_the_client_has_left_admits_nobody() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?;
    let manager = fixture.manager().await?;
    let db = manager.tenant(vast.id).await?;
    fill(&db, "vast").await?;
    // Past the library, as a process that hears of nothing; its statements are known to the server already.
    let mut stale = connect(fixture.app_options(&fixture.database("vast"))).await;
    let (read, write) = ("select count(*) from agents", "update agents set name = 'stale'");
    assert_eq!(sqlx::query_scalar::<_, i64>(read).fetch_one(&mut stale).await?, 1);
    sqlx::query(write).execute(&mut stale).await?;
    let relocation = relocation(&fixture);
    relocation
        .start(vast.id, &RelocateTo::Pool(fixture.pool()))
        .await?;
    for sql in [
        read,
        write,
        "insert into agents (slug, name) values ('new', 'New')",
        "delete from documents",
    ] {
        let refused = sqlx::query(sql).execute(&mut stale).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().code().as_deref(),
            Some("42501"),
            "{sql}"
        );
    }
    assert!(
        sqlx::query_scalar::<_, bool>("select tenantry.has_left()")
            .fetch_one(&mut stale)
            .await?
    );
    relocation.revert(vast.id).await?;
    sqlx::query(write).execute(&mut stale).await?;
    assert_eq!(db.query("agents").count().await?, 1);
    // As it was: nothing of the relocation is left in either database.
    for database in ["vast", "pool-1"] {
        let mut admin = connect(fixture.admin_options(&fixture.database(database))).await;
        let left = "select count(*) from (select oid from pg_trigger where tgname ~ 'tenantry_change'
                    union all select oid from pg_class where relname ~ '^change_'
                    union all select oid from pg_proc where proname ~ '^change_') t";
        assert_eq!(one::<i64>(&mut admin, left).await, 0, "{database}");
        assert_eq!(
            one::<i64>(&mut admin, "select count(*) from tenantry.relocations").await,
            0
        );
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn where_everything_takes_too_long_it_is_followed_after_all() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme.id).await?;
    fill(&db, "acme").await?;
    let to = own_database(&fixture, "acme", acme.id).await;
    // An index of the target's alone, that holds up what is written there until the budget is spent.
    let mut admin = connect(fixture.admin_options(&fixture.database("acme"))).await;
    run(
        &mut admin,
        "create function held(text) returns text language plpgsql immutable as
             $$ begin perform pg_advisory_xact_lock_shared(7); return $1; end $$;
         create index on agents (held(slug));
         select pg_advisory_lock(7)",
    )
    .await;
    let options = RelocationOptions::default().fence_budget(Duration::from_secs(2));
    let relocation = relocation(&fixture).options(options);
    let letting_go = async {
        // What had arrived is removed then.
        until(
            &mut admin,
            "select exists (select from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock' and query like 'truncate%')",
        )
        .await;
        run(&mut admin, "select pg_advisory_unlock(7)").await;
    };
    let (moved, ()) = tokio::join!(relocation.start(acme.id, &to), letting_go);
    let moved = moved?;
    assert_eq!(moved.phase, Phase::Moved);
    assert_eq!(db.query("agents").count().await?, 1);
    manager.close().await;
    fixture.close().await;
    Ok(())
}
