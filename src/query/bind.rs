use std::marker::PhantomData;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, Encode, Postgres, Type, TypeInfo as _};
use uuid::Uuid;

/// A value that can be bound to a statement: whatever sqlx encodes for PostgreSQL, as long as the statement is
/// not sent.
pub trait Bind<'t>: Encode<'t, Postgres> + Type<Postgres> + Send + Sync + 't {}

impl<'t, T> Bind<'t> for T where T: Encode<'t, Postgres> + Type<Postgres> + Send + Sync + 't {}

/// A value of whatever type, kept until the statement is spelt.
pub(super) trait Value: Send + Sync {
    fn add_to(&self, arguments: &mut PgArguments) -> Result<(), BoxDynError>;

    /// Its bytes, without their length.
    fn encode_to(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError>;

    fn info(&self) -> PgTypeInfo;
}

pub(super) type BoxedValue<'t> = Box<dyn Value + 't>;

/// A value that encodes for as long as `'t`: an optional borrowed one does so for no other time.
pub(super) struct Held<'t, T>(T, PhantomData<&'t ()>);

pub(super) fn held<'t, T: Bind<'t>>(value: T) -> Held<'t, T> {
    Held(value, PhantomData)
}

pub(super) fn boxed<'t>(value: impl Bind<'t>) -> BoxedValue<'t> {
    Box::new(held(value))
}

impl<'t, T: Bind<'t>> Value for Held<'t, T> {
    fn add_to(&self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add::<&T>(&self.0)
    }

    fn encode_to(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buffer)
    }

    fn info(&self) -> PgTypeInfo {
        self.0.produces().unwrap_or_else(T::type_info)
    }
}

/// The UUID that a value is encoded as, by type uuid or as text.
pub(super) fn read_uuid(value: &dyn Value) -> Option<Uuid> {
    let info = value.info();
    let mut buffer = PgArgumentBuffer::default();
    match value.encode_to(&mut buffer) {
        Ok(IsNull::No) => {}
        Ok(IsNull::Yes) | Err(_) => return None,
    }
    if info == <Uuid as Type<Postgres>>::type_info() {
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
    use crate::client::ClientId;

    #[test]
    fn a_client_id_is_read_from_a_uuid_or_its_text() {
        let id = Uuid::from_u128(7);
        assert_eq!(read_uuid(&held(id)), Some(id));
        assert_eq!(read_uuid(&held(ClientId::from(id))), Some(id));
        assert_eq!(read_uuid(&held(Some(id))), Some(id));
        assert_eq!(read_uuid(&held(id.to_string())), Some(id));
        assert_eq!(read_uuid(&held(None::<Uuid>)), None);
        assert_eq!(read_uuid(&held("acme")), None);
        assert_eq!(read_uuid(&held(7_i64)), None);
    }
}
