use std::borrow::Cow;
use std::fmt;

use super::bind::{Value, read_uuid};
use super::condition::Condition;
use super::join::Join;
use crate::client::ClientId;
use crate::error::{Error, MaybeClient, Result};

/// Whose rows of which table a statement meets.
#[expect(unnameable_types, reason = "a parameter of the sealed trait")]
pub struct Source<'t> {
    pub(super) client: ClientId,
    pub(super) table: Cow<'t, str>,
    pub(super) joins: Vec<Join<'t>>,
    pub(super) conditions: Vec<Condition<'t>>,
    /// The first error of the calls, kept for the terminal verb.
    error: Option<Box<Error>>,
}

impl<'t> Source<'t> {
    pub(super) fn new(client: ClientId, table: Cow<'t, str>) -> Self {
        Self {
            client,
            table,
            joins: Vec::new(),
            conditions: Vec::new(),
            error: None,
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.error.get_or_insert_with(|| Box::new(error));
    }

    pub(super) fn refuse(&mut self, what: String, reason: &'static str) {
        let client = self.client;
        self.fail(Error::StatementRefused { client, what, reason });
    }

    /// Accepts a client id that the caller gave where it is the client's own, and remembers an error where it
    /// is not: it is never replaced in silence.
    pub(super) fn expect_own_client(&mut self, value: &dyn Value) {
        if let Err(error) = own_client(self.client, &self.table, value) {
            self.fail(error);
        }
    }

    pub(super) fn take_error(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), |error| Err(*error))
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("client", &self.client)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

pub(super) fn own_client(client: ClientId, table: &str, value: &dyn Value) -> Result<()> {
    let given = read_uuid(value);
    if given == Some(client.as_uuid()) {
        return Ok(());
    }
    Err(Error::ForeignClient {
        client,
        table: table.to_owned(),
        given: MaybeClient(given),
    })
}
