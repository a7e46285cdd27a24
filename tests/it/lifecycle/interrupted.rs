//! Set-ups that are cut off anywhere: each ends in one complete client, or none.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::join_all;
use tenantry::{ClientStatus, Error, NewClient};

use super::{Outcome, Platform, Welcome, dedicated, shared};
use crate::sql::{rows, until};

/// Drops the future the moment that it has been woken so often, each time by an answer that it waited for. Says whether
/// it was done before.
async fn cut_off<T>(future: impl Future<Output = T>, wakes: u32) -> bool {
    let mut future = Box::pin(future);
    let mut left = wakes;
    poll_fn(|context| {
        let Some(rest) = left.checked_sub(1) else {
            return Poll::Ready(false);
        };
        left = rest;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

async fn interrupted_everywhere(platform: &Platform, new: fn(&str) -> NewClient, step: usize) -> Outcome {
    let provisioning = platform
        .provisioning()
        .setup(Welcome::new("guide"))
        .setup(Welcome::new("scribe"));
    let mut wakes = 0_u32;
    let mut cut = 0;
    loop {
        let slug = format!("{}-{wakes}", new("x").tier());
        let done = cut_off(provisioning.provision(new(&slug)), wakes).await;
        // What it had said the server may be about to commit yet.
        let mut catalogue = platform.catalogue().await;
        until(
            &mut catalogue,
            "select not exists (select from pg_stat_activity where datname = current_database()
                 and pid <> pg_backend_pid() and xact_start is not null)",
        )
        .await;
        // By another process, as long as the first has not let go of it.
        loop {
            let unfinished = provisioning.unfinished().await?;
            let resumed = join_all(unfinished.iter().map(|left| provisioning.resume(left.client))).await;
            match resumed.into_iter().find_map(Result::err) {
                None => break,
                Some(Error::Busy { .. }) => tokio::task::yield_now().await,
                Some(failed) => return Err(failed.into()),
            }
        }
        let found: Vec<(uuid::Uuid, String)> = rows(
            &mut catalogue,
            &format!("select id, status from platform.clients where slug = '{slug}'"),
        )
        .await;
        for (id, status) in &found {
            assert_eq!(status, ClientStatus::Active.as_str(), "cut off after {wakes}");
            let agents = platform
                .manager
                .tenant(*id)
                .await?
                .query("agents")
                .count()
                .await?;
            assert_eq!(agents, 2, "cut off after {wakes}");
        }
        assert!(
            found.len() == 1 || (found.is_empty() && !done),
            "cut off after {wakes}"
        );
        cut += usize::from(!done);
        if done {
            break;
        }
        wakes += u32::try_from(step)?;
    }
    assert!(cut > 2, "it was cut off {cut} times");
    Ok(())
}

#[tokio::test]
async fn a_shared_client_whose_set_up_is_cut_off_is_complete_or_none() -> Outcome {
    let platform = Platform::start().await;
    interrupted_everywhere(&platform, shared, 3).await?;
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn a_dedicated_client_whose_set_up_is_cut_off_is_complete_or_none() -> Outcome {
    let platform = Platform::start().await;
    interrupted_everywhere(&platform, dedicated, 12).await?;
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn one_process_at_a_time_sets_a_client_up() -> Outcome {
    let platform = Platform::start().await;
    let guide = Welcome::new("guide").failing(1);
    let provisioning = platform.provisioning().setup(guide.clone());
    assert!(provisioning.provision(shared("acme")).await.is_err());
    let id = provisioning.unfinished().await?[0].client;
    let resumed = join_all((0..4).map(|_| provisioning.resume(id))).await;
    assert!(resumed.iter().any(Result::is_ok));
    for outcome in resumed {
        assert!(matches!(&outcome, Ok(_) | Err(Error::Busy { .. })), "{outcome:?}");
    }
    assert_eq!(
        platform.manager.tenant(id).await?.query("agents").count().await?,
        1
    );
    platform.close().await;
    Ok(())
}
