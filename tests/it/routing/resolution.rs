//! Which client a name leads to, and who of them is served.

use tenantry::testing::Fixture;
use tenantry::{ClientId, ClientRef, ClientStatus, Error, ErrorKind, NewClient};

use super::{Outcome, platform_connection};
use crate::sql::run;
use crate::support::HOST;

#[tokio::test]
async fn every_name_of_a_client_leads_to_it_and_others_to_nobody() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let id = ClientId::new();
    let client = NewClient::new("Acme", "acme".parse()?, "adventurer")
        .id(id)
        .external_ref("CRM/42".parse()?)
        .domain("acme.example".parse()?);
    fixture.platform().create_client(client).await?;
    let names: [ClientRef; 4] = [
        id.into(),
        ClientRef::Slug("acme".parse()?),
        ClientRef::External("CRM/42".parse()?),
        ClientRef::Domain("acme.example".parse()?),
    ];
    for name in &names {
        let db = manager.tenant(name).await?;
        assert_eq!(db.client().id, id, "{name}");
        assert_eq!(db.query("agents").count().await?, 0, "{name}");
    }
    let strangers: [ClientRef; 5] = [
        ClientId::new().into(),
        ClientRef::Slug("acm".parse()?),
        ClientRef::External("crm/42".parse()?),
        ClientRef::External("acme".parse()?),
        ClientRef::Domain("www.acme.example".parse()?),
    ];
    for name in &strangers {
        let error = manager.tenant(name).await.unwrap_err();
        assert!(
            matches!(&error, Error::UnknownClient { client } if client == name),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Client);
        assert!(error.to_string().contains(&name.to_string()), "{error}");
    }
    // A deleted client is unknown by every name.
    let mut conn = platform_connection(&fixture).await;
    run(&mut conn, "update platform.clients set deleted_at = now()").await;
    let afresh = fixture.manager().await?;
    for name in &names {
        let error = afresh.tenant(name).await.unwrap_err();
        assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
    }
    manager.close().await;
    afresh.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_active_is_not_served() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    for id in [
        fixture.shared_client("acme").await?.id,
        fixture.dedicated_client("vast").await?.id,
    ] {
        for status in [
            ClientStatus::Provisioning,
            ClientStatus::Suspended,
            ClientStatus::Archived,
        ] {
            fixture.platform().set_status(id, status).await?;
            let error = manager.tenant(id).await.unwrap_err();
            assert!(
                matches!(&error, Error::NotServed { client, status: found } if (*client, *found) == (id, status)),
                "{status}: {error:?}"
            );
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Client, false));
        }
        // The refusal is not remembered.
        fixture.platform().set_status(id, ClientStatus::Active).await?;
        assert_eq!(manager.tenant(id).await?.query("agents").count().await?, 0);
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_pool_that_takes_no_new_clients_serves_those_it_has() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    fixture.platform().set_pool_active(fixture.pool(), false).await?;
    let manager = fixture.manager().await?;
    assert_eq!(manager.tenant(acme.id).await?.query("agents").count().await?, 0);
    let bolt = NewClient::new("Bolt", "bolt".parse()?, "adventurer");
    let error = fixture.platform().create_client(bolt.clone()).await.unwrap_err();
    assert!(
        matches!(&error, Error::NoPoolWithRoom { slug } if slug == "bolt"),
        "{error:?}"
    );
    let nobody = manager
        .tenant(ClientRef::Slug("bolt".parse()?))
        .await
        .unwrap_err();
    assert!(matches!(nobody, Error::UnknownClient { .. }), "{nobody:?}");
    fixture.platform().set_pool_active(fixture.pool(), true).await?;
    let bolt = fixture.platform().create_client(bolt).await?;
    assert_eq!(manager.tenant(bolt.id).await?.query("agents").count().await?, 0);
    manager.close().await;
    Ok(())
}
