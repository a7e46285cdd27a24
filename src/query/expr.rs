use std::borrow::Cow;
use std::fmt;

use super::bind::{Bind, BoxedValue, boxed};
use super::fragment::{Fragment, Piece};
use super::relations::Relations;
use super::writer::Writer;
use crate::error::Result;

/// A value that the database works out for a row or a group of rows. A name is the column of that name.
///
/// With [joined](super::TenantQuery::join) tables, a column of a table is named `table.column`, or
/// `alias.column`.
///
/// ```no_run
/// # use tenantry::{Expr, Result, TenantDb};
/// # async fn example(acme: TenantDb) -> Result<()> {
/// let per_agent: Vec<(uuid::Uuid, i64)> = acme
///     .query("conversations")
///     .columns(["agent_id"])
///     .column_as(Expr::count(), "conversations")
///     .group_by(["agent_id"])
///     .fetch_all()
///     .await?;
/// acme.update("agents").set_expr("name", Expr::column("name").upper()).eq("slug", "guide").execute().await?;
/// # Ok(()) }
/// ```
pub struct Expr<'t>(pub(super) Node<'t>);

pub(super) enum Node<'t> {
    Column(Cow<'t, str>),
    Value(BoxedValue<'t>),
    Call(&'static str, Vec<Node<'t>>),
    Infix(Box<Node<'t>>, &'static str, Box<Node<'t>>),
    Aggregate {
        function: &'static str,
        distinct: bool,
        /// `None` counts rows.
        of: Option<Box<Node<'t>>>,
    },
    Cast(Box<Node<'t>>, &'static str),
    Raw(Fragment<'t>),
}

impl<'t> Expr<'t> {
    /// A column.
    pub fn column(name: impl Into<Cow<'t, str>>) -> Self {
        Self(Node::Column(name.into()))
    }

    /// A bound value.
    pub fn value(value: impl Bind<'t>) -> Self {
        Self(Node::Value(boxed(value)))
    }

    /// SQL of the host's own.
    ///
    /// ```
    /// # use tenantry::Expr;
    /// let age = Expr::raw(|sql| sql.push("age(created_at, ").push_bind("2026-01-01").push("::timestamptz)"));
    /// ```
    pub fn raw(write: impl FnOnce(Fragment<'t>) -> Fragment<'t>) -> Self {
        Self(Node::Raw(write(Fragment::default())))
    }

    /// What a jsonb or json column has at a path of keys and positions, as text; null where it has nothing.
    pub fn json_text<P: Into<String>>(
        column: impl Into<Cow<'t, str>>,
        path: impl IntoIterator<Item = P>,
    ) -> Self {
        Self::at(column.into(), " #>> ", path)
    }

    /// What a jsonb or json column has at a path of keys and positions, as JSON.
    pub fn json<P: Into<String>>(column: impl Into<Cow<'t, str>>, path: impl IntoIterator<Item = P>) -> Self {
        Self::at(column.into(), " #> ", path)
    }

    fn at<P: Into<String>>(
        column: Cow<'t, str>,
        operator: &'static str,
        path: impl IntoIterator<Item = P>,
    ) -> Self {
        let path: Vec<String> = path.into_iter().map(Into::into).collect();
        let (column, path) = (Node::Column(column), Node::Value(boxed(path)));
        Self(Node::Infix(Box::new(column), operator, Box::new(path)))
    }

    /// In lower case.
    #[must_use]
    pub fn lower(self) -> Self {
        self.call("lower")
    }

    /// In upper case.
    #[must_use]
    pub fn upper(self) -> Self {
        self.call("upper")
    }

    /// The number of characters of a text.
    #[must_use]
    pub fn length(self) -> Self {
        self.call("length")
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: impl Bind<'t>) -> Self {
        self.infix(" + ", Self::value(other))
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: impl Bind<'t>) -> Self {
        self.infix(" - ", Self::value(other))
    }

    /// The product.
    #[must_use]
    pub fn times(self, other: impl Bind<'t>) -> Self {
        self.infix(" * ", Self::value(other))
    }

    /// This, or the value where this is null.
    #[must_use]
    pub fn or(self, value: impl Bind<'t>) -> Self {
        self.call_with("coalesce", Self::value(value))
    }

    /// The number of rows, a `bigint`.
    pub fn count() -> Self {
        Self(Node::Aggregate {
            function: "count",
            distinct: false,
            of: None,
        })
    }

    /// The number of rows where it is not null, a `bigint`.
    pub fn count_of(of: impl Into<Self>) -> Self {
        Self::aggregate("count", of)
    }

    /// The number of different values that are not null, a `bigint`.
    pub fn count_distinct(of: impl Into<Self>) -> Self {
        Self(Node::Aggregate {
            function: "count",
            distinct: true,
            of: Some(Box::new(of.into().0)),
        })
    }

    /// The sum: a `bigint` of integers and `smallint`s, else a `numeric`, or the type itself of floats; null
    /// of no rows. See [`as_bigint`](Self::as_bigint).
    pub fn sum(of: impl Into<Self>) -> Self {
        Self::aggregate("sum", of)
    }

    /// The mean: a `numeric` of integers, else a float; null of no rows. See [`as_double`](Self::as_double).
    pub fn avg(of: impl Into<Self>) -> Self {
        Self::aggregate("avg", of)
    }

    /// The smallest.
    pub fn min(of: impl Into<Self>) -> Self {
        Self::aggregate("min", of)
    }

    /// The largest.
    pub fn max(of: impl Into<Self>) -> Self {
        Self::aggregate("max", of)
    }

    /// Whether it holds for all.
    pub fn bool_and(of: impl Into<Self>) -> Self {
        Self::aggregate("bool_and", of)
    }

    /// Whether it holds for any.
    pub fn bool_or(of: impl Into<Self>) -> Self {
        Self::aggregate("bool_or", of)
    }

    /// An array of all.
    pub fn array_agg(of: impl Into<Self>) -> Self {
        Self::aggregate("array_agg", of)
    }

    /// As a `bigint`, an `i64`.
    #[must_use]
    pub fn as_bigint(self) -> Self {
        Self(Node::Cast(Box::new(self.0), "bigint"))
    }

    /// As a `double precision`, an `f64`.
    #[must_use]
    pub fn as_double(self) -> Self {
        Self(Node::Cast(Box::new(self.0), "double precision"))
    }

    /// As a `text`.
    #[must_use]
    pub fn as_text(self) -> Self {
        Self(Node::Cast(Box::new(self.0), "text"))
    }

    fn aggregate(function: &'static str, of: impl Into<Self>) -> Self {
        Self(Node::Aggregate {
            function,
            distinct: false,
            of: Some(Box::new(of.into().0)),
        })
    }

    fn call(self, function: &'static str) -> Self {
        Self(Node::Call(function, vec![self.0]))
    }

    fn call_with(self, function: &'static str, other: Self) -> Self {
        Self(Node::Call(function, vec![self.0, other.0]))
    }

    fn infix(self, operator: &'static str, other: Self) -> Self {
        Self(Node::Infix(Box::new(self.0), operator, Box::new(other.0)))
    }
}

impl<'t> From<&'t str> for Expr<'t> {
    fn from(column: &'t str) -> Self {
        Self::column(column)
    }
}

impl<'t> From<&'t String> for Expr<'t> {
    fn from(column: &'t String) -> Self {
        Self::column(column)
    }
}

impl From<String> for Expr<'_> {
    fn from(column: String) -> Self {
        Self::column(column)
    }
}

impl<'t> From<Cow<'t, str>> for Expr<'t> {
    fn from(column: Cow<'t, str>) -> Self {
        Self::column(column)
    }
}

impl fmt::Debug for Expr<'_> {
    /// Without values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => write!(f, "{name:?}"),
            Self::Value(value) => write!(f, "<{}>", sqlx::TypeInfo::name(&value.info())),
            Self::Call(function, of) => write!(f, "{function}({of:?})"),
            Self::Infix(left, operator, right) => write!(f, "({left:?}{operator}{right:?})"),
            Self::Aggregate { function, of, .. } => write!(f, "{function}({of:?})"),
            Self::Cast(of, to) => write!(f, "{of:?}::{to}"),
            Self::Raw(fragment) => fragment.fmt(f),
        }
    }
}

impl<'c> Writer<'c> {
    pub(super) fn node(&mut self, node: &Node<'_>, relations: &Relations<'c>) -> Result<()> {
        match node {
            Node::Column(name) => self.column(relations, name).map(drop),
            Node::Value(value) => self.value(&**value, "an expression"),
            Node::Call(function, of) => {
                self.push(function);
                self.push("(");
                for (at, of) in of.iter().enumerate() {
                    self.push(if at == 0 { "" } else { ", " });
                    self.node(of, relations)?;
                }
                self.push(")");
                Ok(())
            }
            Node::Infix(left, operator, right) => {
                self.push("(");
                self.node(left, relations)?;
                self.push(operator);
                self.node(right, relations)?;
                self.push(")");
                Ok(())
            }
            Node::Aggregate {
                function,
                distinct,
                of,
            } => {
                self.push(function);
                self.push(if *distinct { "(distinct " } else { "(" });
                match of {
                    Some(of) => self.node(of, relations)?,
                    None => self.push("*"),
                }
                self.push(")");
                Ok(())
            }
            Node::Cast(of, to) => {
                self.node(of, relations)?;
                self.push("::");
                self.push(to);
                Ok(())
            }
            Node::Raw(fragment) => self.fragment(fragment),
        }
    }

    pub(super) fn fragment(&mut self, fragment: &Fragment<'_>) -> Result<()> {
        if let Some(reason) = fragment.refusal() {
            return self.refuse("a fragment of SQL", reason);
        }
        self.expect_code();
        self.push("(");
        let mut after_value = false;
        for piece in &fragment.pieces {
            match piece {
                Piece::Text(sql) => {
                    // A digit would make it another value, and a letter a name.
                    if after_value && sql.as_str().starts_with(is_in_word) {
                        self.push(" ");
                    }
                    self.push(sql.as_str());
                }
                Piece::Value(value) => {
                    if self.ends_with(is_in_word) {
                        self.push(" ");
                    }
                    self.value(&**value, "a fragment of SQL")?;
                }
            }
            after_value = matches!(piece, Piece::Value(_));
        }
        self.push(")");
        Ok(())
    }
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}
