use std::borrow::Cow;

use super::arguments::Arguments;
use super::bind::Bind;
use super::order::Order;
use crate::schema::CLIENT_COLUMN;

/// A [`TenantQuery`](super::TenantQuery) that reads rows.
#[derive(Debug, Default)]
pub struct Select<'t> {
    pub(super) columns: Vec<Cow<'t, str>>,
    pub(super) order: Vec<(Cow<'t, str>, Order)>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

/// A [`TenantQuery`](super::TenantQuery) that adds rows.
#[derive(Debug, Default)]
pub struct Insert<'t> {
    /// The columns of every row.
    pub(super) columns: Vec<Cow<'t, str>>,
    /// A row's places of bound values, in the order of the columns.
    pub(super) rows: Vec<Vec<usize>>,
    pub(super) returning: Vec<Cow<'t, str>>,
}

/// A [`TenantQuery`](super::TenantQuery) that changes rows.
#[derive(Debug, Default)]
pub struct Update<'t> {
    pub(super) assignments: Vec<(Cow<'t, str>, usize)>,
    pub(super) all: bool,
    pub(super) returning: Vec<Cow<'t, str>>,
}

/// A [`TenantQuery`](super::TenantQuery) that removes rows.
#[derive(Debug, Default)]
pub struct Delete<'t> {
    pub(super) all: bool,
    pub(super) returning: Vec<Cow<'t, str>>,
}

/// Verbs that take conditions.
pub trait Filtered: sealed::Verb {}

impl Filtered for Select<'_> {}
impl Filtered for Update<'_> {}
impl Filtered for Delete<'_> {}

/// Verbs that write and can return what they wrote.
pub trait Writes<'t>: sealed::Verb {
    #[doc(hidden)]
    fn returning_mut(&mut self) -> &mut Vec<Cow<'t, str>>;
}

impl<'t> Writes<'t> for Insert<'t> {
    fn returning_mut(&mut self) -> &mut Vec<Cow<'t, str>> {
        &mut self.returning
    }
}

impl<'t> Writes<'t> for Update<'t> {
    fn returning_mut(&mut self) -> &mut Vec<Cow<'t, str>> {
        &mut self.returning
    }
}

impl<'t> Writes<'t> for Delete<'t> {
    fn returning_mut(&mut self) -> &mut Vec<Cow<'t, str>> {
        &mut self.returning
    }
}

/// The values of one row to insert.
#[derive(Debug)]
pub struct RowValues<'a, 't> {
    pub(super) table: &'a str,
    pub(super) arguments: &'a mut Arguments,
    pub(super) values: Vec<(Cow<'t, str>, usize)>,
}

impl<'t> RowValues<'_, 't> {
    /// Gives a column its value. Columns left out take their defaults; `client_id` is the client's own and
    /// need not be given.
    pub fn set(&mut self, column: impl Into<Cow<'t, str>>, value: impl Bind) -> &mut Self {
        let column = column.into();
        if column == CLIENT_COLUMN {
            self.arguments.expect_own_client(self.table, &value);
        } else {
            let at = self.arguments.push(&column, value);
            self.values.push((column, at));
        }
        self
    }
}

pub(super) mod sealed {
    use crate::error::Result;
    use crate::query::render::Rendering;

    /// How a verb is spelt in SQL.
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Verb: Send {
        /// The verb as a person would say it.
        const NAME: &'static str;

        /// Whether it changes rows.
        const WRITES: bool;

        #[doc(hidden)]
        fn render(&self, rendering: &mut Rendering<'_>, rows: bool) -> Result<()>;
    }
}
