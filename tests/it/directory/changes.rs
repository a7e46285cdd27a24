//! Changes that were committed are in force at once, in handles that are held as well.

use futures_util::FutureExt as _;
use secrecy::SecretString;
use tenantry::testing::Fixture;
use tenantry::{
    ClientKey, ClientRef, ClientSlug, ClientStatus, ClientUpdate, Error, Following, Limits, TenantDb,
};

use super::{HOUR, LISTENERS, Outcome, documents_limit, hearing, operator, platform, trusting, until};
use crate::sql::{connect, one, run};
use crate::support::HOST;

/// The role that a statement runs as.
async fn role(db: &TenantDb) -> tenantry::Result<String> {
    let mut tx = db.begin().await?;
    let role = sqlx::query_scalar("select session_user::text")
        .fetch_one(&mut tx)
        .await
        .unwrap();
    tx.commit().await?;
    Ok(role)
}

async fn documents(manager: &tenantry::ClientConnectionManager, id: tenantry::ClientId) -> Option<i64> {
    let db = manager.tenant(id).await.unwrap();
    db.client().limits.get(&documents_limit()).flatten()
}

#[tokio::test]
async fn a_change_of_a_client_its_tier_or_its_names_is_in_force_once_it_is_heard() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let vast = fixture.dedicated_client("vast").await?.id;
    let other = hearing(trusting(&fixture)).await;
    let manager = &other;
    let platform_directory = fixture.platform();
    let mut conn = platform(&fixture).await;

    for id in [acme, vast] {
        let held = manager.tenant(id).await?;
        assert_eq!(documents(manager, id).await, None);
        // A limit of its own.
        platform_directory
            .set_limits(id, &Limits::default().with(documents_limit(), Some(7)))
            .await?;
        until("a limit", async || documents(manager, id).await == Some(7)).await;
        platform_directory.set_limits(id, &Limits::default()).await?;
        until("no limit", async || documents(manager, id).await.is_none()).await;
        // One of its tier.
        let tier = held.client().tier.to_string();
        let limited = format!(
            "update platform.tiers set limits = limits || '{{\"documents\": 9}}' where name = '{tier}'"
        );
        run(&mut conn, &limited).await;
        until("a tier", async || documents(manager, id).await == Some(9)).await;
        // Suspended: whoever has a handle is refused, too.
        assert_eq!(held.query("agents").count().await?, 0);
        platform_directory.set_status(id, ClientStatus::Suspended).await?;
        until("a suspension", async || {
            matches!(
                held.query("agents").count().await,
                Err(Error::NotServed {
                    status: ClientStatus::Suspended,
                    ..
                })
            )
        })
        .await;
        for refused in [
            held.begin().await.map(drop).unwrap_err(),
            manager.tenant(id).await.map(drop).unwrap_err(),
            held.update("agents")
                .set("name", "x")
                .all()
                .execute()
                .await
                .map(drop)
                .unwrap_err(),
        ] {
            assert!(matches!(refused, Error::NotServed { .. }), "{refused:?}");
        }
        platform_directory.set_status(id, ClientStatus::Active).await?;
        until("a resumption", async || {
            held.query("agents").count().await.is_ok()
        })
        .await;
    }

    // A name that led to nobody, that is renamed, and that is another's then.
    let slug = |text: &str| ClientRef::Slug(text.parse::<ClientSlug>().unwrap());
    let unknown =
        async |name: &ClientRef| matches!(manager.tenant(name).await, Err(Error::UnknownClient { .. }));
    assert!(unknown(&slug("renamed")).await);
    manager.tenant(slug("acme")).await?;
    platform_directory
        .update_client(acme, &ClientUpdate::default().slug("renamed".parse()?))
        .await?;
    until("a new name", async || !unknown(&slug("renamed")).await).await;
    assert_eq!(manager.tenant(slug("renamed")).await?.client().id, acme);
    // By another change, perhaps, than the one that ends the old name.
    until("an old name", async || unknown(&slug("acme")).await).await;
    let bolt = fixture.shared_client("acme").await?.id;
    until("a name that was free", async || !unknown(&slug("acme")).await).await;
    assert_eq!(manager.tenant(slug("acme")).await?.client().id, bolt);

    // A key that moves from one client to another.
    let key = ClientKey::new("agent", "guide")?;
    let owner = async || manager.tenant(key.clone()).await.ok().map(|db| db.client().id);
    assert_eq!(owner().await, None);
    platform_directory.add_key(acme, &key).await?;
    until("a key", async || owner().await == Some(acme)).await;
    platform_directory.remove_key(acme, &key).await?;
    platform_directory.add_key(bolt, &key).await?;
    until("a key that moved", async || owner().await == Some(bolt)).await;

    // Deleted: unknown, and refused to whoever has a handle.
    let held = manager.tenant(bolt).await?;
    platform_directory.delete_client(bolt).await?;
    until("a deletion", async || owner().await.is_none()).await;
    let refused = held.query("agents").count().await.unwrap_err();
    assert!(matches!(refused, Error::UnknownClient { .. }), "{refused:?}");
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn changed_connections_are_used_once_they_are_heard_and_the_old_ones_end() -> Outcome {
    const SCHEMA: &str = "create table here (id int); grant usage on schema public to public;
                          grant select on here to public";
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let vast = fixture.legacy_client("vast", SCHEMA).await?.id;
    let manager = hearing(trusting(&fixture)).await;
    let platform_directory = fixture.platform();
    let (in_pool, own) = (manager.tenant(acme).await?, manager.tenant(vast).await?);
    for db in [&in_pool, &own] {
        assert_eq!(role(db).await?, fixture.app_role());
    }
    // A role of the test's own, which is nobody else's on the server.
    let heir = format!("{}_heir", fixture.database("x"));
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    run(
        &mut superuser,
        &format!("create role {heir} login password 'heir'"),
    )
    .await;
    run(&mut superuser, &format!("select tenantry.configure('{heir}')")).await;
    let (pool, dedicated) = (fixture.database("pool-1"), fixture.database("vast"));
    let url = |database: &str| SecretString::from(fixture.server().url_as(&heir, "heir", database));
    let admin = |database: &str| SecretString::from(fixture.admin_url(database));

    let mut tx = in_pool.begin().await?;
    platform_directory
        .set_pool_connections(fixture.pool(), &url(&pool), &admin(&pool))
        .await?;
    platform_directory
        .set_dedicated(vast, &url(&dedicated), &admin(&dedicated))
        .await?;
    for db in [&in_pool, &own] {
        until("another role", async || {
            role(db).await.is_ok_and(|role| role == heir)
        })
        .await;
    }
    // What was under way goes on over the old connection, which is closed after it.
    let before: String = sqlx::query_scalar("select session_user::text")
        .fetch_one(&mut tx)
        .await?;
    assert_eq!(before, fixture.app_role());
    tx.commit().await?;
    let old = format!(
        "select not exists (select from pg_stat_activity where usename = '{}' and datname = '{pool}')",
        fixture.app_role()
    );
    crate::sql::until(&mut superuser, &old).await;

    // The same connections sealed anew are no others.
    let sessions = format!(
        "select string_agg(pid::text, ',' order by pid) from pg_stat_activity where usename = '{heir}'"
    );
    for db in [&in_pool, &own] {
        role(db).await?;
    }
    let connected: String = one(&mut superuser, &sessions).await;
    platform_directory
        .set_pool_connections(fixture.pool(), &url(&pool), &admin(&pool))
        .await?;
    for db in [&in_pool, &own] {
        role(db).await?;
    }
    assert_eq!(one::<String>(&mut superuser, &sessions).await, connected);

    // Another binding is another way to use the same connection. What is under way ends in the old one, and closing
    // waits for it.
    let (tx, beside) = (in_pool.begin().await?, in_pool.begin().await?);
    run(
        &mut platform(&fixture).await,
        "update platform.pools set binding = 'transaction'",
    )
    .await;
    until("another binding", async || {
        let db = manager.tenant(acme).await.unwrap();
        role(&db).await.unwrap();
        db.pool_statistics().unwrap().size == 1
    })
    .await;
    beside.rollback().await?;
    let mut closing = Box::pin(manager.close());
    // Longer than all the rest of it takes.
    for _ in 0..500 {
        assert!(closing.as_mut().now_or_never().is_none(), "it did not wait");
        one::<i32>(&mut superuser, "select 1").await;
    }
    tx.commit().await?;
    closing.await;
    run(&mut superuser, &format!("drop owned by {heir}")).await;
    let mut elsewhere = connect(fixture.server().connect_options(&dedicated)).await;
    run(&mut elsewhere, &format!("drop owned by {heir}; drop role {heir}")).await;
    Ok(())
}

#[tokio::test]
async fn clients_are_placed_as_the_admin_role_that_a_pool_has_now() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    fixture.shared_client("acme").await?;
    let database = fixture.database("pool-1");
    let heir = format!("{}_heir", fixture.database("admin"));
    let mut superuser = connect(fixture.server().connect_options(&database)).await;
    let create = format!(
        "create role {heir} login bypassrls password 'heir' in role {}",
        fixture.admin_role()
    );
    run(&mut superuser, &create).await;
    let admin = SecretString::from(fixture.server().url_as(&heir, "heir", &database));
    let app = SecretString::from(fixture.app_url(&database));
    fixture
        .platform()
        .set_pool_connections(fixture.pool(), &app, &admin)
        .await?;
    fixture.shared_client("bolt").await?;
    let connected = format!("select exists (select from pg_stat_activity where usename = '{heir}')");
    assert!(one::<bool>(&mut superuser, &connected).await);
    fixture.platform().close().await;
    run(&mut superuser, &format!("drop role {heir}")).await;
    Ok(())
}

#[tokio::test]
async fn a_change_is_in_force_though_the_listener_was_ended_at_the_worst_moment() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    // It must listen again: where it made do with the log, this would never be read.
    let listening = Following::default().poll_every(HOUR);
    let manager = hearing(trusting(&fixture).following(listening)).await;
    let mut operator = operator(&fixture).await;
    for round in 1..=40_i64 {
        documents(&manager, acme).await;
        let kill = format!("select pg_terminate_backend(pid) {LISTENERS}");
        let change = format!(
            "update platform.clients set limit_overrides = '{{\"documents\": {round}}}' where id = '{acme}'"
        );
        // Before the change commits, after it, in one transaction with it, and while it is listened again.
        match round % 4 {
            0 => run(&mut operator, &format!("{kill}; {change}")).await,
            1 => run(&mut operator, &format!("begin; {change}; {kill}; commit")).await,
            2 => {
                run(&mut operator, &change).await;
                run(&mut operator, &kill).await;
            }
            _ => {
                run(&mut operator, &kill).await;
                for _ in 0..round {
                    tokio::task::yield_now().await;
                }
                run(&mut operator, &change).await;
            }
        }
        until("a change past a dead listener", async || {
            documents(&manager, acme).await == Some(round)
        })
        .await;
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn where_nobody_can_listen_the_log_is_read() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let often = Following::default()
        .polling()
        .poll_every(std::time::Duration::from_millis(20));
    let manager = hearing(trusting(&fixture).following(often)).await;
    let held = manager.tenant(acme).await?;
    let platform_directory = fixture.platform();
    assert!(
        !one::<bool>(
            &mut operator(&fixture).await,
            &format!("select exists (select {LISTENERS})")
        )
        .await
    );

    // A transaction that began first and commits last: its number in the log is the smaller one.
    let bolt = fixture.shared_client("bolt").await?.id;
    let name = async |id| manager.tenant(id).await.unwrap().client().name.clone();
    // Remembered: only what is heard has it looked up again.
    assert_eq!(name(bolt).await, "bolt");
    let mut slow = platform(&fixture).await;
    run(
        &mut slow,
        &format!("begin; update platform.clients set name = 'Late' where id = '{acme}'"),
    )
    .await;
    platform_directory
        .update_client(bolt, &ClientUpdate::default().name("Early"))
        .await?;
    until("what committed first", async || name(bolt).await == "Early").await;
    assert_eq!(name(acme).await, "acme");
    run(&mut slow, "commit").await;
    until("what committed last", async || name(acme).await == "Late").await;
    platform_directory
        .set_status(acme, ClientStatus::Suspended)
        .await?;
    until("a suspension", async || {
        held.query("agents").count().await.is_err()
    })
    .await;
    until("its reason", async || {
        matches!(manager.tenant(acme).await, Err(Error::NotServed { .. }))
    })
    .await;
    manager.close().await;
    Ok(())
}
