//! A delay line: one direction of a connection, with a thread at each end of it.

use std::io;
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Socket};
use super::{LOOK_UP, Shared};

/// Chunks of one direction that may be under way before the sender has to wait, of up to 64 KiB each.
pub(super) const CHUNKS_UNDER_WAY: usize = 1024;
const CHUNK: usize = 64 * 1024;
/// A sleeping thread may wake up late by this much, where the kernel may put its timers together and where it may
/// not. So the last of a delay is waited for awake.
const SLACK: Duration = Duration::from_micros(80);
const LITTLE_SLACK: Duration = Duration::from_micros(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// Bytes and the moment when they are to arrive.
pub(super) type Chunk = (Instant, Vec<u8>);

pub(super) fn read(direction: Direction, shared: &Shared, connection: &Connection, line: &SyncSender<Chunk>) {
    let (from, bytes) = match direction {
        Direction::Up => (&connection.client, &shared.bytes_up),
        Direction::Down => (&connection.server, &shared.bytes_down),
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(read) => read,
            // Gone without a goodbye. There is nobody left to write to on this side, and the other is told.
            Err(_) => 0,
        };
        let now = Instant::now();
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() || connection.is_broken() {
            return;
        }
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        if direction == Direction::Up && !connection.asked.swap(true, Ordering::Relaxed) {
            shared.round_trips.fetch_add(1, Ordering::Relaxed);
        }
        let delay = Duration::from_nanos(shared.delay_nanos.load(Ordering::Relaxed));
        if line
            .send((now.checked_add(delay).unwrap_or(now), chunk.to_vec()))
            .is_err()
        {
            return;
        }
    }
}

pub(super) fn write(direction: Direction, shared: &Shared, connection: &Connection, line: &Receiver<Chunk>) {
    let (to, gate) = match direction {
        Direction::Up => (&connection.server, &shared.requests),
        Direction::Down => (&connection.client, &shared.replies),
    };
    let slack = slack();
    while let Ok((due, chunk)) = line.recv() {
        wait_until(due, slack, connection);
        gate.wait(connection);
        if direction == Direction::Down {
            // Before the write: what the client sends after it has read this is the next round trip.
            connection.asked.store(false, Ordering::Relaxed);
        }
        if !write_all(to, &chunk, connection) {
            return;
        }
    }
    if !connection.is_broken() {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// How late this thread may wake up, once it has asked Linux to be exact.
fn slack() -> Duration {
    let exact = std::fs::read_link("/proc/thread-self").and_then(|thread| {
        let thread = thread.file_name().map(PathBuf::from).unwrap_or_default();
        std::fs::write(PathBuf::from("/proc").join(thread).join("timerslack_ns"), "1")
    });
    if exact.is_ok() { LITTLE_SLACK } else { SLACK }
}

fn wait_until(due: Instant, slack: Duration, connection: &Connection) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || connection.is_broken() {
            return;
        }
        match left.checked_sub(slack) {
            Some(asleep) if !asleep.is_zero() => thread::sleep(asleep.min(LOOK_UP)),
            _ => std::hint::spin_loop(),
        }
    }
}

/// Whether all was written.
fn write_all(to: &Socket, mut bytes: &[u8], connection: &Connection) -> bool {
    while !bytes.is_empty() {
        if connection.is_broken() {
            return false;
        }
        match to.write(bytes) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if is_passing(error.kind()) => {}
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

/// Whether a write that ended like this can be tried again: the time to look up has come, or a signal.
fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
