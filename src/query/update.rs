use std::borrow::Cow;

use serde::Serialize;

use super::bind::{Bind, BoxedValue, boxed, held};
use super::expr::{Expr, Node};
use super::record::Record;
use super::relations::Relations;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::{Filtered, Shape, Writes, sealed};
use super::writer::Writer;
use crate::error::Result;
use crate::schema::CLIENT_COLUMN;

/// A [`TenantQuery`] that changes rows.
#[derive(Default)]
pub struct Update<'t> {
    assignments: Vec<(Cow<'t, str>, Node<'t>)>,
    record: Option<Record>,
    version: Option<(Cow<'t, str>, BoxedValue<'t>)>,
    all: bool,
    returning: Vec<Cow<'t, str>>,
}

impl<'t> TenantQuery<'t, Update<'t>> {
    /// Gives a column its new value.
    pub fn set(mut self, column: impl Into<Cow<'t, str>>, value: impl Bind<'t>) -> Self {
        let column = column.into();
        if column == CLIENT_COLUMN {
            self.source.expect_own_client(&held(value));
        } else {
            self.verb.assignments.push((column, Node::Value(boxed(value))));
        }
        self
    }

    /// Gives a column a value that the database works out of the row as it was.
    ///
    /// ```no_run
    /// # use tenantry::Expr;
    /// # async fn example(acme: tenantry::TenantDb, id: uuid::Uuid) -> tenantry::Result<()> {
    /// acme.update("document_chunks").set_expr("chunk_index", Expr::column("chunk_index").plus(1)).eq("id", id).execute().await?;
    /// # Ok(()) }
    /// ```
    pub fn set_expr(mut self, column: impl Into<Cow<'t, str>>, value: impl Into<Expr<'t>>) -> Self {
        self.verb.assignments.push((column.into(), value.into().0));
        self
    }

    /// Gives each column that the struct has its new value. What serde leaves out is left as it is, and what it
    /// has as null becomes null.
    pub fn record(mut self, record: &impl Serialize) -> Self {
        match Record::of(record, &self.source) {
            Ok(record) => self.verb.record = Some(record),
            Err(error) => self.source.fail(error),
        }
        self
    }

    /// Only where the row still has this version, which the update raises by one: what another wrote since it
    /// was read is not overwritten. Where no row is met, it is [`Error::Stale`](crate::Error::Stale).
    pub fn expect_version(mut self, column: impl Into<Cow<'t, str>>, version: impl Bind<'t>) -> Self {
        self.verb.version = Some((column.into(), boxed(version)));
        self
    }

    /// Says that every row of the client is meant. Without it, an update without a condition is refused.
    pub fn all(mut self) -> Self {
        self.verb.all = true;
        self
    }
}

impl Filtered for Update<'_> {}

impl<'t> Writes<'t> for Update<'t> {
    fn returning_mut(&mut self) -> &mut Vec<Cow<'t, str>> {
        &mut self.returning
    }
}

impl sealed::Verb for Update<'_> {
    const NAME: &'static str = "update";
    const WRITES: bool = true;

    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, shape: Shape) -> Result<()> {
        let table = writer.table(&source.table, Self::NAME, true)?;
        let relations = Relations::of(writer.client(), table, &source.table);
        let what = || format!("update {}", source.table);
        if self.assignments.is_empty() && self.record.as_ref().is_none_or(Record::is_empty) {
            return writer.refuse(what(), "it sets nothing");
        }
        if source.conditions.is_empty() && !self.all {
            return writer.refuse(what(), UNFILTERED);
        }
        writer.push("update ");
        writer.push(&table.sql);
        let mut joint = " set ";
        for (name, node) in &self.assignments {
            writer.push(joint);
            let column = writer.column(&relations, name)?;
            writer.push(" = ");
            match node {
                Node::Value(value) => writer.value_of(column, &**value)?,
                node => writer.node(node, &relations)?,
            }
            joint = ", ";
        }
        if let Some(record) = self.record.as_ref().filter(|record| !record.is_empty()) {
            writer.push(joint);
            record.write_assignment(writer, &relations)?;
            joint = ", ";
        }
        if let Some((name, _)) = &self.version {
            writer.push(joint);
            let column = writer.column(&relations, name)?;
            writer.push(" = ");
            writer.push(&column.sql);
            writer.push(" + 1");
        }
        writer.conditions(&source.conditions, &relations)?;
        if let Some(version) = &self.version {
            write_version(version, source, writer, &relations)?;
        }
        returning(&self.returning, writer, &relations, shape)
    }

    fn expects_version(&self) -> bool {
        self.version.is_some()
    }
}

/// The condition that a row still has its version.
pub(super) fn write_version<'c>(
    (name, version): &(Cow<'_, str>, BoxedValue<'_>),
    source: &Source<'_>,
    writer: &mut Writer<'c>,
    relations: &Relations<'c>,
) -> Result<()> {
    let scoped = writer.is_scoped() && relations.base().is_tenant();
    let first = source.conditions.is_empty() && !scoped;
    writer.push(if first { " where " } else { " and " });
    let column = writer.column(relations, name)?;
    writer.push(" = ");
    writer.value_of(column, &**version)
}

/// ` returning …`, where rows are wanted.
pub(super) fn returning<'c>(
    columns: &[Cow<'_, str>],
    writer: &mut Writer<'c>,
    relations: &Relations<'c>,
    shape: Shape,
) -> Result<()> {
    if shape != Shape::Rows {
        return Ok(());
    }
    writer.push(" returning ");
    let table = relations.base().table;
    if columns.is_empty() && table.visible_columns.is_empty() {
        return writer.refuse(&*relations.base().name, "the table has no column to return");
    }
    if columns.is_empty() {
        writer.push(&table.visible_columns);
    }
    for (at, name) in columns.iter().enumerate() {
        writer.push(if at == 0 { "" } else { ", " });
        writer.column(relations, name)?;
    }
    Ok(())
}

pub(super) const UNFILTERED: &str = "it has no condition; say .all() where every row of the client is meant";

impl std::fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Update")
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}
