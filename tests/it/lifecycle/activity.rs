//! Clients that nobody uses any more.

use std::time::Duration;

use tenantry::{ClientStatus, Error};

use super::{Outcome, Platform, shared};
use crate::sql::run;

#[tokio::test]
async fn a_client_that_nobody_used_for_long_is_archived_and_the_others_are_not() -> Outcome {
    const DAY: Duration = Duration::from_hours(24);

    let platform = Platform::start().await;
    let (provisioning, directory) = (platform.provisioning(), platform.fixture.platform());
    let mut ids = Vec::new();
    for slug in ["used", "unused", "new", "suspended"] {
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
    assert_eq!(directory.inactive_clients(30 * DAY, 10).await?, [ids[1], ids[0]]);
    assert_eq!(directory.inactive_clients(95 * DAY, 10).await?, [ids[1]]);
    // In use again: told by the process at the latest when it ends.
    let process = platform.fixture.manager().await?;
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
