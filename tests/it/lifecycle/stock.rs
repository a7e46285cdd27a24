//! Dedicated databases that wait for a client.

use futures_util::future::try_join_all;
use tenantry::{ClientId, Error, Provisioning};

use super::{Outcome, Platform, Welcome, dedicated, shared};
use crate::sql::{one, run};
use crate::support::HOST;

#[tokio::test]
async fn a_client_takes_a_database_that_waits_and_each_is_taken_once() -> Outcome {
    let platform = Platform::start().await;
    let provisioning = platform.provisioning().setup(Welcome::new("guide"));
    let made = try_join_all([provisioning.restock(2), provisioning.restock(2)]).await?;
    assert_eq!((made.iter().sum::<u32>(), provisioning.stock().await?), (2, 2));
    let waiting = platform.made().await;
    // Not for a client that shares a pool, or has its own id.
    provisioning.provision(shared("acme")).await?;
    assert_eq!(provisioning.stock().await?, 2);
    let taken = try_join_all(["vast", "wide"].map(|slug| provisioning.provision(dedicated(slug)))).await?;
    assert_eq!((platform.made().await, provisioning.stock().await?), (waiting, 0));
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
    // None waits: one is made.
    let own = ClientId::new();
    let tall = provisioning.provision(dedicated("tall").id(own)).await?;
    assert_eq!((tall.id, platform.made().await.len()), (own, 3));

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
    // What is sealed there is no client's before it is taken, and no log tells it.
    let secret = "select count(*) from platform.audit_log where (before || after)::text ~ 'postgres:'";
    assert_eq!(one::<i64>(&mut catalogue, secret).await, 0);

    let without = Provisioning::new(
        platform.fixture.platform().clone(),
        platform.manager.clone(),
        &HOST,
    );
    assert!(matches!(without.restock(1).await, Err(Error::Refused { .. })));
    platform.close().await;
    Ok(())
}
