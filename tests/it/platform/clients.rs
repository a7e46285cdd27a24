//! A new client: the pool that it is placed in, and what it is refused for.

use futures_util::{StreamExt as _, stream};
use tenantry::testing::Fixture;
use tenantry::{
    ClientRef, ClientStatus, Directory as _, Error, ErrorKind, Hosting, NewClient, NewPool, Placement,
};
use uuid::Uuid;

use super::{Outcome, platform_connection};
use crate::sql::{one, rows};
use crate::support::HOST;

#[tokio::test]
async fn pools_fill_in_order_and_exactly_under_concurrency() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.set_pool_active(fixture.pool(), false).await?;
    // All on one database: where the rows go is not what is counted.
    let database = fixture.database("pool-1");
    let capacities = [1, 20, 3, 25, 8];
    let mut pools = Vec::new();
    for (number, capacity) in capacities.into_iter().enumerate() {
        let pool = NewPool::new(
            format!("small-{number}"),
            fixture.app_url(&database),
            fixture.admin_url(&database),
        );
        pools.push(platform.register_pool(pool.capacity(capacity)).await?);
    }
    // 57 have room, 64 ask.
    let asked = stream::iter((0..64).map(|number| {
        let slug = format!("client-{number}").parse().unwrap();
        platform.create_client(NewClient::new("Client", slug, "adventurer"))
    }));
    let created: Vec<_> = asked.buffer_unordered(16).collect().await;
    let full = created
        .iter()
        .filter(
            |created| matches!(created, Err(Error::NoPoolWithRoom { slug }) if slug.starts_with("client-")),
        )
        .count();
    assert_eq!(full, 7);
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 57);

    let mut conn = platform_connection(&fixture).await;
    let counts: Vec<(Uuid, i32, i64)> = rows(
        &mut conn,
        "select p.id, p.client_count, (select count(*) from platform.clients c where c.pool_id = p.id)
         from platform.pools p where p.name like 'small-%' order by p.position",
    )
    .await;
    let expected: Vec<_> = pools
        .iter()
        .zip(capacities)
        .map(|(pool, capacity)| (pool.as_uuid(), capacity, i64::from(capacity)))
        .collect();
    assert_eq!(counts, expected);
    // In the order that the log has them, no client went to a later pool while an earlier one had room.
    let placed: Vec<(Uuid,)> = rows(
        &mut conn,
        "select (after ->> 'pool_id')::uuid from platform.audit_log where action = 'clients.insert' order by id",
    )
    .await;
    let in_order: Vec<_> = expected
        .iter()
        .flat_map(|(pool, _, count)| std::iter::repeat_n((*pool,), usize::try_from(*count).unwrap()))
        .collect();
    assert_eq!(placed, in_order);
    // All who were placed are served, and nobody else is there.
    let served: i64 = one(
        &mut conn,
        "select count(*) from platform.clients where status = 'active'",
    )
    .await;
    assert_eq!(served, 57);
    Ok(())
}

#[tokio::test]
async fn a_client_is_refused_where_a_name_is_taken_or_the_tier_is_none() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    fixture.shared_client("acme").await?;
    for (client, constraint) in [
        (
            NewClient::new("Acme", "acme".parse()?, "adventurer"),
            "clients_slug_key",
        ),
        (
            NewClient::new("Bolt", "bolt".parse()?, "emperor"),
            "there is no tier emperor",
        ),
        (
            NewClient::new(" ", "bolt".parse()?, "adventurer"),
            "clients_name_not_blank",
        ),
        (
            NewClient::new("Bolt", "bolt".parse()?, "adventurer").dedicated("postgres://a", "postgres://b"),
            "clients_shared_has_no_connection",
        ),
        // Without a connection there is nothing to serve it from.
        (
            NewClient::new("Vast", "vast".parse()?, "champion"),
            "clients_dedicated_has_connection",
        ),
    ] {
        let error = platform.create_client(client).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { reason, .. } if reason.contains(constraint)),
            "{constraint}: {error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Database);
    }
    let vast = platform.client(&ClientRef::Slug("vast".parse()?)).await?.unwrap();
    assert_eq!(
        (vast.status, vast.placement, vast.hosting()),
        (
            ClientStatus::Provisioning,
            Placement::Dedicated,
            Hosting::Dedicated
        )
    );
    Ok(())
}
