use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, Encode, Postgres, Type, TypeInfo as _};
use uuid::Uuid;

/// A value that can be bound to a statement: whatever sqlx encodes for PostgreSQL.
pub trait Bind: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send + Sync {}

impl<T> Bind for T where T: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send + Sync {}

/// A value of whatever type, kept until the statement is spelt.
pub(super) trait Value: Send + Sync {
    fn add_to(&self, arguments: &mut PgArguments) -> Result<(), BoxDynError>;

    /// Its bytes, without their length.
    fn encode_to(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError>;

    fn info(&self) -> PgTypeInfo;
}

pub(super) type BoxedValue<'t> = Box<dyn Value + 't>;

impl<T: Bind> Value for T {
    fn add_to(&self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add(self)
    }

    fn encode_to(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.encode_by_ref(buffer)
    }

    fn info(&self) -> PgTypeInfo {
        self.produces().unwrap_or_else(T::type_info)
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
        assert_eq!(read_uuid(&id), Some(id));
        assert_eq!(read_uuid(&ClientId::from(id)), Some(id));
        assert_eq!(read_uuid(&Some(id)), Some(id));
        assert_eq!(read_uuid(&id.to_string()), Some(id));
        assert_eq!(read_uuid(&None::<Uuid>), None);
        assert_eq!(read_uuid(&"acme"), None);
        assert_eq!(read_uuid(&7_i64), None);
    }
}
