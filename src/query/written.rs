use std::borrow::Cow;

use super::bind::{Bind, BoxedValue, boxed};
use super::relations::Relations;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::{Filtered, Shape, Writes};
use super::writer::Writer;
use crate::error::Result;

/// What is said of the rows that a verb writes.
#[derive(Default)]
#[expect(unnameable_types, reason = "a result of the sealed trait")]
pub struct Written<'t> {
    version: Option<(Cow<'t, str>, BoxedValue<'t>)>,
    all: bool,
    returning: Vec<Cow<'t, str>>,
}

impl<'t, V: Writes<'t>> TenantQuery<'t, V> {
    /// The columns that fetching returns of each written row. Defaults to all but `client_id`.
    pub fn returning<C: Into<Cow<'t, str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.verb.written_mut().returning = columns.into_iter().map(Into::into).collect();
        self
    }
}

impl<'t, V: Writes<'t> + Filtered> TenantQuery<'t, V> {
    /// Only where the row still has this version, which an update raises by one: what another wrote since it was
    /// read is not overwritten. Where no row is met, it is [`Error::Stale`](crate::Error::Stale).
    pub fn expect_version(mut self, column: impl Into<Cow<'t, str>>, version: impl Bind<'t>) -> Self {
        self.verb.written_mut().version = Some((column.into(), boxed(version)));
        self
    }

    /// Says that every row of the client is meant. Without it, a write without a condition is refused.
    pub fn all(mut self) -> Self {
        self.verb.written_mut().all = true;
        self
    }
}

impl Written<'_> {
    pub(super) fn expects_version(&self) -> bool {
        self.version.is_some()
    }

    /// The same of further rows to insert, which have neither conditions nor versions.
    pub(super) fn again(&self) -> Self {
        Self {
            returning: self.returning.clone(),
            ..Self::default()
        }
    }

    /// Refuses to meet every row unless that was said.
    pub(super) fn expect_condition(
        &self,
        what: String,
        source: &Source<'_>,
        writer: &Writer<'_>,
    ) -> Result<()> {
        if source.conditions.is_empty() && !self.all {
            return writer.refuse(what, UNFILTERED);
        }
        Ok(())
    }

    /// `, version = version + 1`
    pub(super) fn write_next_version<'c>(
        &self,
        joint: &str,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        let Some((name, _)) = &self.version else {
            return Ok(());
        };
        writer.push(joint);
        let column = writer.column(relations, name)?;
        writer.push(" = ");
        writer.push(&column.sql);
        writer.push(" + 1");
        Ok(())
    }

    /// ` where …`, the version last.
    pub(super) fn write_conditions<'c>(
        &self,
        source: &Source<'_>,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        let joint = writer.conditions(&source.conditions, relations)?;
        let Some((name, version)) = &self.version else {
            return Ok(());
        };
        writer.push(joint);
        let column = writer.column(relations, name)?;
        writer.push(" = ");
        writer.value_of(column, &**version)
    }

    /// ` returning …`, where rows are wanted.
    pub(super) fn write_returning<'c>(
        &self,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
        shape: Shape,
    ) -> Result<()> {
        if shape != Shape::Rows {
            return Ok(());
        }
        writer.push(" returning ");
        let table = relations.base().table;
        if self.returning.is_empty() && table.visible_columns.is_empty() {
            return writer.refuse(&*relations.base().name, "the table has no column to return");
        }
        if self.returning.is_empty() {
            writer.push(&table.visible_columns);
        }
        for (at, name) in self.returning.iter().enumerate() {
            writer.push(if at == 0 { "" } else { ", " });
            writer.column(relations, name)?;
        }
        Ok(())
    }
}

const UNFILTERED: &str = "it has no condition; say .all() where every row of the client is meant";

impl std::fmt::Debug for Written<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written")
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}
