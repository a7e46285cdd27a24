use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value as Json;

use super::array::ArrayOf;
use super::bind::{Bind, BoxedValue, boxed, held};
use super::conflict::Conflict;
use super::copy::Copy;
use super::record::Record;
use super::relations::Relations;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::{Adds, Shape, Writes, sealed};
use super::writer::Writer;
use super::written::Written;
use crate::error::{Error, Result};
use crate::schema::{CLIENT_COLUMN, Column, TableKind};

/// A [`TenantQuery`] that adds rows.
#[derive(Default)]
pub struct Insert<'t> {
    /// The columns of every row.
    pub(super) columns: Vec<Cow<'t, str>>,
    /// A row's values, in the order of the columns.
    pub(super) rows: Vec<Vec<BoxedValue<'t>>>,
    records: Vec<Record>,
    pub(super) conflict: Option<Conflict<'t>>,
    written: Written<'t>,
}

/// The values of one row to insert.
pub struct RowValues<'a, 't> {
    source: &'a mut Source<'t>,
    values: Vec<(Cow<'t, str>, BoxedValue<'t>)>,
}

impl<'t> RowValues<'_, 't> {
    /// Gives a column its value. Columns left out take their defaults; `client_id` is the client's own and
    /// need not be given.
    pub fn set(&mut self, column: impl Into<Cow<'t, str>>, value: impl Bind<'t>) -> &mut Self {
        let column = column.into();
        if column == CLIENT_COLUMN {
            self.source.expect_own_client(&held(value));
        } else {
            self.values.push((column, boxed(value)));
        }
        self
    }
}

/// So many rows, at least, are loaded by COPY where that is possible.
const COPIED: usize = 1_000;

/// So many rows are inserted by one statement.
const ROWS_AT_ONCE: usize = 10_000;

/// So many values are bound by one statement.
const VALUES_AT_ONCE: usize = 65_000;

impl<'t> TenantQuery<'t, Insert<'t>> {
    /// Gives a column of the first row its value; see [`RowValues::set`].
    pub fn set(mut self, column: impl Into<Cow<'t, str>>, value: impl Bind<'t>) -> Self {
        let column = column.into();
        if self.verb.rows.is_empty() {
            self.verb.rows.push(Vec::new());
        }
        if column == CLIENT_COLUMN {
            self.source.expect_own_client(&held(value));
        } else if self.verb.rows.len() > 1 {
            self.uneven();
        } else {
            self.verb.columns.push(column);
            self.verb.rows[0].push(boxed(value));
        }
        self
    }

    /// Adds a row an item: either all rows are added or none. Every row sets the same columns, in any order.
    ///
    /// Any number of rows is one statement of the same text, by `unnest`; more than 10,000 are several, in one
    /// transaction. On a dedicated database more than 1,000 rows of values of their columns' own types are loaded
    /// by COPY, unless rows are returned or may be there already.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let agents = [("guide", "Guide"), ("scout", "Scout")];
    /// acme.insert("agents")
    ///     .rows(agents, |row, (slug, name)| {
    ///         row.set("slug", slug).set("name", name);
    ///     })
    ///     .execute()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn rows<I>(
        mut self,
        items: impl IntoIterator<Item = I>,
        row: impl Fn(&mut RowValues<'_, 't>, I),
    ) -> Self {
        for item in items {
            let mut values = RowValues {
                source: &mut self.source,
                values: Vec::with_capacity(self.verb.columns.len()),
            };
            row(&mut values, item);
            let mut values = values.values;
            if self.verb.rows.is_empty() {
                self.verb.columns = values.iter().map(|(column, _)| column.clone()).collect();
            }
            let in_order = values.len() == self.verb.columns.len()
                && values
                    .iter()
                    .zip(&self.verb.columns)
                    .all(|((name, _), column)| name == column);
            if in_order {
                self.verb
                    .rows
                    .push(values.into_iter().map(|(_, value)| value).collect());
                continue;
            }
            let mut places = Vec::with_capacity(values.len());
            for column in &self.verb.columns {
                if let Some(at) = values.iter().position(|(name, _)| name == column) {
                    places.push(values.swap_remove(at).1);
                }
            }
            if places.len() != self.verb.columns.len() || !values.is_empty() {
                self.uneven();
            }
            self.verb.rows.push(places);
        }
        self
    }

    /// Adds a row of what serde makes of the struct: a value for each column of that name, which the database
    /// reads as the type of the column. Those it leaves out take their defaults.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// #[derive(serde::Serialize)]
    /// struct NewAgent<'a> {
    ///     slug: &'a str,
    ///     name: &'a str,
    ///     settings: serde_json::Value,
    /// }
    ///
    /// let guide = NewAgent { slug: "guide", name: "Guide", settings: serde_json::json!({ "tone": "calm" }) };
    /// acme.insert("agents").record(&guide).execute().await?;
    /// # Ok(()) }
    /// ```
    pub fn record(self, record: &impl Serialize) -> Self {
        self.records([record])
    }

    /// Adds a row an item, as [`record`](Self::record) does: either all or none. Every item has the same fields.
    pub fn records<R: Serialize>(mut self, records: impl IntoIterator<Item = R>) -> Self {
        for record in records {
            match Record::of(&record, &self.source) {
                Ok(record) => {
                    if self
                        .verb
                        .records
                        .first()
                        .is_some_and(|first| !first.has_columns_of(&record))
                    {
                        self.uneven();
                    }
                    self.verb.records.push(record);
                }
                Err(error) => self.source.fail(error),
            }
        }
        self
    }

    fn uneven(&mut self) {
        let what = format!("insert into {}", self.source.table);
        self.source.refuse(what, "its rows set different columns");
    }
}

impl<'t> Writes<'t> for Insert<'t> {
    fn written_mut(&mut self) -> &mut Written<'t> {
        &mut self.written
    }
}

impl Insert<'_> {
    fn write_rows<'c>(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        let scoped = writer.is_scoped() && relations.base().is_tenant();
        if self.columns.is_empty() && !scoped {
            if self.rows.len() > 1 {
                return writer.refuse(&*relations.base().name, "several rows of nothing but defaults");
            }
            writer.push(" default values");
            return Ok(());
        }
        let columns = Self::write_columns(self.columns.iter().map(Cow::as_ref), writer, relations)?;
        if self.rows.len() > 1
            && let Some(arrays) = self.arrays(&columns, writer)?
        {
            writer.push(" select ");
            if scoped {
                writer.own_client()?;
                writer.push(", ");
            }
            writer.push("r.* from unnest(");
            for (at, (array, column)) in arrays.into_iter().zip(&columns).enumerate() {
                writer.push(if at == 0 { "" } else { ", " });
                let each = array.each().clone();
                writer.values_of(column, &held(array), &each)?;
            }
            writer.push(") as r");
            return Ok(());
        }
        writer.push(" values ");
        for (number, row) in self.rows.iter().enumerate() {
            writer.push(if number == 0 { "(" } else { ", (" });
            let mut joint = "";
            if scoped {
                writer.own_client()?;
                joint = ", ";
            }
            for (value, column) in row.iter().zip(&columns) {
                writer.push(joint);
                writer.value_of(column, &**value)?;
                joint = ", ";
            }
            writer.push(")");
        }
        Ok(())
    }

    /// ` (client_id, a, b)`
    fn write_columns<'c, 'n>(
        names: impl Iterator<Item = &'n str>,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<Vec<&'c Column>> {
        writer.push(" (");
        let mut joint = "";
        if writer.is_scoped() && relations.base().is_tenant() {
            writer.push("client_id");
            joint = ", ";
        }
        let mut columns = Vec::new();
        for name in names {
            writer.push(joint);
            columns.push(writer.column(relations, name)?);
            joint = ", ";
        }
        writer.push(")");
        Ok(columns)
    }

    /// Each column's values as one, where arrays can have them all.
    fn arrays(&self, columns: &[&Column], writer: &Writer<'_>) -> Result<Option<Vec<ArrayOf>>> {
        if columns.is_empty() {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let values = self
                .rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|value| &**value);
            let array =
                ArrayOf::values(values, column, writer.catalogue()).map_err(|source| Error::Encode {
                    client: writer.client(),
                    column: column.name.clone(),
                    source: source.into(),
                })?;
            match array {
                Some(array) => arrays.push(array),
                None => return Ok(None),
            }
        }
        Ok(Some(arrays))
    }

    fn write_records<'c>(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        let Some(first) = self.records.first() else {
            return Ok(());
        };
        if first.is_empty() {
            return writer.refuse(&*relations.base().name, "its records have no fields");
        }
        Self::write_columns(first.columns().map(String::as_str), writer, relations)?;
        writer.push(" select ");
        if writer.is_scoped() && relations.base().is_tenant() {
            writer.own_client()?;
            writer.push(", ");
        }
        let json = |record: &Record| record.to_json(writer, relations);
        let all = self.records.iter().map(json).collect::<Result<_>>()?;
        first.write_rows("jsonb_to_recordset", &Json::Array(all), writer, relations)
    }
}

impl sealed::Verb for Insert<'_> {
    const NAME: &'static str = "insert into";
    const WRITES: bool = true;

    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, shape: Shape) -> Result<()> {
        let table = writer.table(&source.table, Self::NAME, true)?;
        let relations = Relations::of(writer.client(), table, &source.table);
        let what = || format!("insert into {}", source.table);
        writer.push("insert into ");
        writer.push(&table.sql);
        match (self.rows.is_empty(), self.records.is_empty()) {
            (true, true) => return writer.refuse(what(), "it has no rows"),
            (false, false) => return writer.refuse(what(), "it has both rows and records"),
            (false, true) => self.write_rows(writer, &relations)?,
            (true, false) => self.write_records(writer, &relations)?,
        }
        if let Some(conflict) = &self.conflict {
            conflict.write(writer, &relations)?;
        }
        self.written.write_returning(writer, &relations, shape)
    }

    fn adds(&self) -> Option<Adds> {
        Some(Adds {
            rows: self.rows.len() + self.records.len(),
            may_be_there: self.conflict.is_some(),
        })
    }

    fn copy(&self, source: &Source<'_>, writer: &Writer<'_>) -> Result<Option<Copy>> {
        let plain = self.records.is_empty() && self.conflict.is_none();
        let catalogue = writer.catalogue();
        let Some(table) = catalogue.table(&source.table) else {
            return Ok(None);
        };
        // The statement itself says what is wrong with it.
        if !plain || self.rows.len() < COPIED || !table.takes_copies || table.kind == TableKind::Shared {
            return Ok(None);
        }
        let columns = self
            .columns
            .iter()
            .map(|name| table.column(name))
            .collect::<Option<Vec<_>>>();
        match columns {
            Some(columns) if !columns.is_empty() => Copy::of(source, table, &columns, &self.rows, catalogue),
            _ => Ok(None),
        }
    }

    fn split(&mut self) -> Option<Self> {
        let columns = self.columns.len().max(1);
        let most = ROWS_AT_ONCE.min(VALUES_AT_ONCE / columns);
        let rows = match self.rows.len() {
            more if more > most => self.rows.split_off(most),
            _ => Vec::new(),
        };
        let records = match self.records.len() {
            more if more > ROWS_AT_ONCE => self.records.split_off(ROWS_AT_ONCE),
            _ => Vec::new(),
        };
        if rows.is_empty() && records.is_empty() {
            return None;
        }
        Some(Self {
            columns: self.columns.clone(),
            rows,
            records,
            conflict: self.conflict.clone(),
            written: self.written.again(),
        })
    }
}

impl std::fmt::Debug for Insert<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Insert")
            .field("columns", &self.columns)
            .field("rows", &(self.rows.len() + self.records.len()))
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RowValues<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.values.iter().map(|(column, _)| column))
            .finish()
    }
}
