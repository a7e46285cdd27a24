use std::borrow::Cow;

use sqlx::postgres::PgHasArrayType;

use super::bind::{Bind, boxed, held};
use super::compare::Compare;
use super::condition::{Condition, Related, SubQuery, Whether};
use super::expr::{Expr, Node};
use super::fragment::Fragment;
use super::join::Join;
use super::pattern::Pattern;
use super::run::On;
use super::select::Select;
use super::tenant_query::TenantQuery;
use super::text_search::TextSearch;
use super::verb::{Filtered, Group};
use crate::error::Error;
use crate::schema::CLIENT_COLUMN;

impl<'t, V: Filtered> TenantQuery<'t, V> {
    /// Rows whose column equals the value.
    pub fn eq(mut self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        let column = column.into();
        if matches!(&column.0, Node::Column(name) if name == CLIENT_COLUMN) {
            // The scope says so already.
            self.source.expect_own_client(&held(value));
            return self;
        }
        self.test(column, " = ", value)
    }

    /// Rows whose column differs from the value, and is not null.
    pub fn ne(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " <> ", value)
    }

    /// Rows whose column is less than the value.
    pub fn lt(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " < ", value)
    }

    /// Rows whose column is the value or less.
    pub fn le(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " <= ", value)
    }

    /// Rows whose column is greater than the value.
    pub fn gt(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " > ", value)
    }

    /// Rows whose column is the value or greater.
    pub fn ge(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " >= ", value)
    }

    /// Rows whose column is one of both values, or between them.
    pub fn between(self, column: impl Into<Expr<'t>>, low: impl Bind<'t>, high: impl Bind<'t>) -> Self {
        self.where_(Condition::Between(column.into().0, boxed(low), boxed(high)))
    }

    /// Rows where two values of the row compare so.
    pub fn compare(self, left: impl Into<Expr<'t>>, how: Compare, right: impl Into<Expr<'t>>) -> Self {
        self.where_(Condition::Compare(left.into().0, how.sql(), right.into().0))
    }

    /// Rows whose column equals one of the values; none, where there are no values.
    pub fn is_in<T>(self, column: impl Into<Expr<'t>>, values: Vec<T>) -> Self
    where
        T: PgHasArrayType,
        Vec<T>: Bind<'t>,
    {
        self.where_(Condition::AnyOf(column.into().0, boxed(values)))
    }

    /// Rows whose column is not null and equals none of the values; all of them, nulls included, where there
    /// are no values.
    pub fn is_not_in<T>(self, column: impl Into<Expr<'t>>, values: Vec<T>) -> Self
    where
        T: PgHasArrayType,
        Vec<T>: Bind<'t>,
    {
        self.where_(Condition::NoneOf(column.into().0, boxed(values)))
    }

    /// Rows whose column equals one of the values that a query of the same client's has in its one column.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb, agent: uuid::Uuid) -> tenantry::Result<()> {
    /// let known = acme.query("agent_documents").columns(["document_id"]).eq("agent_id", agent);
    /// let documents = acme.query("documents").is_in_query("id", known).count().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// A query of another client's is [`Error::ForeignClient`].
    pub fn is_in_query(self, column: impl Into<Expr<'t>>, query: TenantQuery<'t, Select<'t>>) -> Self {
        self.within(column.into(), query, Whether::Is)
    }

    /// Rows whose column equals none of the values that a query of the same client's has in its one column:
    /// nulls equal nothing, neither here nor there.
    pub fn is_not_in_query(self, column: impl Into<Expr<'t>>, query: TenantQuery<'t, Select<'t>>) -> Self {
        self.within(column.into(), query, Whether::IsNot)
    }

    /// Rows that a row of another table belongs to, which meets the conditions. The tables are connected as
    /// by [`join`](TenantQuery::join), and no row comes twice.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let talkative = acme.query("agents").has("conversations", |talk| talk.eq("user_id", "ada")).count().await?;
    /// # Ok(()) }
    /// ```
    pub fn has(
        self,
        table: impl Into<Join<'t>>,
        conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>,
    ) -> Self {
        self.related(table.into(), conditions, Whether::Is)
    }

    /// Rows that no row of another table belongs to, which meets the conditions.
    pub fn has_no(
        self,
        table: impl Into<Join<'t>>,
        conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>,
    ) -> Self {
        self.related(table.into(), conditions, Whether::IsNot)
    }

    /// Rows whose column is null.
    pub fn is_null(self, column: impl Into<Expr<'t>>) -> Self {
        self.where_(Condition::IsNull(column.into().0))
    }

    /// Rows whose column is not null.
    pub fn is_not_null(self, column: impl Into<Expr<'t>>) -> Self {
        self.where_(Condition::IsNotNull(column.into().0))
    }

    /// Rows whose text is like the pattern.
    ///
    /// On a pool database no index on the text serves it: row-level security keeps that from operators that
    /// are not leakproof. See [`explain`](TenantQuery::explain).
    pub fn like(self, column: impl Into<Expr<'t>>, pattern: Pattern) -> Self {
        self.test(column, " like ", pattern.0)
    }

    /// Rows whose text is like the pattern, in whatever case.
    pub fn ilike(self, column: impl Into<Expr<'t>>, pattern: Pattern) -> Self {
        self.test(column, " ilike ", pattern.0)
    }

    /// Rows whose jsonb, array or range has all that the value has.
    pub fn contains(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " @> ", value)
    }

    /// Rows whose jsonb, array or range has nothing but what the value has.
    pub fn contained_in(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " <@ ", value)
    }

    /// Rows whose array or range has something in common with the value.
    pub fn overlaps(self, column: impl Into<Expr<'t>>, value: impl Bind<'t>) -> Self {
        self.test(column, " && ", value)
    }

    /// Rows whose jsonb object has the key.
    pub fn has_key(self, column: impl Into<Expr<'t>>, key: impl Into<String>) -> Self {
        self.test(column, " ? ", key.into())
    }

    /// Rows whose text, or text search document, matches the words.
    pub fn matches(self, column: impl Into<Expr<'t>>, search: TextSearch<'t>) -> Self {
        self.where_(Condition::Matches(column.into().0, search))
    }

    /// Rows for which one of the conditions holds; none, where there are no conditions.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let found = acme
    ///     .query("agents")
    ///     .any_of(|any| any.eq("slug", "guide").all_of(|all| all.gt("name", "M").is_null("model_id")))
    ///     .count()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn any_of(self, conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>) -> Self {
        let (this, list) = self.grouped(conditions);
        this.where_(Condition::Any(list))
    }

    /// Rows for which all of the conditions hold: a group inside [`any_of`](Self::any_of). No conditions are
    /// none.
    pub fn all_of(self, conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>) -> Self {
        let (this, list) = self.grouped(conditions);
        if list.is_empty() {
            return this;
        }
        this.where_(Condition::All(list))
    }

    /// Rows for which none of the conditions holds. One that is neither true nor false, for a null, keeps the
    /// row out. No conditions are none.
    pub fn none_of(self, conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>) -> Self {
        let (this, list) = self.grouped(conditions);
        if list.is_empty() {
            return this;
        }
        this.where_(Condition::NotAny(list))
    }

    /// Rows for which SQL of the host's own holds.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let old = acme
    ///     .query("agents")
    ///     .raw(|sql| sql.push("created_at < now() - ").push_bind("30 days").push("::text::interval"))
    ///     .count()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn raw(self, write: impl FnOnce(Fragment<'t>) -> Fragment<'t>) -> Self {
        self.where_(Condition::Raw(write(Fragment::default())))
    }

    fn test(self, column: impl Into<Expr<'t>>, operator: &'static str, value: impl Bind<'t>) -> Self {
        self.where_(Condition::Test(column.into().0, operator, boxed(value)))
    }

    pub(super) fn where_(mut self, condition: Condition<'t>) -> Self {
        self.source.conditions.push(condition);
        self
    }

    fn within(mut self, column: Expr<'t>, query: TenantQuery<'t, Select<'t>>, whether: Whether) -> Self {
        let source = self.subordinate(query.source);
        let query = SubQuery {
            source,
            select: query.verb,
        };
        self.where_(Condition::Within(column.0, Box::new(query), whether))
    }

    fn related(
        mut self,
        join: Join<'t>,
        conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>,
        whether: Whether,
    ) -> Self {
        let group = conditions(self.group(join.table.clone()));
        let conditions = self.subordinate(group.source).conditions;
        let related = Related { join, conditions };
        self.where_(Condition::Has(Box::new(related), whether))
    }

    fn grouped(
        mut self,
        conditions: impl FnOnce(TenantQuery<'t, Group>) -> TenantQuery<'t, Group>,
    ) -> (Self, Vec<Condition<'t>>) {
        let group = conditions(self.group(self.source.table.clone()));
        let list = self.subordinate(group.source).conditions;
        (self, list)
    }

    fn group(&self, table: Cow<'t, str>) -> TenantQuery<'t, Group> {
        TenantQuery::new(On::Db(self.on.db().clone()), table)
    }

    /// What becomes part of this statement, if it is of the same client.
    fn subordinate(&mut self, mut source: super::source::Source<'t>) -> super::source::Source<'t> {
        if let Err(error) = source.take_error() {
            self.source.fail(error);
        }
        if source.client != self.source.client {
            self.source.fail(Error::ForeignClient {
                client: self.source.client,
                table: source.table.clone().into_owned(),
                given: crate::error::MaybeClient(Some(source.client.as_uuid())),
            });
        }
        source
    }
}
