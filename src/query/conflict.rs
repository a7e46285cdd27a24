use std::borrow::Cow;

use super::insert::Insert;
use super::relations::Relations;
use super::tenant_query::TenantQuery;
use super::writer::Writer;
use crate::error::Result;

/// What becomes of a row that is there already.
#[derive(Clone)]
pub(super) struct Conflict<'t> {
    key: Vec<Cow<'t, str>>,
    /// The columns that are updated; `None` where the row is left out.
    update: Option<Vec<Cow<'t, str>>>,
}

impl<'t> TenantQuery<'t, Insert<'t>> {
    /// Leaves out rows whose key is there already. The columns are those of a unique key but `client_id`, which
    /// is added where the key has it.
    pub fn on_conflict_do_nothing<C: Into<Cow<'t, str>>>(mut self, key: impl IntoIterator<Item = C>) -> Self {
        self.verb.conflict = Some(Conflict {
            key: key.into_iter().map(Into::into).collect(),
            update: None,
        });
        self
    }

    /// Updates these columns of the rows whose key is there already, to the values that were to be inserted: an
    /// upsert. The key is as in [`on_conflict_do_nothing`](Self::on_conflict_do_nothing).
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// acme.insert("agents")
    ///     .set("slug", "guide")
    ///     .set("name", "Guide")
    ///     .on_conflict_update(["slug"], ["name"])
    ///     .execute()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn on_conflict_update<K: Into<Cow<'t, str>>, C: Into<Cow<'t, str>>>(
        mut self,
        key: impl IntoIterator<Item = K>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.verb.conflict = Some(Conflict {
            key: key.into_iter().map(Into::into).collect(),
            update: Some(columns.into_iter().map(Into::into).collect()),
        });
        self
    }
}

impl Conflict<'_> {
    pub(super) fn write<'c>(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        let table = relations.base().table;
        let names: Vec<&str> = self.key.iter().map(AsRef::as_ref).collect();
        for name in &names {
            relations.column(name)?;
        }
        let Some(key) = table.key_over(&names) else {
            let what = format!("on conflict ({}) of {}", names.join(", "), relations.base().name);
            return writer.refuse(what, "no unique key is over these columns");
        };
        writer.push(" on conflict (");
        let mut joint = "";
        if key.has_client {
            writer.push("client_id");
            joint = ", ";
        }
        for name in &names {
            writer.push(joint);
            writer.column(relations, name)?;
            joint = ", ";
        }
        let Some(update) = &self.update else {
            writer.push(") do nothing");
            return Ok(());
        };
        if update.is_empty() {
            return writer.refuse(
                &*relations.base().name,
                "an upsert that updates nothing; leave rows out instead",
            );
        }
        writer.push(") do update set ");
        for (at, name) in update.iter().enumerate() {
            writer.push(if at == 0 { "" } else { ", " });
            let column = writer.column(relations, name)?;
            writer.push(" = excluded.");
            writer.push(&column.sql);
        }
        Ok(())
    }
}
