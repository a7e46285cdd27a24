//! What is told of clients.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tenantry::testing::DelayProxy;
use tenantry::{ClientEvent, ClientEventKind, ClientStatus, Error, EventSink, HookError};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Outcome, Platform, shared};
use crate::directory::outage::proxied;
use crate::sql::{connect, run};

/// Remembers what it was told, and refuses what it is told to.
#[derive(Debug, Default)]
struct Diary {
    told: Mutex<Vec<ClientEvent>>,
    refuses: Mutex<Option<ClientEventKind>>,
}

#[async_trait]
impl EventSink for Diary {
    async fn take(&self, event: &ClientEvent) -> Result<(), HookError> {
        if self.refuses.lock().unwrap().as_ref() == Some(&event.kind) {
            return Err("no answer".into());
        }
        self.told.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// Takes nothing, and from then on the server hears nothing.
#[derive(Debug)]
struct CutsOff<'p> {
    proxy: &'p DelayProxy,
    has: Notify,
}

#[async_trait]
impl EventSink for CutsOff<'_> {
    async fn take(&self, _event: &ClientEvent) -> Result<(), HookError> {
        self.proxy.pause_requests();
        self.has.notify_one();
        Err("no answer".into())
    }
}

#[tokio::test]
async fn what_happened_to_a_client_is_told_in_order_and_what_was_undone_is_not() -> Outcome {
    use ClientEventKind::{Activated, Created, Deleted, Restored, Resumed, Suspended};

    let platform = Platform::start().await;
    let directory = platform.fixture.platform();
    let acme = platform.provisioning().provision(shared("acme")).await?.id;
    directory.set_status(acme, ClientStatus::Suspended).await?;
    directory.set_status(acme, ClientStatus::Active).await?;
    let mut conn = connect(
        platform
            .fixture
            .admin_options(&platform.fixture.database("platform")),
    )
    .await;
    run(
        &mut conn,
        "begin; update platform.clients set status = 'archived'; rollback",
    )
    .await;
    run(&mut conn, "update platform.clients set name = 'Nothing to tell'").await;
    directory.delete_client(acme).await?;
    directory.undelete_client(acme).await?;

    let diary = Diary::default();
    *diary.refuses.lock().unwrap() = Some(Suspended);
    let refused = directory.deliver_events(&diary, 100).await.unwrap_err();
    assert!(matches!(refused, Error::Hook { .. }), "{refused:?}");
    let told = |diary: &Diary| {
        diary
            .told
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.kind.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&diary), [Created, Activated]);
    *diary.refuses.lock().unwrap() = None;
    // So many at most.
    assert_eq!(directory.deliver_events(&diary, 1).await?, 1);
    assert_eq!(told(&diary), [Created, Activated, Suspended]);
    // A page at a time, by several at once: each is told once.
    loop {
        let (one, other) = tokio::join!(
            directory.deliver_events(&diary, 1),
            directory.deliver_events(&diary, 1)
        );
        if one? + other? == 0 {
            break;
        }
    }
    assert_eq!(
        told(&diary),
        [Created, Activated, Suspended, Resumed, Deleted, Restored]
    );
    let events = diary.told.lock().unwrap().clone();
    assert!(
        events
            .iter()
            .all(|event| event.client == acme && event.detail["slug"] == "acme")
    );
    assert!(events.is_sorted_by_key(|event| event.id));
    assert_eq!(directory.deliver_events(&diary, 100).await?, 0);
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn who_could_not_tell_of_an_event_is_not_at_it_any_more() -> Outcome {
    let platform = Platform::start().await;
    let directory = platform.fixture.platform();
    platform.provisioning().provision(shared("acme")).await?;
    let server = platform.fixture.server();
    let proxy = DelayProxy::start(&server.connect_options("postgres")).await?;
    let far = proxied(&platform.fixture, &proxy).await;
    let unreachable = CutsOff {
        proxy: &proxy,
        has: Notify::new(),
    };
    let mut telling = pin!(far.deliver_events(&unreachable, 1));
    tokio::select! {
        biased;
        () = unreachable.has.notified() => {}
        early = &mut telling => panic!("the server has not heard that it ended: {early:?}"),
    }
    let early = timeout(Duration::from_millis(200), &mut telling).await;
    assert!(
        early.is_err(),
        "the server has not heard that it ended: {early:?}"
    );
    proxy.resume_requests();
    let refused = telling.await.unwrap_err();
    assert!(matches!(refused, Error::Hook { .. }), "{refused:?}");
    assert_eq!(directory.deliver_events(&Diary::default(), 1).await?, 1);
    far.close().await;
    platform.close().await;
    Ok(())
}
