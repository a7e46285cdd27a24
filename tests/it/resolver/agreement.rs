//! Two sources of a request name the same client, or it is refused.

use std::time::Duration;

use serde_json::json;
use tenantry::testing::Fixture;
use tenantry::{ClientStatus, Error, ErrorKind, NamedBy, NewClient, Result, TenantDb};

use super::{Asked, Outcome, options};
use crate::sql::{connect, run};
use crate::support::HOST;

#[tokio::test]
async fn names_of_one_client_agree_and_names_of_two_are_refused() -> Outcome {
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
    let asked = |host: &str, header: &str, claim: &str| {
        let asked = Asked::host(host);
        let asked = if header.is_empty() {
            asked
        } else {
            asked.and_header("x-tenant-id", header)
        };
        if claim.is_empty() {
            asked
        } else {
            asked.and_claims(json!({ "tenant": claim }))
        }
    };
    let (acme_id, bolt_id, idle_id) = (acme.to_string(), bolt.to_string(), idle.to_string());
    let nobody_id = uuid::Uuid::from_u128(7).to_string();
    // Cold, and then as it remembers them.
    for manager in [fixture.manager().await?, fixture.manager().await?] {
        for _ in 0..2 {
            let ask = async |host: &str, header: &str, claim: &str| -> Result<TenantDb> {
                let asked = asked(host, header, claim);
                let headers = asked.lookup();
                resolver.tenant(&manager, &asked.request(&headers)).await
            };
            for (host, header, claim) in [
                ("acme.service.example", "", ""),
                ("acme.service.example", "acme", ""),
                ("acme.service.example", &acme_id, &acme_id),
                ("data.acme.test", "krn:acme", &acme_id),
                ("www.service.example", "acme", &acme_id),
                ("localhost", "krn:acme", ""),
                ("localhost", "", &acme_id),
            ] {
                let db = ask(host, header, claim).await?;
                assert_eq!(db.client().id, acme, "{host} {header} {claim}");
            }
            let conflicts = [
                (
                    "acme.service.example",
                    "bolt",
                    "",
                    ["host name", "header x-tenant-id"],
                ),
                (
                    "acme.service.example",
                    "acme",
                    &*bolt_id,
                    ["host name", "claim tenant"],
                ),
                (
                    "localhost",
                    "bolt",
                    &acme_id,
                    ["header x-tenant-id", "claim tenant"],
                ),
                ("data.acme.test", "acme", &bolt_id, ["host name", "claim tenant"]),
                // Who is there and who is not is not told.
                (
                    "nobody.service.example",
                    "",
                    &acme_id,
                    ["host name", "claim tenant"],
                ),
                (
                    "acme.service.example",
                    "",
                    &nobody_id,
                    ["host name", "claim tenant"],
                ),
                (
                    "nobody.service.example",
                    "",
                    &idle_id,
                    ["host name", "claim tenant"],
                ),
                (
                    "idle.service.example",
                    "",
                    &acme_id,
                    ["host name", "claim tenant"],
                ),
                (
                    "acme.service.example",
                    "",
                    &idle_id,
                    ["host name", "claim tenant"],
                ),
            ];
            for (host, header, claim, sources) in conflicts {
                let error = ask(host, header, claim).await.unwrap_err();
                assert!(
                    matches!(&error, Error::ConflictingNames { first, second } if [first, second] == sources),
                    "{host} {header} {claim}: {error:?}"
                );
                assert_eq!(error.kind(), ErrorKind::Client);
                let text = format!("{error} {error:?}");
                assert!(
                    ![&acme_id, &bolt_id, &idle_id].iter().any(|id| text.contains(*id)),
                    "{text}"
                );
            }
            let error = ask("idle.service.example", "idle", &idle_id).await.unwrap_err();
            assert!(
                matches!(error, Error::NotServed { client, .. } if client == idle),
                "{error:?}"
            );
            let error = ask("nobody.service.example", "", &nobody_id).await.unwrap_err();
            assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
            let error = ask("localhost", "", "").await.unwrap_err();
            assert!(matches!(error, Error::NoClientNamed), "{error:?}");
            // What cannot be read is not passed over, whoever else names a client; nor is it told.
            let error = ask("acme.service.example", "a\u{1}planted", "")
                .await
                .unwrap_err();
            assert!(
                matches!(&error, Error::MalformedName { place, .. } if place == "header x-tenant-id"),
                "{error:?}"
            );
            assert!(!format!("{error} {error:?}").contains("planted"));
        }
        manager.close().await;
    }
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
    let manager =
        tenantry::ClientConnectionManager::connect(fixture.manager_options().record_ttl(hour)).await?;
    let resolver = options()
        .claim(["tenant"], NamedBy::Id)
        .header("x-tenant-id", NamedBy::Slug)
        .build()?;
    let ask = async |slug: &str, id: tenantry::ClientId| {
        let asked = Asked::header("x-tenant-id", slug).and_claims(json!({ "tenant": id.to_string() }));
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
