use super::relations::Relations;
use super::source::Source;
use super::verb::{Filtered, Shape, Writes, sealed};
use super::writer::Writer;
use super::written::Written;
use crate::error::Result;

/// A [`TenantQuery`](super::TenantQuery) that removes rows.
#[derive(Default)]
pub struct Delete<'t> {
    written: Written<'t>,
}

impl Filtered for Delete<'_> {}

impl<'t> Writes<'t> for Delete<'t> {
    fn written_mut(&mut self) -> &mut Written<'t> {
        &mut self.written
    }
}

impl sealed::Verb for Delete<'_> {
    const NAME: &'static str = "delete from";
    const WRITES: bool = true;

    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, shape: Shape) -> Result<()> {
        let table = writer.table(&source.table, Self::NAME, true)?;
        let relations = Relations::of(writer.client(), table, &source.table);
        let what = format!("delete from {}", source.table);
        self.written.expect_condition(what, source, writer)?;
        writer.push("delete from ");
        writer.push(&table.sql);
        self.written.write_conditions(source, writer, &relations)?;
        self.written.write_returning(writer, &relations, shape)
    }

    fn expects_version(&self) -> bool {
        self.written.expects_version()
    }
}

impl std::fmt::Debug for Delete<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delete").finish_non_exhaustive()
    }
}
