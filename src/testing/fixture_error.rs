use std::io;

use super::ServerError;
use crate::{Error, InvalidName};

/// Why a fixture could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// There is no server.
    #[error("no server for the fixture")]
    Server(#[source] ServerError),
    /// The proxy could not listen.
    #[error("no proxy for the fixture")]
    Proxy(#[source] io::Error),
    /// A database of the fixture could not be created.
    #[error("a database of the fixture could not be set up")]
    Database(#[from] sqlx::Error),
    /// The crate refused a step.
    #[error("the fixture could not be set up")]
    Tenantry(#[from] Error),
    /// The slug of a client is none.
    #[error("the client of the fixture has no valid slug")]
    Slug(#[source] InvalidName),
}
