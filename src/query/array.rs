use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type, TypeInfo as _};

use super::bind::Value;
use crate::schema::{Catalogue, Column};

/// An array of values that are each encoded already, in the binary format of PostgreSQL.
pub(super) struct ArrayOf {
    info: PgTypeInfo,
    each: PgTypeInfo,
    bytes: Vec<u8>,
}

impl ArrayOf {
    /// An array of these values, which are for a column, if there is a type of arrays for what they are encoded
    /// as.
    pub(super) fn values<'v>(
        values: impl Iterator<Item = &'v dyn Value> + Clone,
        column: &Column,
        catalogue: &Catalogue,
    ) -> Result<Option<Self>, BoxDynError> {
        let Some(first) = values.clone().next().map(Value::info) else {
            return Ok(None);
        };
        let element = element_of(&first, column);
        let Some((element, array)) =
            element.and_then(|element| Some((element, catalogue.array_of(element)?)))
        else {
            return Ok(None);
        };
        let mut buffer = PgArgumentBuffer::default();
        let (mut count, mut nulls) = (0_i32, 0_i32);
        // Dimensions, whether there are nulls, the type of elements, how many there are, the first one's number.
        buffer.extend([0; 20]);
        for value in values {
            if value.info() != first {
                return Ok(None);
            }
            count += 1;
            if !push(value, &mut buffer)? {
                nulls = 1;
            }
        }
        let header = [1_i32, nulls].map(i32::to_be_bytes).concat();
        buffer[..8].copy_from_slice(&header);
        buffer[8..12].copy_from_slice(&element.to_be_bytes());
        buffer[12..16].copy_from_slice(&count.to_be_bytes());
        buffer[16..20].copy_from_slice(&1_i32.to_be_bytes());
        Ok(Some(Self {
            info: PgTypeInfo::with_oid(Oid(array)),
            each: first,
            bytes: std::mem::take(&mut *buffer),
        }))
    }

    /// The type of each value.
    pub(super) fn each(&self) -> &PgTypeInfo {
        &self.each
    }
}

/// Writes a value with its length in front of it, as arrays and COPY have it. Says whether it is one: null is not.
pub(super) fn push(value: &dyn Value, buffer: &mut PgArgumentBuffer) -> Result<bool, BoxDynError> {
    let at = buffer.len();
    buffer.extend([0; 4]);
    let (length, is_value) = match value.encode_to(buffer)? {
        IsNull::Yes => (-1, false),
        IsNull::No => (i32::try_from(buffer.len() - at - 4)?, true),
    };
    buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(is_value)
}

/// The type that a value for a column is encoded as, where that is known before the database is asked.
pub(super) fn element_of(info: &PgTypeInfo, column: &Column) -> Option<u32> {
    if let Some(oid) = info.oid() {
        return Some(oid.0);
    }
    // Elements whose type is not known yet would have a hole in place of it.
    if column.type_sql.ends_with("[]") {
        return None;
    }
    let name = column.type_sql.split('(').next().unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default().trim_matches('"');
    (info.name() == name).then_some(column.type_oid)
}

impl Type<Postgres> for ArrayOf {
    /// Each has its own; see `produces`.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for ArrayOf {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }

    fn size_hint(&self) -> usize {
        self.bytes.len()
    }
}
