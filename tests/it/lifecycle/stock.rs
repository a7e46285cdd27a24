//! Dedicated databases that wait for a client.

use futures_util::future::try_join_all;
use tenantry::{ClientId, DatabaseProvisioner as _, Error, Provisioning};

use super::{Outcome, Platform, Welcome, dedicated, shared};
use crate::sql::{one, run, until};
use crate::support::HOST;

#[tokio::test]
async fn a_client_takes_a_database_that_waits_and_each_is_taken_once() -> Outcome {
    let platform = Platform::start().await;
    let provisioning = platform.provisioning().setup(Welcome::new("guide"));
    let made = try_join_all([provisioning.restock(2), provisioning.restock(2)]).await?;
    assert_eq!((made.iter().sum::<u32>(), provisioning.stock().await?), (2, 2));
    // Not for a client that shares a pool, or brings its own database, for which none is made either.
    provisioning.provision(shared("acme")).await?;
    let brought = platform.databases.create(ClientId::new()).await.unwrap();
    // Nor for one that has its own id, for which one is made.
    let id = ClientId::new();
    assert_eq!(provisioning.provision(dedicated("tall").id(id)).await?.id, id);
    let made = platform.made().await;
    assert_eq!(made.len(), 4);
    let own = dedicated("own").dedicated(brought.app, brought.admin);
    provisioning.provision(own).await?;
    assert_eq!(
        (platform.made().await, provisioning.stock().await?),
        (made.clone(), 2)
    );
    let taken = try_join_all(["vast", "wide"].map(|slug| provisioning.provision(dedicated(slug)))).await?;
    assert_eq!((platform.made().await, provisioning.stock().await?), (made, 0));
    assert_ne!(taken[0].id, taken[1].id);
    for client in &taken {
        assert_eq!(
            platform
                .manager
                .tenant(client.id)
                .await?
                .query("agents")
                .count()
                .await?,
            1
        );
    }

    // One that was left half made is made anew, some minutes after it was left.
    let mut catalogue = platform.catalogue().await;
    run(
        &mut catalogue,
        "insert into platform.stock (client_id, created_at) values
             ('11111111-1111-1111-1111-111111111111', now() - interval '1 hour'),
             ('22222222-2222-2222-2222-222222222222', now())",
    )
    .await;
    assert_eq!(provisioning.restock(2).await?, 1);
    assert_eq!(
        one::<i64>(&mut catalogue, "select count(*) from platform.stock where ready").await,
        1
    );
    // One that is half made is not taken: it was left lately, and may be somebody's work.
    let [left, lately] = [1_u128, 2].map(|n| ClientId::from(uuid::Uuid::from_u128(n * (u128::MAX / 15))));
    assert_eq!(provisioning.provision(dedicated("deep")).await?.id, left);
    assert_ne!(provisioning.provision(dedicated("broad")).await?.id, lately);
    // What is sealed there is no client's before it is taken, and no log tells it.
    let secret = "select count(*) from platform.audit_log where (before || after)::text ~ 'postgres:'";
    assert_eq!(one::<i64>(&mut catalogue, secret).await, 0);
    let logged = "select string_agg(distinct action, ' ' order by action) from platform.audit_log
                  where action like 'stock.%'";
    assert_eq!(
        one::<String>(&mut catalogue, logged).await,
        "stock.delete stock.insert stock.update"
    );

    let without = Provisioning::new(
        platform.fixture.platform().clone(),
        platform.manager.clone(),
        &HOST,
    );
    assert!(matches!(without.restock(1).await, Err(Error::Refused { .. })));
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn who_fill_the_stock_at_once_make_no_more_than_asked_for_and_none_twice() -> Outcome {
    const WAITING: &str =
        "select count(*) = 2 from pg_locks where locktype = 'advisory' and objid = 3 and not granted
        and database = (select oid from pg_database where datname = current_database())";

    let platform = Platform::start().await;
    let mut catalogue = platform.catalogue().await;
    let mut others = platform.catalogue().await;
    // With none, and with one that was left half made.
    for (ready, left) in [
        (1, ""),
        (
            2,
            "insert into platform.stock (client_id, created_at)
             values (gen_random_uuid(), now() - interval '1 hour')",
        ),
    ] {
        run(&mut catalogue, "delete from platform.stock").await;
        run(&mut catalogue, left).await;
        run(&mut others, "begin; select pg_advisory_xact_lock(1413828180, 3)").await;
        let provisioning = platform.provisioning();
        let filling = [provisioning.restock(ready), provisioning.restock(ready)];
        let mut filling = Box::pin(try_join_all(filling));
        tokio::select! {
            made = &mut filling => panic!("not held up: {made:?}"),
            () = until(&mut catalogue, WAITING) => {}
        }
        run(&mut others, "commit").await;
        assert_eq!(filling.await?.iter().sum::<u32>(), ready);
        let all: i64 = one(&mut catalogue, "select count(*) from platform.stock").await;
        assert_eq!((all, provisioning.stock().await?), (ready.into(), ready));
    }
    // One that is ready waits for as long as it takes.
    run(
        &mut catalogue,
        "update platform.stock set created_at = now() - interval '1 hour'",
    )
    .await;
    assert_eq!(platform.provisioning().restock(2).await?, 0);
    platform.close().await;
    Ok(())
}
