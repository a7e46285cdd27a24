//! Clients as they are listed, renamed, deleted and restored.

use tenantry::testing::Fixture;
use tenantry::{
    ClientCursor, ClientFilter, ClientKey, ClientRef, ClientStatus, ClientUpdate, Directory, Error, Hosting,
    NewClient,
};

use super::{Outcome, hearing, operator, platform, trusting};
use crate::sql::{one, run};
use crate::support::HOST;

#[tokio::test]
async fn clients_are_listed_a_page_at_a_time_by_what_is_asked() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let directory = fixture.platform();
    let mut created = Vec::new();
    for number in 0..7 {
        created.push(fixture.shared_client(&format!("client-{number}")).await?.id);
    }
    created.push(fixture.legacy_client("vast", "select").await?.id);
    // Some of the same moment.
    let mut conn = platform(&fixture).await;
    run(
        &mut conn,
        "update platform.clients set created_at = '2026-01-01 00:00:00.000001Z' where slug < 'client-4'",
    )
    .await;
    let mut first_four = created[..4].to_vec();
    first_four.sort_by_key(tenantry::ClientId::as_uuid);
    let expected: Vec<_> = first_four
        .into_iter()
        .chain(created[4..].iter().copied())
        .collect();
    for limit in [0, 1, 3, 8, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = directory.clients(&ClientFilter::default(), after, limit).await?;
            assert!(page.clients.len() <= usize::from(limit.max(1)));
            listed.extend(page.clients.iter().map(|client| client.id));
            // As text and back, as a host hands it out.
            let Some(next) = page.next else { break };
            after = Some(next.to_string().parse::<ClientCursor>()?);
        }
        assert_eq!(listed, expected, "{limit} at a time");
    }
    for text in ["", "x", "AAAA", "????"] {
        assert!(text.parse::<ClientCursor>().is_err());
    }

    directory.set_status(created[1], ClientStatus::Suspended).await?;
    directory.delete_client(created[2]).await?;
    let ids = async |filter: ClientFilter| {
        let page = directory.clients(&filter, None, 100).await.unwrap();
        page.clients.iter().map(|client| client.id).collect::<Vec<_>>()
    };
    let all = ClientFilter::default;
    assert_eq!(ids(all().status(ClientStatus::Suspended)).await, [created[1]]);
    assert_eq!(ids(all().hosting(Hosting::Dedicated)).await, [created[7]]);
    assert_eq!(ids(all().tier("champion")).await, [created[7]]);
    assert_eq!(ids(all().pool(fixture.pool())).await.len(), 6);
    assert_eq!(ids(all().named("CLIENT-5")).await, [created[5]]);
    assert_eq!(ids(all().named("100%")).await, []);
    assert_eq!(ids(all().deleted()).await, [created[2]]);
    assert_eq!(ids(all().named("client-2")).await, []);
    Ok(())
}

#[tokio::test]
async fn a_deleted_client_gives_its_names_back_and_lives_again_while_they_are_free() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let directory = fixture.platform();
    let manager = hearing(trusting(&fixture)).await;
    let acme = fixture.shared_client("acme").await?.id;
    let key = ClientKey::new("agent", "guide")?;
    directory.add_key(acme, &key).await?;
    manager
        .tenant(acme)
        .await?
        .insert("agents")
        .set("slug", "a")
        .set("name", "A")
        .execute()
        .await?;
    let held = manager.tenant(acme).await?;

    directory.delete_client(acme).await?;
    assert!(directory.client(&ClientRef::Key(key.clone())).await?.is_none());
    // In the pool database itself, whatever a process believes.
    let suspended = "select bool_or(suspended) from tenantry.placement";
    let mut pool = crate::sql::connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    assert!(one::<bool>(&mut pool, suspended).await);
    for again in [
        directory.delete_client(acme).await,
        directory.set_status(acme, ClientStatus::Active).await,
        directory.add_key(acme, &ClientKey::new("agent", "scribe")?).await,
        directory
            .update_client(acme, &ClientUpdate::default().name("A"))
            .await
            .map(drop),
    ] {
        assert!(matches!(again, Err(Error::UnknownClient { .. })), "{again:?}");
    }
    // It lives again, with its rows.
    directory.undelete_client(acme).await?;
    assert_eq!(
        directory.client(&ClientRef::Key(key.clone())).await?.unwrap().id,
        acme
    );
    assert_eq!(held.query("agents").count().await?, 1);
    let again = directory.client(&acme.into()).await?.unwrap();
    assert_eq!(again.name, "acme");
    assert!(matches!(
        directory.undelete_client(acme).await,
        Err(Error::UnknownClient { .. })
    ));

    directory.delete_client(acme).await?;
    let heir = fixture.shared_client("acme").await?.id;
    directory.add_key(heir, &key).await?;
    assert_eq!(directory.keys(heir).await?, std::slice::from_ref(&key));
    assert_eq!(directory.keys(acme).await?, []);
    let taken = directory.undelete_client(acme).await.unwrap_err();
    assert!(
        matches!(&taken, Error::Refused { reason, .. } if reason.contains("clients_slug_key")),
        "{taken:?}"
    );
    // Refused as a whole: it is still suspended where its rows are.
    assert!(one::<bool>(&mut pool, suspended).await);

    // Names that are taken.
    let bolt = fixture.shared_client("bolt").await?.id;
    for refused in [
        directory
            .update_client(bolt, &ClientUpdate::default().slug("acme".parse()?))
            .await
            .map(drop),
        directory.add_key(bolt, &key).await,
        directory
            .create_client(NewClient::new("Acme", "acme".parse()?, "adventurer"))
            .await
            .map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    let update = ClientUpdate::default()
        .name("Bolt & Sons")
        .external_ref(Some("krn:bolt:client:1".parse()?))
        .domain(Some("bolt.example".parse()?));
    let renamed = directory.update_client(bolt, &update).await?;
    assert_eq!(
        (renamed.name.as_str(), renamed.slug.as_str()),
        ("Bolt & Sons", "bolt")
    );
    assert!(renamed.domain.is_some() && renamed.external_ref.is_some());
    let cleared = directory
        .update_client(bolt, &ClientUpdate::default().domain(None))
        .await?;
    assert!(cleared.domain.is_none() && cleared.external_ref.is_some());
    assert!(!directory.remove_key(bolt, &key).await? && directory.remove_key(heir, &key).await?);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_key_is_found_by_an_index_and_never_by_reading_all_clients() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = operator(&fixture).await;
    run(
        &mut conn,
        &format!(
            "insert into platform.clients (name, slug, tier, pool_id)
             select 'Client', 'client-' || n, 'adventurer', '{}' from generate_series(1, 900) n;
             insert into platform.client_keys (index_name, key, client_id) select 'agent', slug, id from platform.clients;
             analyze platform.clients; analyze platform.client_keys",
            fixture.pool()
        ),
    )
    .await;
    let plan: Vec<(String,)> = crate::sql::rows(
        &mut conn,
        "explain select * from platform.clients c where c.deleted_at is null and c.id =
             (select k.client_id from platform.client_keys k where k.index_name = 'agent' and k.key = 'client-7')",
    )
    .await;
    let plan: String = plan.into_iter().map(|(line,)| line).collect();
    assert!(!plan.contains("Seq Scan"), "{plan}");
    let found = fixture
        .platform()
        .client(&ClientKey::new("agent", "client-7")?.into())
        .await?;
    assert_eq!(found.unwrap().slug.as_str(), "client-7");
    Ok(())
}
