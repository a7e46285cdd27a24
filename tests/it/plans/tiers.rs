use serde_json::json;
use tenantry::testing::Fixture;
use tenantry::{
    ClientRef, Directory as _, Error, Feature, Features, Hosting, Limit, Limits, Tier, TierCatalog, TierName,
};

use super::{Outcome, platform_connection};
use crate::sql::{one, run};
use crate::support::HOST;

fn names(names: &[&str]) -> Vec<TierName> {
    names.iter().map(|name| TierName::from(*name)).collect()
}

#[tokio::test]
async fn a_catalogue_is_applied_as_a_whole_or_not_at_all() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();

    // The tiers of the migration have the names of this preset.
    let applied = platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    assert_eq!(applied.changed, names(&["adventurer", "champion", "paragon"]));
    assert_eq!(platform.tiers().await?, TierCatalog::sidekicks());
    let applied = platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    assert_eq!(applied.unchanged, names(&["adventurer", "champion", "paragon"]));
    assert_eq!((applied.changed, applied.retired), (Vec::new(), Vec::new()));
    let vast = fixture.dedicated_client("vast").await?;
    let record = platform.client(&ClientRef::Id(vast.id)).await?.unwrap();
    assert!(record.features.has(&Feature::VOICE) && !record.features.has(&Feature::WHITE_LABEL));
    assert_eq!(record.limit(&Limit::MAX_DOCUMENT_MB), Some(50));
    assert_eq!((record.retention_days, record.grace_days), (Some(365), 7));

    // The database refuses the last of them, so none is there.
    let wrong = TierCatalog::new([
        Tier::new("basic", Hosting::Shared),
        Tier::new("champion", Hosting::Shared),
    ])?;
    let refused = platform.apply_tiers(&wrong).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { what, .. } if what == "tier champion"),
        "{refused:?}"
    );
    assert_eq!(platform.tiers().await?, TierCatalog::sidekicks());
    let huge = Tier::new("huge", Hosting::Shared).limit(Limit::MAX_DOCUMENTS, Some(i64::MAX));
    let refused = platform
        .apply_tiers(&TierCatalog::new([huge])?)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");

    // Several processes at once leave one catalogue or the other.
    let (agents, sidekicks) = (TierCatalog::agents(), TierCatalog::sidekicks());
    let (first, second) = tokio::join!(platform.apply_tiers(&agents), platform.apply_tiers(&sidekicks));
    first?;
    second?;
    let tiers = platform.tiers().await?;
    assert!(tiers == agents || tiers == sidekicks, "{tiers:?}");

    // A tier that is offered no more has its clients still.
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let applied = platform.apply_tiers(&TierCatalog::agents()).await?;
    assert_eq!(applied.retired, names(&["adventurer", "champion", "paragon"]));
    assert_eq!(platform.tiers().await?, TierCatalog::agents());
    let record = platform.client(&ClientRef::Id(vast.id)).await?.unwrap();
    assert_eq!(record.tier, "champion".into());
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_tier_of_another_hosting_is_a_relocation_and_not_a_change() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.apply_tiers(&TierCatalog::agents()).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let handle = manager.tenant(acme.id).await?;

    platform.set_tier(acme.id, "starter").await?;
    // The handle from before goes on, and what it leads to is the new plan.
    assert_eq!(handle.query("agents").count().await?, 0);
    let record = manager.tenant(acme.id).await?.client().clone();
    assert_eq!(
        (record.tier, record.limits.get(&Limit::MAX_AGENTS)),
        ("starter".into(), Some(Some(10)))
    );

    let refused = platform.set_tier(acme.id, "enterprise").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "client {}: tier enterprise demands dedicated hosting: relocate the client",
            acme.id
        )
    );
    let unknown = platform.set_tier(acme.id, "emperor").await.unwrap_err();
    assert!(matches!(unknown, Error::Refused { .. }), "{unknown:?}");
    let record = platform.client(&ClientRef::Id(acme.id)).await?.unwrap();
    assert_eq!(record.tier, "starter".into());
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_a_client_has_of_its_own_is_in_place_of_its_tiers() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.apply_tiers(&TierCatalog::sidekicks()).await?;
    let acme = fixture.shared_client("acme").await?;

    let features = Features::default()
        .with(Feature::RAG, false)
        .with("holograms".parse()?, true);
    platform.set_grace_days(acme.id, Some(0)).await?;
    platform.set_features(acme.id, &features).await?;
    let limits = Limits::default()
        .with(Limit::MAX_SIDEKICKS, Some(4))
        .with("max_widgets".parse()?, Some(2));
    platform.set_limits(acme.id, &limits).await?;
    platform.set_retention_days(acme.id, Some(12)).await?;
    let record = platform.client(&ClientRef::Id(acme.id)).await?.unwrap();
    assert!(!record.features.has(&Feature::RAG) && record.features.has(&"holograms".parse()?));
    assert_eq!(record.limit(&Limit::MAX_SIDEKICKS), Some(4));
    assert_eq!(record.limit(&"max_widgets".parse()?), Some(2));
    assert_eq!(record.limit(&Limit::MAX_DOCUMENTS), Some(50));
    assert_eq!((record.retention_days, record.grace_days), (Some(12), 0));
    platform.set_grace_days(acme.id, None).await?;
    let refused = platform.set_grace_days(acme.id, Some(4_000)).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");

    // Two change different settings at once, and both do.
    let (one_, other) = (
        json!({ "branding": { "colour": "teal" } }),
        json!({ "tools": ["search"], "motto": 1 }),
    );
    let (first, second) = tokio::join!(
        platform.set_settings(acme.id, one_.as_object().unwrap()),
        platform.set_settings(acme.id, other.as_object().unwrap())
    );
    first?;
    second?;
    let changes = json!({ "motto": null, "providers": ["northwind"] });
    platform
        .set_settings(acme.id, changes.as_object().unwrap())
        .await?;
    let record = platform.client(&ClientRef::Id(acme.id)).await?.unwrap();
    let settings = &record.settings;
    assert_eq!(settings.branding().unwrap()["colour"], "teal");
    assert_eq!(settings.tools().unwrap(), ["search"]);
    assert_eq!(settings.providers().unwrap(), ["northwind"]);
    assert_eq!(settings.to_map().len(), 3, "{settings:?}");
    for wrong in [
        json!({ "providers": "northwind" }),
        json!({ "providers": [1] }),
        json!({ "tools": [["search"]] }),
        json!({ "branding": [] }),
    ] {
        let refused = platform
            .set_settings(acme.id, wrong.as_object().unwrap())
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{wrong}: {refused:?}");
    }

    let nobody = tenantry::ClientId::new();
    let refused = platform.set_features(nobody, &features).await.unwrap_err();
    assert!(matches!(refused, Error::UnknownClient { .. }), "{refused:?}");

    // Names that the library could not read back are refused by the database, too.
    let mut conn = platform_connection(&fixture).await;
    for (column, value) in [
        ("limit_overrides", "{\"Max\": 1}"),
        ("feature_overrides", "{\"a b\": true}"),
    ] {
        let sql = format!("update platform.clients set {column} = '{value}'");
        assert_eq!(crate::sql::refused(&mut conn, &sql).await.code, "23514");
    }
    run(
        &mut conn,
        "update platform.clients set limit_overrides = '{\"max_sidekicks\": null}'",
    )
    .await;
    let sidekicks: Option<i32> = one(&mut conn, "select max_sidekicks from platform.clients").await;
    assert_eq!(sidekicks, None);
    fixture.close().await;
    Ok(())
}
