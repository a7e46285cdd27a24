//! Clients that are set up from nothing.

use async_trait::async_trait;
use tenantry::{
    Approval, ClientId, ClientSetup, ClientSlug, ClientStatus, Directory, Error, ErrorKind, HookError, Limit,
    Limits, NewClient, Placement, PlatformDirectory, Provisioning, ServerDatabases, TenantTx,
};

use super::{Outcome, Platform, Welcome, dedicated, shared};
use crate::sql::{one, run};

#[tokio::test]
async fn a_client_is_set_up_in_a_pool_or_in_a_database_of_its_own() -> Outcome {
    let platform = Platform::start().await;
    let provisioning = platform
        .provisioning()
        .setup(Welcome::new("guide"))
        .setup(Welcome::new("scribe"));
    for client in [shared("acme"), shared("bolt"), dedicated("vast")] {
        let slug = client.slug().clone();
        let record = provisioning.provision(client).await?;
        assert_eq!(record.status, ClientStatus::Active);
        let db = platform.manager.tenant(slug).await?;
        let agents: Vec<(String,)> = db
            .query("agents")
            .columns(["slug"])
            .order_by("slug", tenantry::Order::Asc)
            .fetch_all()
            .await?;
        assert_eq!(agents, [("guide".to_owned(),), ("scribe".to_owned(),)]);
        // Again: nothing is done twice.
        assert_eq!(provisioning.resume(record.id).await?.id, record.id);
        assert_eq!(db.query("agents").count().await?, 2);
    }
    assert_eq!(provisioning.unfinished().await?, []);
    let vast = platform
        .manager
        .tenant("vast".parse::<tenantry::ClientSlug>()?)
        .await?;
    assert_eq!(vast.client().placement, Placement::Dedicated);
    assert_eq!(platform.made().await.len(), 1);
    // The role that it is served by owns nothing and may read no other client's database.
    let mut tx = vast.begin().await?;
    let role: (bool, bool) = sqlx::query_as(
        "select rolsuper or rolcreatedb or rolcreaterole or rolbypassrls,
                exists (select from pg_class where relowner = r.oid) from pg_roles r where rolname = session_user",
    )
    .fetch_one(&mut tx)
    .await?;
    assert_eq!(role, (false, false));
    tx.rollback().await?;
    let others = format!(
        "select has_database_privilege('{}', '{}', 'connect')",
        platform.fixture.app_role(),
        platform.made().await[0]
    );
    assert!(!one::<bool>(&mut platform.catalogue().await, &others).await);
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn a_setup_that_fails_leaves_nothing_and_is_done_once_when_it_is_resumed() -> Outcome {
    let platform = Platform::start().await;
    let (guide, scribe) = (Welcome::new("guide"), Welcome::new("scribe").failing(2));
    let provisioning = platform.provisioning().setup(guide.clone()).setup(scribe.clone());
    let failed = provisioning.provision(shared("acme")).await.unwrap_err();
    assert!(
        matches!(&failed, Error::Hook { hook, .. } if hook == "set-up scribe"),
        "{failed:?}"
    );
    assert_eq!(failed.kind(), ErrorKind::Database);
    let unfinished = provisioning.unfinished().await?;
    let id = unfinished[0].client;
    assert_eq!(
        (unfinished[0].step.as_str(), unfinished[0].attempts),
        ("guide", 1)
    );
    assert!(unfinished[0].failure.as_ref().unwrap().contains("scribe"));
    // Nobody is served meanwhile.
    let refused = platform.manager.tenant(id).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::NotServed {
                status: ClientStatus::Provisioning,
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(provisioning.resume(id).await.is_err());
    provisioning.resume(id).await?;
    let db = platform.manager.tenant(id).await?;
    assert_eq!(db.query("agents").count().await?, 2);
    assert_eq!(guide.runs.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(scribe.runs.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(provisioning.unfinished().await?, []);
    platform.close().await;
    Ok(())
}

#[derive(Debug)]
struct NoForests;

#[async_trait]
impl Approval for NoForests {
    async fn approve(&self, client: &NewClient) -> Result<(), HookError> {
        if client.slug().as_str().contains("forest") {
            return Err("forests are not served".into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_was_not_approved_or_cannot_be_made_is_told() -> Outcome {
    let platform = Platform::start().await;
    let provisioning = platform.provisioning().approval(NoForests);
    let refused = provisioning.provision(shared("rainforest")).await.unwrap_err();
    assert!(matches!(&refused, Error::Hook { source, .. } if source.to_string() == "forests are not served"));
    let mut catalogue = platform.catalogue().await;
    assert_eq!(
        one::<i64>(&mut catalogue, "select count(*) from platform.clients").await,
        0
    );
    provisioning.provision(shared("acme")).await?;
    let taken = provisioning.provision(shared("acme")).await.unwrap_err();
    assert!(matches!(taken, Error::Refused { .. }), "{taken:?}");

    // Without anything that makes databases, and with what cannot.
    let without = Provisioning::new(
        platform.fixture.platform().clone(),
        platform.manager.clone(),
        &crate::support::HOST,
    );
    let missing = without.provision(dedicated("vast")).await.unwrap_err();
    assert!(matches!(missing, Error::MissingCredential { .. }), "{missing:?}");
    let id = without.unfinished().await?[0].client;
    for (databases, what) in [
        (
            ServerDatabases::new(platform.fixture.server().url("postgres")).prefix("DROP \""),
            "prefix",
        ),
        (
            ServerDatabases::new("postgres://nobody:planted@127.0.0.1:1/postgres"),
            "creating its database",
        ),
        // What the server said could have the password in it.
        (
            ServerDatabases::new(platform.fixture.app_url("postgres")),
            "the server refused a role (SQLSTATE 42501)",
        ),
    ] {
        let failed = without.clone().databases(databases).resume(id).await.unwrap_err();
        let told = format!("{failed}: {failed:?}");
        assert!(told.contains(what), "{told}");
        assert!(!told.contains("planted"), "{told}");
    }
    // Given up: nothing is left of it, and its name is free.
    let failing = platform.provisioning().setup(Welcome::new("guide").failing(9));
    for new in [shared("lost"), dedicated("gone")] {
        let slug = new.slug().clone();
        assert!(failing.provision(new.clone()).await.is_err());
        let unfinished = failing.unfinished().await?;
        failing.abandon(unfinished.last().unwrap().client).await?;
        let unknown = platform.manager.tenant(slug).await.unwrap_err();
        assert!(matches!(unknown, Error::UnknownClient { .. }), "{unknown:?}");
        let again = provisioning.provision(new).await?;
        let refused = provisioning.abandon(again.id).await.unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    }
    assert_eq!(platform.made().await.len(), 1);
    // Where one that can is there, it goes on.
    provisioning.resume(id).await?;
    assert_eq!(
        platform.manager.tenant(id).await?.query("agents").count().await?,
        0
    );
    platform.close().await;
    Ok(())
}

/// Gives the client limits of its own while it is set up, as an operator could.
#[derive(Debug)]
struct Meanwhile(PlatformDirectory, ClientSlug);

#[async_trait]
impl ClientSetup for Meanwhile {
    fn name(&self) -> &'static str {
        "meanwhile"
    }

    async fn set_up(&self, _tx: &mut TenantTx) -> Result<(), HookError> {
        let client = self.0.client(&self.1.clone().into()).await?.unwrap();
        let limits = Limits::default().with(Limit::MAX_DOCUMENTS, Some(7));
        self.0.set_limits(client.id, &limits).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_client_that_was_changed_while_it_was_set_up_is_served_as_it_is_then() -> Outcome {
    let platform = Platform::start().await;
    for client in [shared("acme"), dedicated("vast")] {
        let meanwhile = Meanwhile(platform.fixture.platform().clone(), client.slug().clone());
        let provisioning = platform
            .provisioning()
            .setup(meanwhile)
            .setup(Welcome::new("guide"));
        let record = provisioning.provision(client).await?;
        assert_eq!(record.limits.get(&Limit::MAX_DOCUMENTS), Some(Some(7)));
        let db = platform.manager.tenant(record.id).await?;
        assert_eq!(db.client().epoch, record.epoch);
        assert_eq!(db.query("agents").count().await?, 1);
        assert_eq!(provisioning.unfinished().await?, []);
    }
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_placed_yet_can_be_changed() -> Outcome {
    let platform = Platform::start().await;
    let mut catalogue = platform.catalogue().await;
    // As whoever creates one is killed before it is placed.
    let killed = "insert into platform.clients (name, slug, tier) values ('Acme', 'acme', 'adventurer')";
    run(&mut catalogue, killed).await;
    let id: uuid::Uuid = one(&mut catalogue, "select id from platform.clients").await;
    let directory = platform.fixture.platform();
    let limits = Limits::default().with(Limit::MAX_CONNECTIONS, Some(1));
    directory.set_limits(id.into(), &limits).await?;
    directory.activate(id.into()).await?;
    let db = platform.manager.tenant(ClientId::from(id)).await?;
    assert_eq!(db.query("agents").count().await?, 0);
    platform.close().await;
    Ok(())
}
