//! Another tier, with the move that it demands.

use std::time::Instant;

use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, DatabaseProvisioner, Error, Limit, Phase, Placement, Provisioning,
    RelocationError, ServerDatabases, TierCatalog,
};

use super::{Outcome, relocation};
use crate::sql::PATIENCE;
use crate::support::{HOST, fill};

#[tokio::test]
async fn an_upgrade_is_in_force_with_the_next_request_and_a_downgrade_refuses_what_does_not_fit() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let options = || {
        fixture
            .manager_options()
            .counts("documents", Limit::MAX_DOCUMENTS)
    };
    let manager = ClientConnectionManager::connect(options()).await?;
    // Another process, with a handle of before.
    let elsewhere = ClientConnectionManager::connect(options()).await?;
    let db = elsewhere.tenant(acme).await?;
    fill(&db, "acme").await?;
    let databases = ServerDatabases::new(fixture.server().url("postgres"))
        .prefix("upgrade_")
        .extensions(["vector"]);
    let provisioning =
        Provisioning::new(platform.clone(), manager.clone(), &HOST).databases(databases.clone());
    let relocation = relocation(&fixture);
    let documents = |n: u32| {
        (0..n)
            .map(|n| serde_json::json!({ "title": format!("{n}") }))
            .collect::<Vec<_>>()
    };

    let full = db.insert("documents").records(documents(50)).execute().await;
    assert!(matches!(&full, Err(Error::LimitReached { .. })), "{full:?}");
    let moved = relocation
        .upgrade(&provisioning, acme, "champion")
        .await?
        .unwrap();
    assert_eq!(moved.phase, Phase::Moved);
    db.insert("documents").records(documents(50)).execute().await?;
    for manager in [&manager, &elsewhere] {
        let client = manager.tenant(acme).await?;
        assert_eq!(
            (client.client().tier.as_str(), client.client().placement),
            ("champion", Placement::Dedicated)
        );
    }
    relocation.complete(acme).await?;
    // Between tiers of the same hosting nobody moves.
    assert!(
        relocation
            .upgrade(&provisioning, acme, "paragon")
            .await?
            .is_none()
    );
    // In force here as soon as it is heard of.
    let deadline = Instant::now() + PATIENCE;
    while manager.tenant(acme).await?.client().tier.as_str() != "paragon" {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }

    let refused = relocation
        .downgrade(&provisioning, acme, "adventurer", None)
        .await;
    assert!(
        matches!(&refused, Err(Error::Relocation { source: RelocationError::DoesNotFit { reasons, .. }, .. })
            if reasons == &["max_documents: 51 of 50"]),
        "{refused:?}"
    );
    db.delete("documents").eq("title", "0").execute().await?;
    let moved = relocation
        .downgrade(&provisioning, acme, "adventurer", None)
        .await?
        .unwrap();
    assert_eq!(moved.phase, Phase::Moved);
    let client = manager.tenant(acme).await?;
    assert_eq!(client.client().placement, Placement::Pool(fixture.pool()));
    assert_eq!(client.client().tier.as_str(), "adventurer");
    assert_eq!(db.query("documents").count().await?, 50);
    relocation.complete(acme).await?;
    let unknown = relocation.upgrade(&provisioning, acme, "emperor").await;
    assert!(matches!(&unknown, Err(Error::Refused { .. })), "{unknown:?}");
    elsewhere.close().await;
    manager.close().await;
    databases.remove(acme).await.unwrap();
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn an_upgrade_that_is_reverted_gives_the_tier_back() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme.id).await?, "acme").await?;
    let databases = ServerDatabases::new(fixture.server().url("postgres"))
        .prefix("reverted_")
        .extensions(["vector"]);
    let provisioning =
        Provisioning::new(platform.clone(), manager.clone(), &HOST).databases(databases.clone());
    let relocation = relocation(&fixture);
    relocation.upgrade(&provisioning, acme.id, "champion").await?;
    assert_eq!(manager.tenant(acme.id).await?.client().tier.as_str(), "champion");
    relocation.revert(acme.id).await?;
    let client = manager.tenant(acme.id).await?;
    assert_eq!(
        (&client.client().tier, client.client().placement),
        (&acme.tier, Placement::Pool(fixture.pool()))
    );
    manager.close().await;
    databases.remove(acme.id).await.unwrap();
    fixture.close().await;
    Ok(())
}
