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

    pub(super) fn to_json(&self) -> Json {
        Json::Object(self.0.clone())
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
        self.write_rows("jsonb_to_record", &self.to_json(), writer, relations)?;
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
        writer.value(&held(Bound(records)), "records")?;
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
