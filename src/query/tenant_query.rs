use std::borrow::Cow;
use std::fmt;

use sqlx::postgres::PgHasArrayType;

use super::arguments::Arguments;
use super::bind::Bind;
use super::filter::{Comparison, Filter, Test};
use super::order::Order;
use super::run::On;
use super::verb::{Delete, Filtered, Insert, RowValues, Select, Update, Writes};
use crate::error::Error;
use crate::schema::CLIENT_COLUMN;
use crate::tenant::{TenantDb, TenantTx};

/// A statement on one table of one client.
///
/// On a pool database it carries the explicit `client_id` *and* runs under forced row-level security; on a
/// dedicated database neither is needed nor sent. Names of tables and columns are checked against the
/// catalogue of the database before anything is sent; values are bound. `client_id` is hidden in both
/// places: it is not among the columns of a row, and a caller who gives one gives the client's own or gets
/// [`Error::ForeignClient`].
///
/// Conditions are joined by AND. A comparison with a null value holds for no row; ask
/// [`is_null`](TenantQuery::is_null).
///
/// ```no_run
/// # use tenantry::{Order, Result, TenantDb};
/// # async fn example(acme: TenantDb) -> Result<()> {
/// let names: Vec<(String,)> =
///     acme.query("agents").columns(["name"]).eq("slug", "guide").order_by("name", Order::Asc).fetch_all().await?;
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
    pub(super) table: Cow<'t, str>,
    pub(super) verb: V,
    pub(super) filters: Vec<Filter<'t>>,
    pub(super) arguments: Arguments,
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
    fn new(on: On<'t>, table: Cow<'t, str>) -> Self {
        let arguments = Arguments::new(on.db().id());
        Self {
            on,
            table,
            verb: V::default(),
            filters: Vec::new(),
            arguments,
        }
    }
}

impl<'t, V: Filtered> TenantQuery<'t, V> {
    /// Rows whose column equals the value.
    pub fn eq(self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        self.compare(column, Comparison::Eq, value)
    }

    /// Rows whose column differs from the value, and is not null.
    pub fn ne(self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        self.compare(column, Comparison::Ne, value)
    }

    /// Rows whose column is less than the value.
    pub fn lt(self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        self.compare(column, Comparison::Lt, value)
    }

    /// Rows whose column is the value or less.
    pub fn le(self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        self.compare(column, Comparison::Le, value)
    }

    /// Rows whose column is greater than the value.
    pub fn gt(self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        self.compare(column, Comparison::Gt, value)
    }

    /// Rows whose column is the value or greater.
    pub fn ge(self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        self.compare(column, Comparison::Ge, value)
    }

    /// Rows whose column equals one of the values; none, where there are no values.
    pub fn is_in<T>(self, column: impl Into<Cow<'t, str>>, values: Vec<T>) -> Self
    where
        T: PgHasArrayType,
        Vec<T>: Bind,
    {
        self.bound(column.into(), values, Test::AnyOf)
    }

    /// Rows whose column is null.
    pub fn is_null(self, column: impl Into<Cow<'t, str>>) -> Self {
        self.test(column.into(), Test::IsNull)
    }

    /// Rows whose column is not null.
    pub fn is_not_null(self, column: impl Into<Cow<'t, str>>) -> Self {
        self.test(column.into(), Test::IsNotNull)
    }

    fn compare(self, column: impl Into<Cow<'t, str>>, comparison: Comparison, value: impl Bind) -> Self {
        let column = column.into();
        if column == CLIENT_COLUMN && matches!(comparison, Comparison::Eq) {
            // The scope says so already.
            let mut this = self;
            this.arguments.expect_own_client(&this.table, &value);
            return this;
        }
        self.bound(column, value, |at| Test::Compare(comparison, at))
    }

    fn bound(mut self, column: Cow<'t, str>, value: impl Bind, test: impl FnOnce(usize) -> Test) -> Self {
        let at = self.arguments.push(&column, value);
        self.test(column, test(at))
    }

    fn test(mut self, column: Cow<'t, str>, test: Test) -> Self {
        self.filters.push(Filter { column, test });
        self
    }
}

impl<'t> TenantQuery<'t, Select<'t>> {
    /// The columns of a row, in this order. Defaults to all but `client_id`, in the table's order.
    pub fn columns<C: Into<Cow<'t, str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.verb.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Orders rows by a column, after the columns that were given before.
    pub fn order_by(mut self, column: impl Into<Cow<'t, str>>, order: Order) -> Self {
        self.verb.order.push((column.into(), order));
        self
    }

    /// At most so many rows. Defaults to all.
    pub fn limit(mut self, rows: u32) -> Self {
        self.verb.limit = Some(self.arguments.push("limit", i64::from(rows)));
        self
    }

    /// Passes over so many rows first. Defaults to none.
    pub fn offset(mut self, rows: u32) -> Self {
        self.verb.offset = Some(self.arguments.push("offset", i64::from(rows)));
        self
    }
}

impl<'t> TenantQuery<'t, Insert<'t>> {
    /// Gives a column of the first row its value; see [`RowValues::set`].
    pub fn set(mut self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        let mut row = RowValues {
            table: &self.table,
            arguments: &mut self.arguments,
            values: Vec::new(),
        };
        row.set(column, value);
        let values = row.values;
        if self.verb.rows.is_empty() {
            self.verb.rows.push(Vec::new());
        }
        if self.verb.rows.len() > 1 {
            self.uneven();
        } else {
            for (column, at) in values {
                self.verb.columns.push(column);
                self.verb.rows[0].push(at);
            }
        }
        self
    }

    /// Adds a row an item, all in one statement: either all rows are added or none. Every row sets the same
    /// columns, in any order. A statement binds 65,535 values at most.
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
                table: &self.table,
                arguments: &mut self.arguments,
                values: Vec::new(),
            };
            row(&mut values, item);
            let mut values = values.values;
            if self.verb.rows.is_empty() {
                self.verb.columns = values.iter().map(|(column, _)| column.clone()).collect();
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

    fn uneven(&mut self) {
        let client = self.arguments.client();
        let what = format!("insert into {}", self.table);
        self.arguments.fail(Error::StatementRefused {
            client,
            what,
            reason: "its rows set different columns",
        });
    }
}

impl<'t> TenantQuery<'t, Update<'t>> {
    /// Gives a column its new value.
    pub fn set(mut self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        let column = column.into();
        if column == CLIENT_COLUMN {
            self.arguments.expect_own_client(&self.table, &value);
        } else {
            let at = self.arguments.push(&column, value);
            self.verb.assignments.push((column, at));
        }
        self
    }

    /// Says that every row of the client is meant. Without it, an update without a condition is refused.
    pub fn all(mut self) -> Self {
        self.verb.all = true;
        self
    }
}

impl<'t> TenantQuery<'t, Delete<'t>> {
    /// Says that every row of the client is meant. Without it, a delete without a condition is refused.
    pub fn all(mut self) -> Self {
        self.verb.all = true;
        self
    }
}

impl<'t, V: Writes<'t>> TenantQuery<'t, V> {
    /// The columns that fetching returns of each written row. Defaults to all but `client_id`.
    pub fn returning<C: Into<Cow<'t, str>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        *self.verb.returning_mut() = columns.into_iter().map(Into::into).collect();
        self
    }
}

impl<V> fmt::Debug for TenantQuery<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantQuery")
            .field("client", &self.arguments.client())
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
