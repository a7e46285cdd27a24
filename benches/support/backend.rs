//! What a server process costs, as its machine counts it: of use where the server runs on this one.

#![expect(clippy::disallowed_methods, reason = "asks the server for its processes")]

use std::fs;

use sqlx::{Connection, PgConnection};
use tenantry::testing::Fixture;

/// Seconds on a processor so far. `None` where the machine does not tell.
pub(crate) fn seconds_on_cpu(pid: i32) -> Option<f64> {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let nanos: f64 = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(nanos / 1e9)
}

/// Memory in KiB, what is shared counted by its share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) all: u64,
    /// Its own alone: no buffers and no code.
    pub(crate) own: u64,
}

pub(crate) fn memory(pid: i32) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory {
        all: kib("Pss:")?,
        own: kib("Pss_Anon:")?,
    })
}

/// The server processes of the app role in a database.
pub(crate) async fn pids(fixture: &Fixture, database: &str) -> Vec<i32> {
    let options = fixture.server().connect_options("postgres");
    let mut superuser = PgConnection::connect_with(&options).await.unwrap();
    let pids = sqlx::query_scalar("select pid from pg_stat_activity where datname = $1 and usename = $2")
        .bind(database)
        .bind(fixture.app_role())
        .fetch_all(&mut superuser)
        .await
        .unwrap();
    superuser.close().await.unwrap();
    pids
}
