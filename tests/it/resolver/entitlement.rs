//! Who may not act for a client gets no handle on its data.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;
use tenantry::testing::Fixture;
use tenantry::{Claims, ClientRecord, Entitlement, Error, ErrorKind, NamedBy};

use super::{Asked, Outcome, options};
use crate::sql::{connect, one};
use crate::support::HOST;

/// Allows the clients that the claim `clients` lists; breaks where it is no list.
#[derive(Clone, Default)]
struct Listed {
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Entitlement for Listed {
    async fn allows(
        &self,
        caller: Option<&Claims>,
        client: &ClientRecord,
    ) -> Result<bool, Box<dyn StdError + Send + Sync>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let Some(claims) = caller else { return Ok(false) };
        let listed = claims["clients"].as_array().ok_or("no list of clients")?;
        Ok(listed.iter().any(|slug| slug == client.slug.as_str()))
    }
}

#[tokio::test]
async fn a_caller_gets_the_clients_that_it_is_entitled_to() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, vast) = (
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    );
    let listed = Listed::default();
    let resolver = options()
        .header("x-tenant-id", NamedBy::Any)
        .entitlement(listed.clone())
        .build()?;
    let manager = fixture.manager().await?;
    let ask = async |client: &str, claims: Option<serde_json::Value>| {
        let asked = Asked::header("x-tenant-id", client);
        let asked = match claims {
            Some(claims) => asked.and_claims(&claims),
            None => asked,
        };
        let headers = asked.lookup();
        resolver.tenant(&manager, &asked.request(&headers)).await
    };
    let both = || Some(json!({"clients": ["acme", "vast"]}));
    let one_of_them = || Some(json!({"clients": ["acme"]}));
    assert_eq!(ask("acme", one_of_them()).await?.client().id, acme.id);
    assert_eq!(ask("acme", both()).await?.client().id, acme.id);
    for (claims, failed) in [
        (one_of_them(), false),
        (Some(json!({"clients": []})), false),
        (None, false),
        (Some(json!({"clients": "vast"})), true),
    ] {
        let error = ask("vast", claims.clone()).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotEntitled { client, source }
                     if *client == vast.id && source.is_some() == failed),
            "{claims:?}: {error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Client);
    }
    assert_eq!(listed.asked.load(Ordering::Relaxed), 6);
    // Nobody who was refused has reached its database.
    assert_eq!(manager.open_dedicated_pools(), 0);
    let mut watcher = connect(fixture.server().connect_options("postgres")).await;
    let sessions = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and usename = '{}'",
        fixture.database("vast"),
        fixture.app_role()
    );
    assert_eq!(one::<i64>(&mut watcher, &sessions).await, 0);
    // Who is not there is not asked about.
    let error = ask("nobody", both()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
    assert_eq!(listed.asked.load(Ordering::Relaxed), 6);
    assert_eq!(ask("vast", both()).await?.query("agents").count().await?, 0);
    manager.close().await;
    Ok(())
}
