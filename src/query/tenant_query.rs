use std::borrow::Cow;
use std::fmt;

use super::delete::Delete;
use super::insert::Insert;
use super::run::On;
use super::select::Select;
use super::source::Source;
use super::update::Update;
use crate::tenant::{TenantDb, TenantTx};

/// A statement on one table of one client.
///
/// On a pool database it carries the explicit `client_id` *and* runs under forced row-level security; on a
/// dedicated database neither is needed nor sent. Names of tables and columns are checked against the
/// catalogue of the database before anything is sent; values are bound. `client_id` is hidden in both
/// places: it is not among the columns of a row, and a caller who gives one gives the client's own or gets
/// [`Error::ForeignClient`](crate::Error::ForeignClient).
///
/// Conditions are joined by AND; [`any_of`](TenantQuery::any_of) and its kin group them otherwise. A
/// comparison with a null value holds for no row; ask [`is_null`](TenantQuery::is_null).
///
/// ```no_run
/// # use tenantry::{Order, Result, TenantDb};
/// # async fn example(acme: TenantDb) -> Result<()> {
/// let names: Vec<String> =
///     acme.query("agents").columns(["name"]).eq("slug", "guide").order_by("name", Order::Asc).fetch_scalars().await?;
///
/// let (id,): (uuid::Uuid,) =
///     acme.insert("agents").set("slug", "scout").set("name", "Scout").returning(["id"]).fetch_one().await?;
///
/// acme.update("agents").set("name", "Scout II").eq("id", id).execute().await?;
/// acme.delete("agents").eq("id", id).execute().await?;
/// # Ok(()) }
/// ```
#[must_use = "a query does nothing until it is fetched or executed"]
pub struct TenantQuery<'t, V> {
    pub(super) on: On<'t>,
    pub(super) source: Source<'t>,
    pub(super) verb: V,
}

impl TenantDb {
    /// Reads rows of a table.
    pub fn query<'t>(&self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Select<'t>> {
        TenantQuery::new(On::Db(self.clone()), table.into())
    }

    /// Adds rows to a table.
    pub fn insert<'t>(&self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Insert<'t>> {
        TenantQuery::new(On::Db(self.clone()), table.into())
    }

    /// Changes rows of a table.
    pub fn update<'t>(&self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Update<'t>> {
        TenantQuery::new(On::Db(self.clone()), table.into())
    }

    /// Removes rows of a table.
    pub fn delete<'t>(&self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Delete<'t>> {
        TenantQuery::new(On::Db(self.clone()), table.into())
    }
}

impl TenantTx {
    /// Reads rows of a table, inside the transaction.
    pub fn query<'t>(&'t mut self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Select<'t>> {
        TenantQuery::new(On::Tx(self), table.into())
    }

    /// Adds rows to a table, inside the transaction.
    pub fn insert<'t>(&'t mut self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Insert<'t>> {
        TenantQuery::new(On::Tx(self), table.into())
    }

    /// Changes rows of a table, inside the transaction.
    pub fn update<'t>(&'t mut self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Update<'t>> {
        TenantQuery::new(On::Tx(self), table.into())
    }

    /// Removes rows of a table, inside the transaction.
    pub fn delete<'t>(&'t mut self, table: impl Into<Cow<'t, str>>) -> TenantQuery<'t, Delete<'t>> {
        TenantQuery::new(On::Tx(self), table.into())
    }
}

impl<'t, V: Default> TenantQuery<'t, V> {
    pub(super) fn new(on: On<'t>, table: Cow<'t, str>) -> Self {
        let source = Source::new(on.db().id(), table);
        Self {
            on,
            source,
            verb: V::default(),
        }
    }
}

impl<V> fmt::Debug for TenantQuery<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantQuery")
            .field("client", &self.source.client)
            .field("table", &self.source.table)
            .finish_non_exhaustive()
    }
}
