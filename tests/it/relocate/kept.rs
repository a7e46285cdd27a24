//! What is a client's own stays so, wherever it moves.

use tenantry::testing::Fixture;
use tenantry::{ClientStatus, Error, Phase, RelocateTo, RelocationError, RelocationOptions};

use super::{Outcome, own_database, relocation, rows, stopped};
use crate::sql::{connect, one, run};
use crate::support::{HOST, fill};

#[tokio::test]
async fn a_client_that_is_suspended_before_or_meanwhile_is_suspended_where_it_arrives() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let manager = fixture.manager().await?;
    let relocation = relocation(&fixture);
    for meanwhile in [false, true] {
        let client = fixture.shared_client(&format!("acme-{meanwhile}")).await?.id;
        let db = manager.tenant(client).await?;
        fill(&db, "acme").await?;
        if meanwhile {
            stopped(&relocation, &db, &second).await;
        }
        fixture
            .platform()
            .set_status(client, ClientStatus::Suspended)
            .await?;
        let moved = if meanwhile {
            relocation.resume(client).await?
        } else {
            relocation.start(client, &second).await?
        };
        assert_eq!(moved.phase, Phase::Moved);
        let mut target = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
        let suspended = format!("select suspended from tenantry.placement where client_id = '{client}'");
        assert!(one::<bool>(&mut target, &suspended).await);
        fixture
            .platform()
            .set_status(client, ClientStatus::Active)
            .await?;
        assert!(!one::<bool>(&mut target, &suspended).await);
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_was_set_up_for_a_client_is_known_wherever_it_is() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    run(
        &mut superuser,
        &format!("insert into tenantry.steps (client_id, step) values ('{acme}', 'seeded'), (gen_random_uuid(), 'other')"),
    )
    .await;
    let own = own_database(&fixture, "own", acme).await;
    let relocation = relocation(&fixture);
    for (to, there) in [(own, "own"), (second, "pool-2")] {
        relocation.start(acme, &to).await?;
        relocation.complete(acme).await?;
        let mut superuser = connect(fixture.server().connect_options(&fixture.database(there))).await;
        let steps = "select string_agg(step, ', ') from tenantry.steps";
        assert_eq!(one::<String>(&mut superuser, steps).await, "seeded", "{there}");
    }
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_where_it_was_or_is_deleted_meanwhile_is_not_cut_over() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let third = fixture.add_pool("pool-3", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture);
    stopped(&relocation, &db, &RelocateTo::Pool(second)).await;
    // Nor is anything removed where it is served.
    let completed = relocation.complete(acme).await;
    assert!(
        matches!(
            &completed,
            Err(Error::Relocation {
                source: RelocationError::OutOfPhase { .. },
                ..
            })
        ),
        "{completed:?}"
    );
    let mut platform = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    for (doing, undoing) in [
        (
            format!("pool_id = '{third}'"),
            format!("pool_id = '{}'", fixture.pool()),
        ),
        ("deleted_at = now()".to_owned(), "deleted_at = null".to_owned()),
    ] {
        let mut update = async |what: &str| {
            run(
                &mut platform,
                &format!("update platform.clients set {what} where id = '{acme}'"),
            )
            .await;
        };
        update(&doing).await;
        let resumed = relocation.resume(acme).await;
        assert!(
            matches!(
                &resumed,
                Err(Error::Relocation {
                    source: RelocationError::OutOfPhase { .. },
                    ..
                })
            ),
            "{doing}: {resumed:?}"
        );
        update(&undoing).await;
        // It is served where it was.
        assert_eq!(manager.tenant(acme).await?.query("agents").count().await?, 1);
    }
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_that_were_not_compared_are_not_removed_unless_told_so() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme).await?, "acme").await?;
    let relocation = relocation(&fixture);
    let options = || RelocationOptions::default().plain_up_to(0).verify_in_full(false);
    let trusting = relocation.clone().options(options());
    let moved = trusting.start(acme, &second).await?;
    assert!(!moved.certificate.unwrap().compared_in_full);
    let refused = relocation.complete(acme).await;
    assert!(
        matches!(
            &refused,
            Err(Error::Relocation {
                source: RelocationError::OutOfPhase { .. },
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(rows(&fixture, "pool-1", acme).await.len(), 7);
    assert_eq!(trusting.complete(acme).await?.phase, Phase::Completed);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_closed_at_the_source_and_not_open_yet_is_not_given_up() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    let relocation = relocation(&fixture).options(RelocationOptions::default().plain_up_to(0));
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-2"))).await;
    let stop = format!(
        "create function stop() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
         create trigger stop before insert or update on tenantry.placement for each row
             when (new.state = 'active' and new.client_id = '{acme}') execute function stop()"
    );
    run(&mut superuser, &stop).await;
    let stopped = relocation.start(acme, &second).await;
    assert!(matches!(&stopped, Err(Error::Statement { .. })), "{stopped:?}");
    run(&mut superuser, "drop function stop() cascade").await;
    assert_eq!(relocation.status(acme).await?.unwrap().phase, Phase::Following);
    let cancelled = relocation.cancel(acme).await;
    assert!(
        matches!(
            &cancelled,
            Err(Error::Relocation {
                source: RelocationError::OutOfPhase { .. },
                ..
            })
        ),
        "{cancelled:?}"
    );
    assert_eq!(rows(&fixture, "pool-2", acme).await.len(), 7);
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    assert_eq!(db.query("agents").count().await?, 1);
    manager.close().await;
    fixture.close().await;
    Ok(())
}
