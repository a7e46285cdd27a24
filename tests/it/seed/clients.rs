//! What clients are in the platform database: created, changed in what is described, and left.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::json;
use tenantry::{
    ClientKey, ClientSlug, ClientStatus, CredentialKind, Error, Feature, Features, Hosting, Limit, Limits,
    Provider, Provisioning, ServerDatabases,
};

use super::{BOT, Outcome, Passwords, Stage, counts, set, totals};

fn acme() -> serde_json::Value {
    json!({ "clients": [{
        "slug": "acme", "name": "Acme", "tier": "adventurer", "external_ref": "krn:acme", "domain": "data.acme.example",
        "settings": { "tools": ["search"], "motto": "go" }, "features": { "voice": true },
        "limits": { "max_agents": 7 }, "keys": { "agent": ["guide", "scribe"] },
        "credentials": [
            { "provider": "openai", "kind": "api_key", "secret": { "$secret": "OPENAI" } },
            { "provider": "cohere", "kind": "api_key", "secret": { "$secret": "COHERE" } }
        ]
    }] })
}

#[tokio::test]
async fn a_client_is_created_as_it_is_described_and_then_found_so() -> Outcome {
    let stage = Stage::start().await;
    let seed = stage.seed().data(set(&acme()));
    let planned = seed.dry_run().await?;
    let applied = seed.apply().await?;
    assert_eq!(applied, planned);
    assert_eq!(counts(&applied, "acme", "(client)"), [1, 0, 0]);
    assert_eq!(counts(&applied, "acme", "(keys)"), [2, 0, 0]);
    assert_eq!(counts(&applied, "acme", "(credentials)"), [2, 0, 0]);
    assert_eq!(totals(&seed.apply().await?), [0, 0, 5]);
    assert!(seed.verify().await?.is_complete());

    let by_key = stage.manager.tenant(ClientKey::new("agent", "guide")?).await?;
    let record = by_key.client();
    assert_eq!((record.name.as_str(), record.slug.as_str()), ("Acme", "acme"));
    assert_eq!(
        record.external_ref.as_ref().map(tenantry::ExternalRef::as_str),
        Some("krn:acme")
    );
    assert!(record.features.has(&Feature::VOICE));
    assert_eq!(record.limit(&Limit::MAX_AGENTS), Some(7));
    assert_eq!(record.settings.get("motto"), Some(json!("go")));
    let key = stage
        .fixture
        .platform()
        .credential(record.id, &Provider::COHERE, &CredentialKind::API_KEY)
        .await?;
    assert_eq!(key.expose_secret(), "plantedsecretcohere");
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn of_a_client_that_is_there_what_is_described_is_changed_and_what_is_not_is_left() -> Outcome {
    let stage = Stage::start().await;
    stage.seed().data(set(&acme())).apply().await?;
    let platform = stage.fixture.platform();
    let slug: ClientSlug = "acme".parse()?;
    let id = stage.manager.tenant(slug).await?.client().id;
    // What was done by hand meanwhile.
    let own: BTreeMap<Feature, bool> = [(Feature::VOICE, false), (Feature::VIDEO, true)].into();
    platform.set_features(id, &Features::from(own)).await?;
    platform
        .set_limits(id, &Limits::default().with(Limit::MAX_USERS, Some(3)))
        .await?;
    let changes = json!({ "motto": "stay", "colour": "teal" });
    platform.set_settings(id, changes.as_object().unwrap()).await?;
    platform
        .remove_key(id, &ClientKey::new("agent", "scribe")?)
        .await?;
    platform.add_key(id, &ClientKey::new("agent", "own")?).await?;
    platform
        .remove_credential(id, &Provider::COHERE, &CredentialKind::API_KEY)
        .await?;

    let seed = stage
        .seed()
        .data(set(&acme()))
        .secrets(Passwords::default().with("OPENAI", "a newer one"));
    let verified = seed.verify().await?;
    let told = verified.to_string();
    assert!(
        told.contains("acme: (client) acme differs in limits, features, settings (set.json: clients[0])"),
        "{told}"
    );
    assert!(
        told.contains("acme: (credentials) api_key of openai differs in secret"),
        "{told}"
    );
    assert!(
        told.contains("acme: (credentials) api_key of cohere is missing"),
        "{told}"
    );
    assert!(told.contains("acme: (keys) agent scribe is missing"), "{told}");
    let planned = seed.dry_run().await?;
    let applied = seed.apply().await?;
    assert_eq!(applied, planned);
    assert_eq!(totals(&applied), [2, 2, 1]);
    assert!(seed.verify().await?.is_complete());

    stage.manager.hears_changes().await;
    let db = stage.manager.tenant(id).await?;
    let record = db.client();
    assert!(record.features.has(&Feature::VOICE) && record.features.has(&Feature::VIDEO));
    assert_eq!(record.limit(&Limit::MAX_AGENTS), Some(7));
    assert_eq!(record.limit(&Limit::MAX_USERS), Some(3));
    assert_eq!(record.settings.get("motto"), Some(json!("go")));
    assert_eq!(record.settings.get("colour"), Some(json!("teal")));
    assert_eq!(platform.keys(id).await?.len(), 3);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_of_a_dedicated_tier_is_provisioned() -> Outcome {
    let stage = Stage::start().await;
    let unique = stage.fixture.database("x").split('_').nth(1).unwrap()[..8].to_owned();
    let databases =
        ServerDatabases::new(stage.fixture.server().url("postgres")).prefix(format!("s{unique}_"));
    let provisioning = Provisioning::new(stage.fixture.platform().clone(), stage.manager.clone(), &BOT)
        .databases(databases.clone());
    let vast = json!({ "clients": [{ "slug": "vast", "name": "Vast", "tier": "champion" }],
        "shared": [{ "table": "providers", "key": ["slug"], "rows": [{ "slug": "north" }] }],
        "each_client": [{ "table": "tools", "key": ["slug"], "rows": [{ "slug": "base" }] }] });
    let seed = stage.seed().data(set(&vast)).provisioning(provisioning.clone());
    let applied = seed.apply().await?;
    assert_eq!(totals(&applied), [3, 0, 0], "{applied}");
    assert_eq!(counts(&applied, "database of vast", "providers"), [1, 0, 0]);
    let slug: ClientSlug = "vast".parse()?;
    let db = stage.manager.tenant(slug).await?;
    let record = db.client().clone();
    assert_eq!(
        (record.hosting(), record.status),
        (Hosting::Dedicated, ClientStatus::Active)
    );
    assert_eq!(totals(&seed.apply().await?), [0, 0, 3]);
    drop(db);
    stage.manager.close().await;
    tenantry::DatabaseProvisioner::remove(&databases, record.id)
        .await
        .map_err(|error| error.to_string())?;
    stage.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_to_be_created_or_is_not_served_is_refused() -> Outcome {
    let stage = Stage::with_acme().await;
    let of = |slug: &str| {
        let tables = json!([{ "table": "tools", "key": ["slug"], "rows": [{ "slug": "base" }] }]);
        let mut described = json!({ "of_client": {} });
        described["of_client"][slug] = tables;
        stage.seed().data(set(&described))
    };
    assert!(matches!(
        of("nobody").apply().await,
        Err(Error::UnknownClient { .. })
    ));
    stage
        .fixture
        .platform()
        .set_status(stage.clients[0].id, ClientStatus::Suspended)
        .await?;
    for refused in [of("acme").apply().await, of("acme").dry_run().await] {
        assert!(matches!(refused, Err(Error::NotServed { .. })), "{refused:?}");
    }
    let described = json!({ "clients": [{ "slug": "acme", "name": "Acme", "tier": "adventurer" }] });
    let refused = stage.seed().data(set(&described)).apply().await;
    assert!(matches!(refused, Err(Error::NotServed { .. })), "{refused:?}");
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_count_towards_the_limits_of_their_client() -> Outcome {
    let stage = Stage::with_acme().await;
    let options = stage.fixture.manager_options().counts("tools", Limit::MAX_AGENTS);
    let manager = tenantry::ClientConnectionManager::connect(options).await?;
    let limits = Limits::default().with(Limit::MAX_AGENTS, Some(2));
    stage
        .fixture
        .platform()
        .set_limits(stage.clients[0].id, &limits)
        .await?;
    let tools = |slugs: &[&str]| {
        let rows: Vec<_> = slugs.iter().map(|slug| json!({ "slug": slug })).collect();
        let described =
            json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": rows }] } });
        tenantry::Seed::new(stage.fixture.platform().clone(), manager.clone()).data(set(&described))
    };
    let refused = tools(&["a", "b", "c"]).apply().await;
    assert!(
        matches!(
            refused,
            Err(Error::LimitReached {
                used: 0,
                allowed: 2,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(totals(&tools(&["a", "b"]).apply().await?), [2, 0, 0]);
    assert_eq!(totals(&tools(&["a", "b"]).apply().await?), [0, 0, 2]);
    let refused = tools(&["a", "b", "c"]).apply().await;
    assert!(
        matches!(refused, Err(Error::LimitReached { used: 2, .. })),
        "{refused:?}"
    );
    manager.close().await;
    stage.close().await;
    Ok(())
}
