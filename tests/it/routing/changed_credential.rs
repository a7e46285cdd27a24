//! A client whose credential changed under managers that remember its route.
#![expect(clippy::disallowed_methods, reason = "changes a credential in SQL")]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, Error, Keyring, ManagerOptions, NewClient, PlatformDirectory,
    SealedFor, TenantDb,
};

use super::{Outcome, connected, deaf, deserted, keyring, platform_connection, reached, watcher};
use crate::sql::PATIENCE;
use crate::support::HOST;

/// A client by a keyring of the test's own, with two databases to be in.
struct Movable {
    fixture: Fixture,
    keyring: Keyring,
    client: ClientId,
    databases: [String; 2],
}

impl Movable {
    async fn start() -> std::result::Result<Self, Box<dyn std::error::Error>> {
        const SCHEMA: &str = "create table here (id int); grant select on here to tenantry_fixture_app; grant usage on schema public to public";
        let fixture = Fixture::start(&HOST).await?;
        assert_eq!(fixture.app_role(), "tenantry_fixture_app");
        for slug in ["one", "two"] {
            fixture.legacy_client(slug, SCHEMA).await?;
        }
        let databases = [fixture.database("one"), fixture.database("two")];
        let keyring = keyring(5);
        let url = SecretString::from(fixture.admin_url(&fixture.database("platform")));
        let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
        let client = NewClient::new("Movable", "movable".parse()?, "champion")
            .dedicated(fixture.app_url(&databases[0]), fixture.admin_url(&databases[0]));
        let client = platform.create_client(client).await?.id;
        platform.close().await;
        Ok(Self {
            fixture,
            keyring,
            client,
            databases,
        })
    }

    /// Of a manager that does not hear of the change while the test runs.
    fn options(&self) -> ManagerOptions {
        let url = self.fixture.admin_url(&self.fixture.database("platform"));
        ManagerOptions::new(url, self.keyring.clone())
            .following(deaf())
            .max_staleness(Duration::from_hours(1))
    }

    async fn change_credential(&self) -> Outcome {
        let sealed = self.keyring.seal(
            &self.fixture.app_url(&self.databases[1]).into(),
            SealedFor {
                owner: self.client.as_uuid(),
                column: "clients.app_connection",
            },
        )?;
        let mut conn = platform_connection(&self.fixture).await;
        sqlx::query("update platform.clients set app_connection = $1 where id = $2")
            .bind(sealed)
            .bind(self.client)
            .execute(&mut conn)
            .await?;
        Ok(())
    }

    /// Asks until the client is found in the second database.
    async fn found_in_the_second(&self, manager: &ClientConnectionManager) -> TenantDb {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let db = manager.tenant(self.client).await.unwrap();
            if reached(&db).await.unwrap() == self.databases[1] {
                return db;
            }
            assert!(Instant::now() < deadline, "the change is not seen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_changed_credential_is_seen_when_the_route_has_ended() -> Outcome {
    let movable = Movable::start().await?;
    let quick = connected(movable.options().record_ttl(Duration::from_millis(100))).await;
    let slow = connected(movable.options()).await;
    for manager in [&quick, &slow] {
        let db = manager.tenant(movable.client).await?;
        assert_eq!(reached(&db).await?, movable.databases[0]);
    }
    movable.change_credential().await?;
    movable.found_in_the_second(&quick).await;
    // The old pool is not kept beside the new one.
    assert_eq!(quick.open_dedicated_pools(), 1);
    assert_eq!(
        reached(&slow.tenant(movable.client).await?).await?,
        movable.databases[0]
    );
    quick.close().await;
    slow.close().await;
    Ok(())
}

#[tokio::test]
async fn closing_closes_the_pool_of_a_handle_from_before_a_changed_credential() -> Outcome {
    let movable = Movable::start().await?;
    let manager = connected(movable.options().record_ttl(Duration::from_millis(100))).await;
    manager.hears_changes().await;
    let old = manager.tenant(movable.client).await?;
    assert_eq!(reached(&old).await?, movable.databases[0]);
    movable.change_credential().await?;
    let new = movable.found_in_the_second(&manager).await;
    // Who still holds the old handle goes on where it was, within the bound.
    assert_eq!(reached(&old).await?, movable.databases[0]);
    assert_eq!(manager.open_dedicated_pools(), 2);
    manager.close().await;
    for db in [&old, &new] {
        assert!(matches!(reached(db).await, Err(Error::Closed)));
    }
    assert_eq!(manager.open_dedicated_pools(), 0);
    let mut watcher = watcher(&movable.fixture).await;
    for database in ["one", "two"] {
        deserted(&mut watcher, &movable.fixture, database).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_of_an_old_handle_makes_room_like_any_other() -> Outcome {
    let movable = Movable::start().await?;
    let manager = connected(
        movable
            .options()
            .record_ttl(Duration::from_millis(100))
            .max_dedicated_pools(1)
            .dedicated_wait(Duration::from_millis(200)),
    )
    .await;
    manager.hears_changes().await;
    let old = manager.tenant(movable.client).await?;
    assert_eq!(reached(&old).await?, movable.databases[0]);
    movable.change_credential().await?;
    let new = movable.found_in_the_second(&manager).await;
    for _ in 0..2 {
        assert_eq!(reached(&old).await?, movable.databases[0]);
        assert_eq!(reached(&new).await?, movable.databases[1]);
    }
    manager.close().await;
    Ok(())
}
