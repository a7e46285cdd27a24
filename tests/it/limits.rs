//! What a client's plan says of its use of a pool database.
#![expect(clippy::disallowed_methods, reason = "statements that take too long")]

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientRecord, ConnectionOptions, Error, Limit, Limits, TenantDb, TenantTx,
};

use crate::sql::{connect, one, run, until};
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A small pool database with two clients.
struct Shop {
    fixture: Fixture,
    manager: ClientConnectionManager,
    acme: ClientRecord,
    bolt: ClientRecord,
}

impl Shop {
    async fn open(connections: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let fixture = Fixture::start_proxied(&HOST).await?;
        let options = ConnectionOptions::default()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(1))
            .statement_timeout(Duration::from_secs(20));
        let manager =
            ClientConnectionManager::connect(fixture.manager_options().pool_connections(options)).await?;
        Ok(Self {
            acme: fixture.shared_client("acme").await?,
            bolt: fixture.shared_client("bolt").await?,
            fixture,
            manager,
        })
    }

    async fn limit(&self, limits: Limits) -> tenantry::Result<()> {
        self.fixture.platform().set_limits(self.acme.id, &limits).await
    }

    /// Sees what sessions of all roles do.
    async fn superuser(&self) -> PgConnection {
        let pool = self.fixture.database("pool-1");
        connect(self.fixture.server().connect_options(&pool)).await
    }

    async fn close(self) -> Outcome {
        self.manager.close().await;
        self.fixture.close().await;
        Ok(())
    }
}

async fn setting(db: &TenantDb, name: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut tx = db.begin().await?;
    let value = setting_in(&mut tx, name).await?;
    tx.commit().await?;
    Ok(value)
}

async fn setting_in(tx: &mut TenantTx, name: &str) -> sqlx::Result<String> {
    sqlx::query_scalar("select current_setting($1)")
        .bind(name)
        .fetch_one(tx)
        .await
}

fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map(Into::into)
}

#[tokio::test]
async fn timeouts_are_those_of_the_plan_or_else_of_the_pool() -> Outcome {
    let shop = Shop::open(1).await?;
    let (acme, bolt) = (
        shop.manager.tenant(shop.acme.id).await?,
        shop.manager.tenant(shop.bolt.id).await?,
    );
    let limits = Limits::default()
        .with(Limit::STATEMENT_TIMEOUT_MS, Some(2_000))
        .with(Limit::LOCK_TIMEOUT_MS, None)
        .with(Limit::MAX_DOCUMENTS, Some(3));
    assert_eq!(setting(&acme, "statement_timeout").await?, "20s");
    // The handle was there before.
    shop.limit(limits).await?;
    for _ in 0..2 {
        // One connection serves both.
        assert_eq!(setting(&acme, "statement_timeout").await?, "2s");
        assert_eq!(setting(&acme, "lock_timeout").await?, "0");
        assert_eq!(
            setting(&acme, "idle_in_transaction_session_timeout").await?,
            "1min"
        );
        assert_eq!(setting(&bolt, "statement_timeout").await?, "20s");
        assert_eq!(setting(&bolt, "lock_timeout").await?, "10s");
    }
    let mut tx = acme.begin().await?;
    let slow = sqlx::query("select pg_sleep(20)")
        .execute(&mut tx)
        .await
        .unwrap_err();
    assert_eq!(code(&slow).as_deref(), Some("57014"), "{slow:?}");
    drop(tx);
    // What a client sets for itself is gone with its transaction.
    let mut tx = acme.begin().await?;
    sqlx::query("select set_config('statement_timeout', '0', false)")
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    assert_eq!(setting(&acme, "statement_timeout").await?, "2s");

    let again = shop.manager.tenant(shop.acme.id).await?;
    assert_eq!(again.client().limits.get(&Limit::MAX_DOCUMENTS), Some(Some(3)));
    shop.limit(Limits::default()).await?;
    assert_eq!(setting(&again, "statement_timeout").await?, "20s");
    shop.close().await
}

#[tokio::test]
async fn the_timeouts_of_a_plan_cost_no_round_trip() -> Outcome {
    let shop = Shop::open(1).await?;
    shop.limit(Limits::default().with(Limit::STATEMENT_TIMEOUT_MS, Some(5_000)))
        .await?;
    let (acme, bolt) = (
        shop.manager.tenant(shop.acme.id).await?,
        shop.manager.tenant(shop.bolt.id).await?,
    );
    let proxy = shop.fixture.proxy().unwrap();
    for db in [&acme, &bolt] {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    let before = proxy.round_trips();
    for db in [&acme, &bolt] {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    assert_eq!(proxy.round_trips() - before, 4, "each binds and asks");
    let before = proxy.round_trips();
    bolt.query("agents").count().await?;
    assert_eq!(proxy.round_trips() - before, 1);
    shop.close().await
}

#[tokio::test]
async fn a_client_has_no_more_connections_at_once_than_its_plan() -> Outcome {
    let shop = Shop::open(3).await?;
    shop.limit(Limits::default().with(Limit::MAX_CONNECTIONS, Some(1)))
        .await?;
    let acme = shop.manager.tenant(shop.acme.id).await?;
    let held = acme.begin().await?;
    let error = acme.begin().await.unwrap_err();
    assert!(
        matches!(&error, Error::Busy { client, .. } if *client == shop.acme.id),
        "{error:?}"
    );
    let bolt = shop.manager.tenant(shop.bolt.id).await?;
    let others = (bolt.begin().await?, bolt.begin().await?);
    held.rollback().await?;
    others.0.rollback().await?;
    others.1.rollback().await?;
    shop.limit(Limits::default().with(Limit::MAX_CONNECTIONS, None))
        .await?;
    // The first finds that the plan has changed.
    let first = acme.begin().await?;
    let acme = shop.manager.tenant(shop.acme.id).await?;
    let held = (first, acme.begin().await?);
    let error = acme.begin().await.unwrap_err();
    assert!(
        matches!(error, Error::Busy { .. }),
        "the pool's own share: {error:?}"
    );
    drop(held);
    shop.close().await
}

#[tokio::test]
async fn a_transaction_that_is_idle_too_long_is_ended_and_the_pool_is_whole() -> Outcome {
    let shop = Shop::open(1).await?;
    shop.limit(Limits::default().with(Limit::IDLE_IN_TRANSACTION_TIMEOUT_MS, Some(2_000)))
        .await?;
    let acme = shop.manager.tenant(shop.acme.id).await?;
    let mut tx = acme.begin().await?;
    tx.insert("agents")
        .set("slug", "guide")
        .set("name", "Guide")
        .execute()
        .await?;
    let mut admin = shop.superuser().await;
    until(
        &mut admin,
        "select not exists (select from pg_stat_activity
             where datname = current_database() and application_name = 'tenantry'
               and state = 'idle in transaction')",
    )
    .await;
    let error = tx.commit().await.unwrap_err();
    assert!(!error.is_retryable(), "{error:?}");
    let bolt = shop.manager.tenant(shop.bolt.id).await?;
    assert_eq!(bolt.query("agents").count().await?, 0);
    assert_eq!(acme.query("agents").count().await?, 0);
    assert_eq!(acme.pool_statistics().unwrap().size, 1);
    shop.close().await
}

#[tokio::test]
async fn a_client_that_is_suspended_is_refused_at_once_and_served_again_after() -> Outcome {
    use tenantry::ClientStatus::{Active, Suspended};

    let shop = Shop::open(2).await?;
    let mut admin = shop.superuser().await;
    let acme = shop.manager.tenant(shop.acme.id).await?;
    assert_eq!(acme.query("agents").count().await?, 0);
    for _ in 0..2 {
        shop.fixture
            .platform()
            .set_status(shop.acme.id, Suspended)
            .await?;
        // In the pool database itself, whatever a process believes.
        assert!(one::<bool>(&mut admin, "select bool_or(suspended) from tenantry.placement").await);
        for error in [
            acme.query("agents").count().await.map(drop).unwrap_err(),
            acme.begin().await.map(drop).unwrap_err(),
            shop.manager.tenant(shop.acme.id).await.map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(
                    error,
                    Error::NotServed {
                        status: Suspended,
                        ..
                    }
                ),
                "{error:?}"
            );
        }
        shop.fixture.platform().set_status(shop.acme.id, Active).await?;
        assert_eq!(acme.query("agents").count().await?, 0);
    }
    shop.close().await
}

#[tokio::test]
async fn a_scope_key_is_rotated_while_clients_are_served() -> Outcome {
    let shop = Shop::open(1).await?;
    let (acme, bolt) = (
        shop.manager.tenant(shop.acme.id).await?,
        shop.manager.tenant(shop.bolt.id).await?,
    );
    let mut admin = shop.superuser().await;
    for rotation in 1..=4 {
        for db in [&acme, &bolt] {
            assert_eq!(db.query("agents").count().await?, 0, "before rotation {rotation}");
        }
        shop.fixture
            .platform()
            .rotate_scope_key(shop.fixture.pool())
            .await?;
        for db in [&acme, &bolt] {
            assert_eq!(db.query("agents").count().await?, 0, "after rotation {rotation}");
            db.begin().await?.commit().await?;
        }
        let keys: Vec<i32> = sqlx::query_scalar("select key_id from tenantry.scope_keys order by 1")
            .fetch_all(&mut admin)
            .await?;
        assert_eq!(keys, [rotation, rotation + 1]);
    }
    shop.close().await
}

#[tokio::test]
async fn limits_of_a_client_do_not_touch_how_it_is_hosted_and_are_none_below_zero() -> Outcome {
    let shop = Shop::open(1).await?;
    let mut platform = connect(shop.fixture.admin_options(&shop.fixture.database("platform"))).await;
    let overrides = format!(
        "select limit_overrides::text from platform.clients where id = '{}'",
        shop.acme.id
    );
    assert_eq!(Limit::new("hosting"), None);
    shop.limit(Limits::default().with(Limit::MAX_DOCUMENTS, Some(3)))
        .await?;
    assert_eq!(
        one::<String>(&mut platform, &overrides).await,
        r#"{"max_documents": 3}"#
    );

    // Hosted as its tier is not: that is said by a name whose value does not matter.
    let excepted = format!(
        "update platform.clients set limit_overrides = '{{\"hosting\": null}}' where id = '{}'",
        shop.acme.id
    );
    run(&mut platform, &excepted).await;
    shop.limit(Limits::default().with(Limit::MAX_DOCUMENTS, None))
        .await?;
    assert_eq!(
        one::<String>(&mut platform, &overrides).await,
        r#"{"hosting": null, "max_documents": null}"#
    );

    let refused = shop
        .limit(Limits::default().with(Limit::MAX_DOCUMENTS, Some(-1)))
        .await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let acme = shop.manager.tenant(shop.acme.id).await?;
    assert_eq!(
        acme.query("agents").count().await?,
        0,
        "nothing was changed by halves"
    );
    shop.close().await
}
