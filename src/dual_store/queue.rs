use tokio::sync::{Mutex, mpsc, watch};

/// Keys whose records are to be compared, up to a bound.
#[derive(Debug)]
pub(super) struct Queue {
    into: mpsc::Sender<String>,
    out: Mutex<mpsc::Receiver<String>>,
    /// How many wait, or are being compared.
    open: watch::Sender<usize>,
}

/// A key that was taken out, until it is compared.
#[derive(Debug)]
pub(super) struct Taken<'q> {
    pub(super) key: String,
    queue: &'q Queue,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        let (into, out) = mpsc::channel(most);
        Self {
            into,
            out: Mutex::new(out),
            open: watch::Sender::new(0),
        }
    }

    /// Says whether there was room.
    pub(super) fn put(&self, key: &str) -> bool {
        let Ok(place) = self.into.try_reserve() else {
            return false;
        };
        self.open.send_modify(|open| *open += 1);
        place.send(key.to_owned());
        true
    }

    /// The next; it never ends, as long as the queue is there.
    pub(super) async fn take(&self) -> Option<Taken<'_>> {
        let key = self.out.lock().await.recv().await?;
        Some(Taken { key, queue: self })
    }

    /// Drops what waits, now and later. Returns how many did.
    pub(super) async fn close(&self) -> usize {
        let mut out = self.out.lock().await;
        out.close();
        let mut dropped = 0;
        while out.recv().await.is_some() {
            dropped += 1;
            self.open.send_modify(|open| *open -= 1);
        }
        dropped
    }

    /// Waits until nothing is in it.
    pub(super) async fn emptied(&self) {
        // The sender is here, so that it does not end.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.queue.open.send_modify(|open| *open -= 1);
    }
}
