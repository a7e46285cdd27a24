use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::client::ClientId;

/// Who may hold a connection: so many at once, of each client no more than its share, in the order they came
/// but for this: whoever waits for the client that a connection was just used for has it first, since it is
/// bound already, and one whose client uses another connection at the moment lets those behind it go first.
/// Nobody is overtaken more than [`MOST_OVERTAKEN`] times.
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
    overtaken: u32,
    grant: oneshot::Sender<Permit>,
}

/// How often those that came later may go first. The more, the more statements find a connection bound to
/// their client; the fewer, the more even the waits.
const MOST_OVERTAKEN: u32 = 16;

/// How many of those that wait are looked at for one that a connection is bound to.
const LOOK_AHEAD: usize = 64;

/// The right to hold one connection. Dropped, the next in line has it.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    /// `None` for the pool's own sake.
    client: Option<ClientId>,
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
                return Ok((self.permit(Some(client)), false));
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back(Waiting {
                client,
                share,
                overtaken: 0,
                grant,
            });
            granted
        };
        match tokio::time::timeout(timeout, granted).await {
            Ok(Ok(permit)) => Ok((permit, true)),
            Ok(Err(_dropped)) => Err(NotAdmitted::Closed),
            Err(_elapsed) => Err(NotAdmitted::TimedOut),
        }
    }

    /// A permit for nobody, where there is one that nobody waits for.
    pub(super) fn spare(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state();
        if state.closed || state.in_use >= self.max || !state.waiting.is_empty() {
            return None;
        }
        state.in_use += 1;
        Some(self.permit(None))
    }

    pub(super) fn in_use(&self) -> usize {
        self.state().in_use
    }

    pub(super) fn waiting(&self) -> usize {
        let state = self.state();
        let alive = state.waiting.iter().filter(|waiting| !waiting.grant.is_closed());
        alive.count()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        let state = self.state();
        state.waiting.iter().any(|waiting| !waiting.grant.is_closed())
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

    fn permit(self: &Arc<Self>, client: Option<ClientId>) -> Permit {
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

    fn give_back(&mut self, client: Option<ClientId>) {
        self.in_use -= 1;
        let Some(client) = client else { return };
        match self.by_client.get_mut(&client) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(self.by_client.remove(&client)),
        }
    }

    /// Who has what is free, after it was used for a client.
    fn next(&mut self, max: usize, used_for: Option<ClientId>) -> Option<Waiting> {
        if self.in_use >= max {
            return None;
        }
        let (mut first, mut chosen) = (None, None);
        let mut at = 0;
        while let Some(waiting) = self.waiting.get(at) {
            if waiting.grant.is_closed() {
                self.waiting.remove(at);
                continue;
            }
            let held = self.by_client.get(&waiting.client).copied().unwrap_or_default();
            // One at its share is not overtaken: it would not have been served.
            if held < waiting.share.max(1) {
                first = first.or(Some(at));
                if Some(waiting.client) == used_for {
                    chosen = Some(at);
                    break;
                }
                if held == 0 {
                    chosen = chosen.or(Some(at));
                }
                if waiting.overtaken >= MOST_OVERTAKEN || at >= LOOK_AHEAD {
                    // Nobody behind it goes first any more.
                    chosen = chosen.or(Some(at));
                    break;
                }
            }
            at += 1;
        }
        let at = chosen.or(first)?;
        let chosen = self.waiting.remove(at)?;
        for waiting in self.waiting.iter_mut().take(at) {
            waiting.overtaken += 1;
        }
        self.in_use += 1;
        *self.by_client.entry(chosen.client).or_default() += 1;
        Some(chosen)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.admission.state();
            state.give_back(self.client);
            state.next(self.admission.max, self.client)
        };
        self.admission.returned.notify_waiters();
        if let Some(Waiting { client, grant, .. }) = next {
            // Sent with the lock released: to one who has gone in between, it comes straight back here.
            let _ = grant.send(self.admission.permit(Some(client)));
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
    async fn who_waits_for_the_client_of_a_connection_has_it_first() {
        let admission = Arc::new(Admission::new(1));
        let (a, b) = (ClientId::new(), ClientId::new());
        let first = taken(&admission, a, 1).await;
        let mut other = Box::pin(admission.admit(b, 1, FOREVER));
        let mut same = Box::pin(admission.admit(a, 1, FOREVER));
        assert!(other.as_mut().now_or_never().is_none());
        assert!(same.as_mut().now_or_never().is_none());
        drop(first);
        let (same, _) = same.now_or_never().unwrap().unwrap();
        assert!(other.as_mut().now_or_never().is_none());
        drop(same);
        other.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_a_client_in_use_lets_the_others_first() {
        let admission = Arc::new(Admission::new(2));
        let (a, b, c) = (ClientId::new(), ClientId::new(), ClientId::new());
        let (of_a, of_b) = (taken(&admission, a, 2).await, taken(&admission, b, 2).await);
        let mut second_of_a = Box::pin(admission.admit(a, 2, FOREVER));
        let mut of_c = Box::pin(admission.admit(c, 2, FOREVER));
        assert!(second_of_a.as_mut().now_or_never().is_none());
        assert!(of_c.as_mut().now_or_never().is_none());
        drop(of_b);
        let of_c = of_c.now_or_never().unwrap().unwrap();
        drop(of_a);
        second_of_a.now_or_never().unwrap().unwrap();
        drop(of_c);
    }

    #[tokio::test]
    async fn nobody_is_overtaken_for_ever() {
        let admission = Arc::new(Admission::new(1));
        let (a, b) = (ClientId::new(), ClientId::new());
        let mut held = taken(&admission, a, 1).await;
        let mut patient = Box::pin(admission.admit(b, 1, FOREVER));
        assert!(patient.as_mut().now_or_never().is_none());
        for _ in 0..MOST_OVERTAKEN {
            let mut next = Box::pin(admission.admit(a, 1, FOREVER));
            assert!(next.as_mut().now_or_never().is_none());
            drop(held);
            held = next.now_or_never().unwrap().unwrap().0;
        }
        let mut next = Box::pin(admission.admit(a, 1, FOREVER));
        assert!(next.as_mut().now_or_never().is_none());
        drop(held);
        assert!(next.as_mut().now_or_never().is_none());
        patient.now_or_never().unwrap().unwrap();
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
