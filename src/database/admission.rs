use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::client::ClientId;

/// Who may hold a connection: so many at once, of each client no more than its share, in the order they came.
///
/// A client at its share waits without holding up those behind it.
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    state: Mutex<State>,
    /// Told whenever a permit comes back.
    returned: Notify,
}

#[derive(Debug, Default)]
struct State {
    in_use: usize,
    by_client: HashMap<ClientId, usize>,
    waiting: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    client: ClientId,
    share: usize,
    grant: oneshot::Sender<Permit>,
}

/// The right to hold one connection. Dropped, the next in line has it.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    client: ClientId,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    Closed,
    TimedOut,
}

impl Admission {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
            returned: Notify::new(),
        }
    }

    /// A permit for the client, which may hold `share` at once. Says whether it was waited for.
    pub(super) async fn admit(
        self: &Arc<Self>,
        client: ClientId,
        share: usize,
        timeout: Duration,
    ) -> Result<(Permit, bool), NotAdmitted> {
        let granted = {
            let mut state = self.state();
            if state.closed {
                return Err(NotAdmitted::Closed);
            }
            // Whoever waits is at its share, or everything is in use: nobody is overtaken.
            if state.take(self.max, client, share) {
                return Ok((self.permit(client), false));
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back(Waiting { client, share, grant });
            granted
        };
        match tokio::time::timeout(timeout, granted).await {
            Ok(Ok(permit)) => Ok((permit, true)),
            Ok(Err(_dropped)) => Err(NotAdmitted::Closed),
            Err(_elapsed) => Err(NotAdmitted::TimedOut),
        }
    }

    pub(super) fn in_use(&self) -> usize {
        self.state().in_use
    }

    pub(super) fn waiting(&self) -> usize {
        self.state()
            .waiting
            .iter()
            .filter(|waiting| !waiting.grant.is_closed())
            .count()
    }

    /// Refuses whoever comes or waits, and waits until every permit is back.
    pub(super) async fn close(&self) {
        {
            let mut state = self.state();
            state.closed = true;
            state.waiting.clear();
        }
        loop {
            let mut returned = std::pin::pin!(self.returned.notified());
            returned.as_mut().enable();
            if self.in_use() == 0 {
                return;
            }
            returned.await;
        }
    }

    fn permit(self: &Arc<Self>, client: ClientId) -> Permit {
        Permit {
            admission: Arc::clone(self),
            client,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, max: usize, client: ClientId, share: usize) -> bool {
        let held = self.by_client.get(&client).copied().unwrap_or_default();
        let admitted = self.in_use < max && held < share.max(1);
        if admitted {
            self.in_use += 1;
            self.by_client.insert(client, held + 1);
        }
        admitted
    }

    fn give_back(&mut self, client: ClientId) {
        self.in_use -= 1;
        match self.by_client.get_mut(&client) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(self.by_client.remove(&client)),
        }
    }

    /// The first in line that may have what is free.
    fn next(&mut self, max: usize) -> Option<Waiting> {
        let mut at = 0;
        while self.in_use < max && at < self.waiting.len() {
            let waiting = &self.waiting[at];
            let (client, share, gone) = (waiting.client, waiting.share, waiting.grant.is_closed());
            if gone {
                self.waiting.remove(at);
            } else if self.take(max, client, share) {
                return self.waiting.remove(at);
            } else {
                at += 1;
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.admission.state();
            state.give_back(self.client);
            state.next(self.admission.max)
        };
        self.admission.returned.notify_waiters();
        if let Some(Waiting { client, grant, .. }) = next {
            // Sent with the lock released: to one who has gone in between, it comes straight back here.
            let _ = grant.send(self.admission.permit(client));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const FOREVER: Duration = Duration::from_hours(1);

    async fn taken(admission: &Arc<Admission>, client: ClientId, share: usize) -> Permit {
        admission.admit(client, share, FOREVER).await.unwrap().0
    }

    #[tokio::test]
    async fn who_waits_is_served_in_order() {
        let admission = Arc::new(Admission::new(1));
        let (a, b, c) = (ClientId::new(), ClientId::new(), ClientId::new());
        let first = taken(&admission, a, 1).await;
        let mut second = Box::pin(admission.admit(b, 1, FOREVER));
        let mut third = Box::pin(admission.admit(c, 1, FOREVER));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        let (second, waited) = second.await.unwrap();
        assert!(waited);
        drop(second);
        third.await.unwrap();
        assert_eq!(admission.in_use(), 0);
    }

    #[tokio::test]
    async fn a_client_at_its_share_does_not_hold_up_the_others() {
        let admission = Arc::new(Admission::new(3));
        let (a, b) = (ClientId::new(), ClientId::new());
        let held = (taken(&admission, a, 2).await, taken(&admission, a, 2).await);
        let mut greedy = Box::pin(admission.admit(a, 2, FOREVER));
        assert!(greedy.as_mut().now_or_never().is_none());
        let other = taken(&admission, b, 2).await;
        drop(other);
        assert!(
            greedy.as_mut().now_or_never().is_none(),
            "a third for a client whose share is two"
        );
        drop(held.0);
        greedy.await.unwrap();
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_loses_nothing() {
        let admission = Arc::new(Admission::new(1));
        let client = ClientId::new();
        let first = taken(&admission, client, 1).await;
        let mut gone = Box::pin(admission.admit(client, 1, FOREVER));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut next = Box::pin(admission.admit(client, 1, FOREVER));
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        // Granted and not yet taken.
        drop(gone);
        next.await.unwrap();
        assert_eq!(admission.in_use(), 0);
    }

    #[tokio::test]
    async fn closing_refuses_who_waits_and_waits_for_who_holds() {
        let admission = Arc::new(Admission::new(1));
        let client = ClientId::new();
        let held = taken(&admission, client, 1).await;
        let mut waiting = Box::pin(admission.admit(client, 1, FOREVER));
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut closing = Box::pin(admission.close());
        assert!(closing.as_mut().now_or_never().is_none());
        assert_eq!(waiting.await.unwrap_err(), NotAdmitted::Closed);
        drop(held);
        closing.await;
        assert_eq!(
            admission.admit(client, 1, FOREVER).await.unwrap_err(),
            NotAdmitted::Closed
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded() {
        let admission = Arc::new(Admission::new(1));
        let client = ClientId::new();
        let _held = taken(&admission, client, 1).await;
        let waited = admission.admit(client, 1, Duration::from_secs(5)).await;
        assert_eq!(waited.unwrap_err(), NotAdmitted::TimedOut);
        assert_eq!(admission.waiting(), 0);
    }
}
