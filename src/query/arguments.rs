use sqlx::encode::IsNull;
use sqlx::postgres::{PgArgumentBuffer, PgArguments};
use sqlx::{Arguments as _, TypeInfo as _};
use uuid::Uuid;

use super::bind::Bind;
use crate::client::ClientId;
use crate::error::{Error, MaybeClient, Result};

/// The values of a statement. `$1` is the client, always; the first error is kept for the terminal verb.
#[derive(Debug)]
pub(super) struct Arguments {
    client: ClientId,
    bound: PgArguments,
    error: Option<Error>,
}

impl Arguments {
    pub(super) fn new(client: ClientId) -> Self {
        let mut arguments = Self {
            client,
            bound: PgArguments::default(),
            error: None,
        };
        arguments.push("client_id", client.as_uuid());
        arguments
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    /// Binds a value and returns its place, for `$n`.
    pub(super) fn push(&mut self, column: &str, value: impl Bind) -> usize {
        if let Err(source) = self.bound.add(value) {
            let client = self.client;
            self.fail(Error::Encode {
                client,
                column: column.to_owned(),
                source: source.into(),
            });
        }
        self.bound.len()
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Accepts a client id that the caller gave where it is the client's own, and remembers an error where it
    /// is not: it is never replaced in silence.
    pub(super) fn expect_own_client(&mut self, table: &str, value: &impl Bind) {
        let given = read_uuid(value);
        if given != Some(self.client.as_uuid()) {
            let client = self.client;
            self.fail(Error::ForeignClient {
                client,
                table: table.to_owned(),
                given: MaybeClient(given),
            });
        }
    }

    pub(super) fn take_error(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    pub(super) fn bound(&self) -> &PgArguments {
        &self.bound
    }
}

/// The UUID that a value is encoded as, by type uuid or as text.
fn read_uuid<T: Bind>(value: &T) -> Option<Uuid> {
    let info = value.produces().unwrap_or_else(T::type_info);
    let mut buffer = PgArgumentBuffer::default();
    match value.encode_by_ref(&mut buffer) {
        Ok(IsNull::No) => {}
        Ok(IsNull::Yes) | Err(_) => return None,
    }
    if info == <Uuid as sqlx::Type<sqlx::Postgres>>::type_info() {
        Uuid::from_slice(&buffer).ok()
    } else if matches!(info.name(), "TEXT" | "VARCHAR") {
        std::str::from_utf8(&buffer).ok()?.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_read_from_a_uuid_or_its_text() {
        let id = Uuid::from_u128(7);
        assert_eq!(read_uuid(&id), Some(id));
        assert_eq!(read_uuid(&ClientId::from(id)), Some(id));
        assert_eq!(read_uuid(&Some(id)), Some(id));
        assert_eq!(read_uuid(&id.to_string()), Some(id));
        assert_eq!(read_uuid(&None::<Uuid>), None);
        assert_eq!(read_uuid(&"acme"), None);
        assert_eq!(read_uuid(&7_i64), None);
    }

    #[test]
    fn another_client_is_an_error_and_the_own_one_is_not() {
        let mut arguments = Arguments::new(ClientId::from(Uuid::from_u128(1)));
        arguments.expect_own_client("agents", &Uuid::from_u128(1));
        assert!(arguments.take_error().is_ok());
        arguments.expect_own_client("agents", &Uuid::from_u128(2));
        let error = arguments.take_error().unwrap_err();
        assert!(
            matches!(&error, Error::ForeignClient { given: MaybeClient(Some(id)), .. } if *id == Uuid::from_u128(2))
        );
    }
}
