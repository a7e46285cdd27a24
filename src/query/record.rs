use serde::Serialize;
use serde_json::{Map, Value as Json};
use sqlx::types::Json as Bound;

use super::bind::held;
use super::relations::Relations;
use super::source::{Source, own_client};
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::schema::CLIENT_COLUMN;

/// What serde makes of a struct: a value for each column. The database reads it as the types of the columns.
pub(super) struct Record(Map<String, Json>);

impl Record {
    /// Without `client_id`, which may be the client's own and nothing else.
    pub(super) fn of(record: &impl Serialize, source: &Source<'_>) -> Result<Self> {
        let failed = |source_: serde_json::Error| Error::Encode {
            client: source.client,
            column: "a record".to_owned(),
            source: std::sync::Arc::new(source_),
        };
        let Json::Object(mut fields) = serde_json::to_value(record).map_err(failed)? else {
            return Err(Error::StatementRefused {
                client: source.client,
                what: format!("a record of {}", source.table),
                reason: "serde makes no map of it",
            });
        };
        match fields.remove(CLIENT_COLUMN) {
            None => {}
            Some(Json::String(given)) => own_client(source.client, &source.table, &held(given))?,
            Some(_) => own_client(source.client, &source.table, &held(None::<uuid::Uuid>))?,
        }
        Ok(Self(fields))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.keys().all(|name| other.0.contains_key(name))
    }

    /// As the database reads it. What serde makes of bytes is an array of numbers, whose text the database would
    /// take for the bytes.
    pub(super) fn to_json(&self, writer: &Writer<'_>, relations: &Relations<'_>) -> Result<Json> {
        let mut fields = self.0.clone();
        for (name, value) in &mut fields {
            let (_, column) = relations.column(name)?;
            let values = match (&*column.type_sql, &mut *value) {
                ("bytea", value) => std::slice::from_mut(value),
                ("bytea[]", Json::Array(values)) => values,
                _ => continue,
            };
            for value in values {
                match value {
                    Json::Null | Json::String(_) => {}
                    Json::Array(bytes) => *value = hex_of(bytes).ok_or_else(|| no_bytes(writer, name))?,
                    _ => return Err(no_bytes(writer, name)),
                }
            }
        }
        Ok(Json::Object(fields))
    }

    /// `(a, b) = (select r.a, r.b from jsonb_to_record($1) as r(a text, b integer))`
    pub(super) fn write_assignment<'c>(
        &self,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        writer.push("(");
        for (at, name) in self.columns().enumerate() {
            writer.push(if at == 0 { "" } else { ", " });
            writer.column(relations, name)?;
        }
        writer.push(") = (select ");
        let record = self.to_json(writer, relations)?;
        self.write_rows("jsonb_to_record", &record, writer, relations)?;
        writer.push(")");
        Ok(())
    }

    /// `r.a, r.b from jsonb_to_recordset($1) as r(a text, b integer)`, for records of these columns.
    pub(super) fn write_rows<'c>(
        &self,
        reader: &str,
        records: &Json,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        for (at, name) in self.columns().enumerate() {
            let (_, column) = relations.column(name)?;
            writer.push(if at == 0 { "r." } else { ", r." });
            writer.push(&column.sql);
        }
        writer.push(" from ");
        writer.push(reader);
        writer.push("(");
        writer.value_of_one_type(&held(Bound(records)), "records")?;
        writer.push(") as r(");
        for (at, name) in self.columns().enumerate() {
            let (_, column) = relations.column(name)?;
            writer.push(if at == 0 { "" } else { ", " });
            writer.push(&column.sql);
            writer.push(" ");
            writer.push(&column.type_sql);
        }
        writer.push(")");
        Ok(())
    }
}

/// Bytes as the database reads them from a text.
fn hex_of(bytes: &[Json]) -> Option<Json> {
    let byte = |byte: &Json| u8::try_from(byte.as_u64()?).ok();
    let bytes: Vec<u8> = bytes.iter().map(byte).collect::<Option<_>>()?;
    Some(Json::String(format!("\\x{}", hex::encode(bytes))))
}

fn no_bytes(writer: &Writer<'_>, column: &str) -> Error {
    Error::StatementRefused {
        client: writer.client(),
        what: format!("a record's {column}"),
        reason: "bytes are an array of numbers from 0 to 255, or text as the database reads it",
    }
}
