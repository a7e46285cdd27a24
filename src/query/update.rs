use std::borrow::Cow;

use serde::Serialize;

use super::bind::{Bind, boxed, held};
use super::expr::{Expr, Node};
use super::record::Record;
use super::relations::Relations;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::{Filtered, Shape, Writes, sealed};
use super::writer::Writer;
use super::written::Written;
use crate::error::Result;
use crate::schema::CLIENT_COLUMN;

/// A [`TenantQuery`] that changes rows.
#[derive(Default)]
pub struct Update<'t> {
    assignments: Vec<(Cow<'t, str>, Node<'t>)>,
    record: Option<Record>,
    written: Written<'t>,
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
}

impl Filtered for Update<'_> {}

impl<'t> Writes<'t> for Update<'t> {
    fn written_mut(&mut self) -> &mut Written<'t> {
        &mut self.written
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
        self.written.expect_condition(what(), source, writer)?;
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
        self.written.write_next_version(joint, writer, &relations)?;
        self.written.write_conditions(source, writer, &relations)?;
        self.written.write_returning(writer, &relations, shape)
    }

    fn expects_version(&self) -> bool {
        self.written.expects_version()
    }
}

impl std::fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Update").finish_non_exhaustive()
    }
}
