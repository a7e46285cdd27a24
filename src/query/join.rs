use std::borrow::Cow;

/// A table beside the one that is asked for; see [`join`](super::TenantQuery::join).
///
/// ```
/// use tenantry::Join;
///
/// let author = Join::left("agents").alias("author").by("author_id");
/// let notes = Join::inner("notes").on("notes.subject", "id");
/// ```
#[derive(Clone, Debug)]
pub struct Join<'t> {
    pub(super) table: Cow<'t, str>,
    pub(super) is_outer: bool,
    pub(super) alias: Option<Cow<'t, str>>,
    pub(super) by: By<'t>,
}

/// What connects the rows.
#[derive(Clone, Debug)]
pub(super) enum By<'t> {
    /// The only foreign key between the tables.
    ForeignKey,
    /// The one that this column is in.
    Column(Cow<'t, str>),
    /// Equal columns: of the joined table, and of one before it.
    Columns(Vec<(Cow<'t, str>, Cow<'t, str>)>),
}

impl<'t> Join<'t> {
    /// Only rows that have one there.
    pub fn inner(table: impl Into<Cow<'t, str>>) -> Self {
        Self::new(table.into(), false)
    }

    /// Also rows that have none there; its columns are then null.
    pub fn left(table: impl Into<Cow<'t, str>>) -> Self {
        Self::new(table.into(), true)
    }

    fn new(table: Cow<'t, str>, is_outer: bool) -> Self {
        Self {
            table,
            is_outer,
            alias: None,
            by: By::ForeignKey,
        }
    }

    /// The name that its columns go by, needed where a table is joined twice. Defaults to the table's.
    #[must_use]
    pub fn alias(mut self, name: impl Into<Cow<'t, str>>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Along the foreign key that this column is in, on whichever side. Defaults to the only one there is
    /// between the table and those before it.
    #[must_use]
    pub fn by(mut self, column: impl Into<Cow<'t, str>>) -> Self {
        self.by = By::Column(column.into());
        self
    }

    /// Where a column of this table equals one of those before it: a foreign key that the database does not
    /// know of. Said again, both must be equal. `client_id` is never among them: the scope sees to it.
    #[must_use]
    pub fn on(mut self, column: impl Into<Cow<'t, str>>, other: impl Into<Cow<'t, str>>) -> Self {
        let pair = (column.into(), other.into());
        match &mut self.by {
            By::Columns(pairs) => pairs.push(pair),
            by => *by = By::Columns(vec![pair]),
        }
        self
    }
}

impl<'t> From<&'t str> for Join<'t> {
    fn from(table: &'t str) -> Self {
        Self::inner(table)
    }
}

impl<'t> From<&'t String> for Join<'t> {
    fn from(table: &'t String) -> Self {
        Self::inner(table)
    }
}

impl From<String> for Join<'_> {
    fn from(table: String) -> Self {
        Self::inner(table)
    }
}
