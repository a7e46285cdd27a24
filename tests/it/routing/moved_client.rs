//! A client that moved to another pool under managers that remember its route.
#![expect(
    clippy::disallowed_methods,
    reason = "reads in the transaction of a moved client"
)]

use tenantry::testing::Fixture;
use tenantry::{ClientId, ClientRef, Error, Isolation, PoolId, TransactionOptions};

use super::{Outcome, platform_connection, reached};
use crate::sql::{connect, run};
use crate::support::{HOST, embedding};

/// Moves a client to the second pool in both databases, as far as routes are concerned.
async fn moved(fixture: &Fixture, client: ClientId, to: PoolId) {
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    let mut platform = platform_connection(fixture).await;
    run(
        &mut there,
        &format!("select tenantry.place('{client}', 'active', 2)"),
    )
    .await;
    run(
        &mut platform,
        &format!("update platform.clients set pool_id = '{to}', epoch = 2 where id = '{client}'"),
    )
    .await;
    run(
        &mut here,
        &format!("select tenantry.place('{client}', 'moved', 1)"),
    )
    .await;
}

#[tokio::test]
async fn a_client_that_moved_is_followed_by_whoever_has_a_stale_route() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    for by in ["a read", "a write", "a call", "a transaction", "a snapshot"] {
        let client = fixture.shared_client(&by.replace(' ', "-")).await?;
        let db = manager.tenant(client.id).await?;
        let by_slug = manager.tenant(client.slug.clone()).await?;
        assert_eq!(reached(&db).await?, fixture.database("pool-1"));
        moved(&fixture, client.id, second).await;
        run(
            &mut there,
            &format!(
                "insert into agents (client_id, slug, name) values ('{}', 'guide', 'there')",
                client.id
            ),
        )
        .await;
        for db in [&db, &by_slug] {
            let names: Vec<(String,)> = match by {
                "a read" => db.query("agents").columns(["name"]).fetch_all().await?,
                "a write" => {
                    let update = db.update("agents").set("name", "there").eq("slug", "guide");
                    update.returning(["name"]).fetch_all().await?
                }
                "a call" => {
                    let call = db.rpc("match_documents").arg("p_query_embedding", embedding());
                    assert!(call.fetch_all::<(uuid::Uuid,)>().await?.is_empty());
                    db.query("agents").columns(["name"]).fetch_all().await?
                }
                _ => {
                    let options = match by {
                        "a snapshot" => TransactionOptions::default()
                            .isolation(Isolation::Serializable)
                            .read_only(),
                        _ => TransactionOptions::default(),
                    };
                    let mut tx = db.begin_with(options).await?;
                    let names = sqlx::query_as("select name from agents")
                        .fetch_all(&mut tx)
                        .await?;
                    tx.commit().await?;
                    names
                }
            };
            assert_eq!(names, [("there".to_owned(),)], "{by}");
        }
        // Long before the time that routes are remembered: by the name that was used, and by others.
        for name in [ClientRef::Id(client.id), ClientRef::Slug(client.slug.clone())] {
            let again = manager.tenant(name).await?;
            assert_eq!(reached(&again).await?, fixture.database("pool-2"), "{by}");
        }
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_moved_who_knows_where_is_an_error_to_be_retried() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let client = fixture.shared_client("acme").await?;
    let db = manager.tenant(client.id).await?;
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let moved = format!("select tenantry.place('{}', 'moved', 1)", client.id);
    run(&mut here, &moved).await;
    let agent = db.insert("agents").set("slug", "x").set("name", "X");
    for error in [
        db.query("agents").count().await.map(drop).unwrap_err(),
        agent.execute().await.map(drop).unwrap_err(),
        db.begin().await.map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::Moved { client: found } if *found == client.id) && error.is_retryable(),
            "{error:?}"
        );
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_route_that_went_stale_inside_a_transaction_is_resolved_anew_as_well() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let client = fixture.shared_client("acme").await?;
    let mut tx = manager.tenant(client.id).await?.begin().await?;
    // Past the lock, as a placement that was restored from a backup would be.
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    run(&mut here, "update tenantry.placement set state = 'moved'").await;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    run(
        &mut there,
        &format!("select tenantry.place('{}', 'active', 2)", client.id),
    )
    .await;
    let mut platform = platform_connection(&fixture).await;
    run(
        &mut platform,
        &format!("update platform.clients set pool_id = '{second}', epoch = 2"),
    )
    .await;
    let error = tx.query("agents").count().await.unwrap_err();
    assert!(matches!(error, Error::Moved { .. }), "{error:?}");
    drop(tx);
    let again = manager.tenant(client.id).await?;
    assert_eq!(reached(&again).await?, fixture.database("pool-2"));
    manager.close().await;
    Ok(())
}
