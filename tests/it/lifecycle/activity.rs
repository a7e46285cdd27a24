//! Clients that nobody uses any more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenantry::{
    Changes, ClientConnectionManager, ClientId, ClientRecord, ClientRef, ClientStatus, Directory, Error,
    PlatformDirectory, PoolId, PoolRecord, Result,
};
use tokio::sync::Semaphore;

use super::{Outcome, Platform, shared};
use crate::sql::{PATIENCE, one, run};

#[tokio::test]
async fn a_client_that_nobody_used_for_long_is_archived_and_the_others_are_not() -> Outcome {
    const DAY: Duration = Duration::from_hours(24);

    let platform = Platform::start().await;
    let (provisioning, directory) = (platform.provisioning(), platform.fixture.platform());
    let mut ids = Vec::new();
    for slug in ["used", "unused", "new", "suspended", "deleted"] {
        ids.push(provisioning.provision(shared(slug)).await?.id);
    }
    let mut catalogue = platform.catalogue().await;
    run(
        &mut catalogue,
        "update platform.clients set created_at = now() - interval '100 days' where slug <> 'new';
         insert into platform.activity (client_id, seen_at)
         select id, now() - interval '90 days' from platform.clients where slug = 'used'",
    )
    .await;
    directory.set_status(ids[3], ClientStatus::Suspended).await?;
    directory.delete_client(ids[4]).await?;
    assert_eq!(directory.inactive_clients(30 * DAY, 10).await?, [ids[1], ids[0]]);
    assert_eq!(directory.inactive_clients(95 * DAY, 10).await?, [ids[1]]);
    // In use again: told by the process at the latest when it ends.
    let process = platform.fixture.manager().await?;
    process.hears_changes().await;
    process.tenant(ids[0]).await?;
    process.close().await;
    assert_eq!(directory.archive_inactive(30 * DAY, 10).await?, [ids[1]]);
    let refused = platform.manager.tenant(ids[1]).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::NotServed {
                status: ClientStatus::Archived,
                ..
            }
        ),
        "{refused:?}"
    );
    platform.manager.tenant(ids[0]).await?;
    platform.manager.tenant(ids[2]).await?;
    assert_eq!(directory.archive_inactive(30 * DAY, 10).await?, []);
    platform.close().await;
    Ok(())
}

/// Tells when it was told who is in use.
#[derive(Debug)]
struct Telling {
    platform: PlatformDirectory,
    told: Semaphore,
}

#[async_trait]
impl Directory for Telling {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        self.platform.client(client).await
    }

    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>> {
        self.platform.pool(pool).await
    }

    async fn changes(&self) -> Result<Option<Changes>> {
        self.platform.changes().await
    }

    async fn note_active(&self, clients: &[ClientId]) -> Result<()> {
        let noted = self.platform.note_active(clients).await;
        self.told.add_permits(1);
        noted
    }
}

#[tokio::test]
async fn who_is_in_use_is_told_once_a_minute_and_again_where_it_was_not_taken() -> Outcome {
    let platform = Platform::start().await;
    let acme = platform.fixture.shared_client("acme").await?.id;
    let mut catalogue = platform.catalogue().await;
    run(
        &mut catalogue,
        "create trigger refuse before insert on platform.activity
         for each statement execute function platform.refuse('not now')",
    )
    .await;
    let telling = Arc::new(Telling {
        platform: platform.fixture.platform().clone(),
        told: Semaphore::new(0),
    });
    let options = platform.fixture.manager_options();
    let process = ClientConnectionManager::with_directory(Arc::clone(&telling) as _, options);
    process.hears_changes().await;
    process.tenant(acme).await?;
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    tokio::time::timeout(PATIENCE, telling.told.acquire())
        .await??
        .forget();
    run(&mut catalogue, "drop trigger refuse on platform.activity").await;
    process.close().await;
    let seen = "select client_id from platform.activity";
    assert_eq!(one::<uuid::Uuid>(&mut catalogue, seen).await, acme.as_uuid());
    platform.close().await;
    Ok(())
}
