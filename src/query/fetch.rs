use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{Decode, FromRow, Postgres, Row, Type};

use super::cursor::{Cursor, Position};
use super::page::Page;
use super::run::{decode, rendered};
use super::select::Select;
use super::send::spell;
use super::tenant_query::TenantQuery;
use super::verb::sealed::Verb;
use super::verb::{Shape, Writes};
use crate::error::{Error, Result};

impl<V: Verb> TenantQuery<'_, V> {
    /// The SQL as it would be sent, without its values: for logs and tests. Reads as
    /// [`fetch_all`](Self::fetch_all) sends them, writes as [`execute`](TenantQuery::execute) does. A statement
    /// whose values are not of its columns' own types is sent with a comment that tells it from others of the same
    /// text, which is left out here.
    ///
    /// Nothing is sent, but a database that is not open yet is opened: its catalogue spells the names.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let query = acme.query("agents").columns(["name"]).eq("slug", "guide");
    /// let sql = query.to_sql().await?;
    /// assert_eq!(sql, "select name from public.agents where client_id = $1 and slug = $2");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownTable`], [`Error::UnknownColumn`], [`Error::Encode`] and [`Error::StatementRefused`];
    /// [`Error::Busy`] and [`Error::Unreachable`] where a dedicated database cannot be opened.
    pub async fn to_sql(&self) -> Result<String> {
        let scoped = self.on.db().is_scoped();
        let shape = if V::WRITES { Shape::Done } else { Shape::Rows };
        let spelt = rendered(&self.on, |catalogue| {
            spell(&self.source, &self.verb, catalogue, scoped, shape)
        });
        Ok(spelt.await?.sql)
    }

    /// All rows.
    ///
    /// # Errors
    /// [`Error::UnknownTable`], [`Error::UnknownColumn`], [`Error::StatementRefused`],
    /// [`Error::ForeignClient`] and [`Error::Encode`] before anything is sent; those of
    /// [`begin`](crate::TenantDb::begin); [`Error::Constraint`], [`Error::TypeMismatch`] and
    /// [`Error::Statement`] where the database refuses the statement or a row does not decode;
    /// [`Error::Stale`] where no row has the version that it expects.
    ///
    /// # Cancel safety
    /// Dropped, a read leaves nothing behind; a write outside a transaction happened as a whole or not at
    /// all. The server may go on with the statement until its timeout.
    pub async fn fetch_all<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Vec<T>> {
        let rows: Vec<PgRow> = self.send(Shape::Rows).await?;
        self.expect_met(!rows.is_empty())?;
        let (client, step) = (self.source.client, self.step());
        rows.iter().map(|row| decode(client, step, row)).collect()
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_optional<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Option<T>> {
        let row: Option<PgRow> = self.send(Shape::Rows).await?;
        self.expect_met(row.is_some())?;
        row.as_ref()
            .map(|row| decode(self.source.client, self.step(), row))
            .transpose()
    }

    /// The first row.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::RowNotFound`].
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_one<T: for<'r> FromRow<'r, PgRow>>(self) -> Result<T> {
        let (client, what) = (self.source.client, self.source.table.clone());
        self.fetch_optional().await?.ok_or_else(|| Error::RowNotFound {
            client,
            what: what.into_owned(),
        })
    }

    /// The first column of all rows.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_scalars<T: Scalar>(self) -> Result<Vec<T>> {
        let rows: Vec<(T,)> = self.fetch_all().await?;
        Ok(rows.into_iter().map(|(value,)| value).collect())
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// As [`fetch_one`](Self::fetch_one).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_scalar<T: Scalar>(self) -> Result<T> {
        self.fetch_one().await.map(|(value,)| value)
    }

    /// The first column of the first row, if there is one.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_optional_scalar<T: Scalar>(self) -> Result<Option<T>> {
        let row = self.fetch_optional().await?;
        Ok(row.map(|(value,)| value))
    }

    /// An update that expects a version is an error where it meets no row.
    pub(super) fn expect_met(&self, met: bool) -> Result<()> {
        if met || !self.verb.expects_version() {
            return Ok(());
        }
        Err(Error::Stale {
            client: self.source.client,
            table: self.source.table.clone().into_owned(),
        })
    }
}

/// A value that a column can be decoded as.
pub trait Scalar: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin {}

impl<T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin> Scalar for T {}

impl TenantQuery<'_, Select<'_>> {
    /// How many rows meet the conditions; order, limit and offset do not count.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn count(mut self) -> Result<u64> {
        let count: i64 = self.send_scalar(Shape::Count).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Whether any row meets the conditions.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn exists(mut self) -> Result<bool> {
        self.send_scalar(Shape::Exists).await
    }

    async fn send_scalar<T: Scalar>(&mut self, shape: Shape) -> Result<T> {
        let row: Option<PgRow> = self.send(shape).await?;
        let (client, step) = (self.source.client, self.step());
        let row = row.ok_or_else(|| Error::RowNotFound {
            client,
            what: step.into(),
        })?;
        let (value,) = decode(client, step, &row)?;
        Ok(value)
    }

    /// The rows of one page, from the cursor of another page of the same query on, or from the beginning; as
    /// many as its [limit](Self::limit).
    ///
    /// A page costs the same wherever it is, and rows that are added or removed meanwhile shift nothing: a
    /// cursor is a place between values, not a number. Rows that are equal in the order are put in that of the
    /// table's key, and then of the joined tables'. The order is one of columns; an index over them serves it
    /// where they all go the same way and are never null. Groups, distinct rows and an offset have no pages.
    /// The rows have one more column at their end.
    ///
    /// ```no_run
    /// # use tenantry::{Cursor, Order, Page};
    /// # async fn example(acme: tenantry::TenantDb, asked: Option<Cursor>) -> tenantry::Result<()> {
    /// let page: Page<(String,)> = acme
    ///     .query("documents")
    ///     .columns(["title"])
    ///     .order_by("created_at", Order::Desc)
    ///     .limit(20)
    ///     .fetch_page(asked.as_ref())
    ///     .await?;
    /// let link = page.next.map(|cursor| format!("/documents?from={cursor}"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::InvalidCursor`] where the cursor is none, or of another
    /// client, table or order.
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_page<T: for<'r> FromRow<'r, PgRow>>(
        mut self,
        from: Option<&Cursor>,
    ) -> Result<Page<T>> {
        let position = match from {
            Some(cursor) => Position::read(cursor, &self.source, &self.verb.order)?,
            None => Position::default(),
        };
        if let Some(reason) = self.verb.unpaged() {
            let what = format!("a page of {}", self.source.table);
            self.source.refuse(what, reason);
        }
        let (backwards, begins) = (position.backwards, position.beside.is_none());
        let limit = self.verb.limit.unwrap_or(PAGE).min(u32::MAX - 1);
        self.verb.limit = Some(limit + 1);
        self.verb.position = Some(position);
        let sent = self.send(Shape::Rows).await;
        let mut rows: Vec<PgRow> = sent.map_err(|error| self.of_cursor(error, begins))?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        if backwards {
            rows.reverse();
        }
        let (first, last) = (rows.first(), rows.last());
        let page = Page {
            next: match last {
                Some(row) if more || backwards => Some(self.cursor_at(row, false)?),
                _ => None,
            },
            previous: match first {
                Some(row) if if backwards { more } else { !begins } => Some(self.cursor_at(row, true)?),
                _ => None,
            },
            rows: (rows.iter())
                .map(|row| decode(self.source.client, self.step(), row))
                .collect::<Result<_>>()?,
        };
        Ok(page)
    }

    fn cursor_at(&self, row: &PgRow, backwards: bool) -> Result<Cursor> {
        let beside = row
            .try_get(row.len() - 1)
            .map_err(|source| Error::of_statement(self.source.client, self.step(), source))?;
        let position = Position {
            backwards,
            beside: Some(beside),
        };
        Ok(position.cursor(&self.source, &self.verb.order))
    }

    /// A value of the cursor that is none of its column's type was not given out by us.
    fn of_cursor(&self, error: Error, begins: bool) -> Error {
        if begins
            || !error
                .sqlstate()
                .is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
        {
            return error;
        }
        Error::InvalidCursor {
            client: self.source.client,
            table: self.source.table.clone().into_owned(),
            reason: "its values are not those of the columns",
        }
    }
}

/// So many rows has a page unless told otherwise.
const PAGE: u32 = 100;

impl<'t, V: Writes<'t>> TenantQuery<'t, V> {
    /// Writes, and returns how many rows were written.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::CommitUnknown`] where the connection was lost during
    /// the commit.
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn execute(mut self) -> Result<u64> {
        if let Some(rows) = Box::pin(self.send_copy()).await? {
            return Ok(rows);
        }
        let done: PgQueryResult = self.send(Shape::Done).await?;
        self.expect_met(done.rows_affected() > 0)?;
        Ok(done.rows_affected())
    }
}
