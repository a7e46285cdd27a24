//! Two sources of a request name the same client, or it is refused.

use std::time::Duration;

use serde_json::json;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, ClientKey, ClientSlug, ClientStatus, Error, ErrorKind, Following,
    NamedBy, NewClient, Result, TenantDb, TenantResolver,
};

use super::{Asked, Outcome, options};
use crate::sql::{connect, run};
use crate::support::HOST;

/// A resolver over three sources, and whom they can name.
struct Stage {
    fixture: Fixture,
    resolver: TenantResolver,
    acme: ClientId,
    bolt: ClientId,
    idle: ClientId,
}

impl Stage {
    async fn set() -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let fixture = Fixture::start(&HOST).await?;
        let platform = fixture.platform();
        let acme = NewClient::new("Acme", "acme".parse()?, "adventurer")
            .external_ref("krn:acme".parse()?)
            .domain("data.acme.test".parse()?);
        let acme = platform.create_client(acme).await?.id;
        let bolt = fixture.shared_client("bolt").await?.id;
        let idle = fixture.shared_client("idle").await?.id;
        platform.set_status(idle, ClientStatus::Suspended).await?;
        let resolver = options()
            .base_domain("service.example")
            .custom_domains()
            .host()
            .header("x-tenant-id", NamedBy::Any)
            .claim(["tenant"], NamedBy::Id)
            .build()?;
        Ok(Self {
            fixture,
            resolver,
            acme,
            bolt,
            idle,
        })
    }

    /// Asks for the client of a host, a header and a claim; an empty one of the last two is not there.
    async fn ask(
        &self,
        manager: &ClientConnectionManager,
        (host, header, claim): (&str, &str, &str),
    ) -> Result<TenantDb> {
        let mut asked = Asked::host(host);
        if !header.is_empty() {
            asked = asked.and_header("x-tenant-id", header);
        }
        if !claim.is_empty() {
            asked = asked.and_claims(&json!({ "tenant": claim }));
        }
        let headers = asked.lookup();
        self.resolver.tenant(manager, &asked.request(&headers)).await
    }

    async fn names_of_one_client_agree(&self, manager: &ClientConnectionManager) -> Outcome {
        let id = self.acme.to_string();
        for names in [
            ("acme.service.example", "", ""),
            ("acme.service.example", "acme", ""),
            ("acme.service.example", &id, &id),
            ("data.acme.test", "krn:acme", &id),
            ("www.service.example", "acme", &id),
            ("localhost", "krn:acme", ""),
            ("localhost", "", &id),
        ] {
            let db = self.ask(manager, names).await?;
            assert_eq!(db.client().id, self.acme, "{names:?}");
        }
        Ok(())
    }

    async fn names_of_two_clients_are_refused(&self, manager: &ClientConnectionManager) {
        let ids = [self.acme, self.bolt, self.idle].map(|id| id.to_string());
        let [acme, bolt, idle] = &ids;
        let nobody = uuid::Uuid::from_u128(7).to_string();
        let (host, header, claim) = ("host name", "header x-tenant-id", "claim tenant");
        for (names, sources) in [
            (("acme.service.example", "bolt", ""), [host, header]),
            (("acme.service.example", "acme", &**bolt), [host, claim]),
            (("localhost", "bolt", acme), [header, claim]),
            (("data.acme.test", "acme", bolt), [host, claim]),
            // Who is there and who is not is not told.
            (("nobody.service.example", "", acme), [host, claim]),
            (("acme.service.example", "", &nobody), [host, claim]),
            (("nobody.service.example", "", idle), [host, claim]),
            (("idle.service.example", "", acme), [host, claim]),
            (("acme.service.example", "", idle), [host, claim]),
        ] {
            let error = self.ask(manager, names).await.unwrap_err();
            assert!(
                matches!(&error, Error::ConflictingNames { first, second } if [first, second] == sources),
                "{names:?}: {error:?}"
            );
            assert_eq!(error.kind(), ErrorKind::Client);
            let text = format!("{error} {error:?}");
            assert!(!ids.iter().any(|id| text.contains(id)), "{text}");
        }
        let error = self
            .ask(manager, ("idle.service.example", "idle", idle))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::NotServed { client, .. } if client == self.idle),
            "{error:?}"
        );
        let error = self
            .ask(manager, ("nobody.service.example", "", &nobody))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
        let error = self.ask(manager, ("localhost", "", "")).await.unwrap_err();
        assert!(matches!(error, Error::NoClientNamed), "{error:?}");
        // What cannot be read is not passed over, whoever else names a client; nor is it told.
        let error = self
            .ask(manager, ("acme.service.example", "a\u{1}planted", ""))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::MalformedName { place, .. } if place == header),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("planted"));
    }
}

#[tokio::test]
async fn names_of_one_client_agree_and_names_of_two_are_refused() -> Outcome {
    let stage = Stage::set().await?;
    // Each first by a manager that remembers nobody.
    let manager = stage.fixture.manager().await?;
    stage.names_of_two_clients_are_refused(&manager).await;
    stage.names_of_one_client_agree(&manager).await?;
    stage.names_of_two_clients_are_refused(&manager).await;
    manager.close().await;
    let manager = stage.fixture.manager().await?;
    stage.names_of_one_client_agree(&manager).await?;
    stage.names_of_one_client_agree(&manager).await?;
    manager.close().await;
    // Though it is remembered.
    let closed = stage
        .ask(&manager, ("acme.service.example", "krn:acme", ""))
        .await;
    assert!(closed.is_err(), "{closed:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_was_renamed_agrees_with_itself_and_who_has_its_name_does_not() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    let hour = Duration::from_hours(1);
    let manager = ClientConnectionManager::connect(fixture.manager_options().record_ttl(hour)).await?;
    let resolver = options()
        .claim(["tenant"], NamedBy::Id)
        .header("x-tenant-id", NamedBy::Slug)
        .build()?;
    let ask = async |slug: &str, id: ClientId| {
        let asked = Asked::header("x-tenant-id", slug).and_claims(&json!({ "tenant": id.to_string() }));
        let headers = asked.lookup();
        resolver.tenant(&manager, &asked.request(&headers)).await
    };
    assert_eq!(ask("acme", acme).await?.client().id, acme);
    let mut conn = connect(fixture.admin_options(&fixture.database("platform"))).await;
    run(
        &mut conn,
        "update platform.clients set slug = 'acme-2' where slug = 'acme';
         update platform.clients set slug = 'acme' where slug = 'bolt'",
    )
    .await;
    // The record that the manager remembers still has the old slug.
    assert_eq!(ask("acme-2", acme).await?.client().id, acme);
    assert_eq!(ask("acme", bolt).await?.client().id, bolt);
    let error = ask("acme-2", bolt).await.unwrap_err();
    assert!(matches!(error, Error::ConflictingNames { .. }), "{error:?}");
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_client_never_agrees() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    let guide = ClientKey::new("agent", "guide")?;
    fixture.platform().add_key(acme, &guide).await?;
    let resolver = options()
        .claim(["tenant"], NamedBy::Id)
        .header("x-agent", NamedBy::Key("agent"))
        .build()?;
    let manager = fixture.manager().await?;
    let ask = async |id: ClientId| {
        let asked = Asked::header("x-agent", "guide").and_claims(&json!({ "tenant": id.to_string() }));
        let headers = asked.lookup();
        resolver.tenant(&manager, &asked.request(&headers)).await
    };
    // Also of a client that is remembered.
    manager.tenant(bolt).await?;
    let error = ask(bolt).await.unwrap_err();
    assert!(matches!(error, Error::ConflictingNames { .. }), "{error:?}");
    assert_eq!(ask(acme).await?.client().id, acme);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_name_that_passed_to_another_client_leads_to_the_one_that_all_names_are_of() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    let hour = Duration::from_hours(1);
    let deaf = Following::default().polling().poll_every(hour);
    let options_of = fixture.manager_options().record_ttl(hour).max_staleness(hour);
    let manager = ClientConnectionManager::connect(options_of.following(deaf)).await?;
    manager.hears_changes().await;
    let resolver = options()
        .header("x-tenant-id", NamedBy::Slug)
        .claim(["tenant"], NamedBy::Id)
        .build()?;
    let slug = "acme".parse::<ClientSlug>()?;
    assert_eq!(manager.tenant(slug.clone()).await?.client().id, acme);
    let mut conn = connect(fixture.admin_options(&fixture.database("platform"))).await;
    run(
        &mut conn,
        "update platform.clients set slug = 'acme-2' where slug = 'acme';
         update platform.clients set slug = 'acme' where slug = 'bolt'",
    )
    .await;
    // Nothing was heard of it.
    assert_eq!(manager.tenant(slug).await?.client().id, acme);
    let asked = Asked::header("x-tenant-id", "acme").and_claims(&json!({ "tenant": bolt.to_string() }));
    let headers = asked.lookup();
    let db = resolver.tenant(&manager, &asked.request(&headers)).await?;
    assert_eq!(db.client().id, bolt);
    manager.close().await;
    Ok(())
}
