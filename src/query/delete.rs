use std::borrow::Cow;

use super::bind::{Bind, BoxedValue, boxed};
use super::relations::Relations;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::update::{UNFILTERED, returning, write_version};
use super::verb::{Filtered, Shape, Writes, sealed};
use super::writer::Writer;
use crate::error::Result;

/// A [`TenantQuery`] that removes rows.
#[derive(Default)]
pub struct Delete<'t> {
    version: Option<(Cow<'t, str>, BoxedValue<'t>)>,
    all: bool,
    returning: Vec<Cow<'t, str>>,
}

impl<'t> TenantQuery<'t, Delete<'t>> {
    /// Only where the row still has this version. Where no row is met, it is
    /// [`Error::Stale`](crate::Error::Stale).
    pub fn expect_version(mut self, column: impl Into<Cow<'t, str>>, version: impl Bind<'t>) -> Self {
        self.verb.version = Some((column.into(), boxed(version)));
        self
    }

    /// Says that every row of the client is meant. Without it, a delete without a condition is refused.
    pub fn all(mut self) -> Self {
        self.verb.all = true;
        self
    }
}

impl Filtered for Delete<'_> {}

impl<'t> Writes<'t> for Delete<'t> {
    fn returning_mut(&mut self) -> &mut Vec<Cow<'t, str>> {
        &mut self.returning
    }
}

impl sealed::Verb for Delete<'_> {
    const NAME: &'static str = "delete from";
    const WRITES: bool = true;

    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, shape: Shape) -> Result<()> {
        let table = writer.table(&source.table, Self::NAME, true)?;
        let relations = Relations::of(writer.client(), table, &source.table);
        if source.conditions.is_empty() && !self.all {
            return writer.refuse(format!("delete from {}", source.table), UNFILTERED);
        }
        writer.push("delete from ");
        writer.push(&table.sql);
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

impl std::fmt::Debug for Delete<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delete")
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}
