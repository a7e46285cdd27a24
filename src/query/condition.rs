use super::bind::BoxedValue;
use super::expr::Node;
use super::fragment::Fragment;
use super::join::Join;
use super::select::Select;
use super::source::Source;
use super::text_search::TextSearch;

/// What a row must be like. Of a list of conditions, all must hold.
pub(super) enum Condition<'t> {
    /// A value of the row, an operator with its blanks, and a bound value.
    Test(Node<'t>, &'static str, BoxedValue<'t>),
    Compare(Node<'t>, &'static str, Node<'t>),
    Between(Node<'t>, BoxedValue<'t>, BoxedValue<'t>),
    /// Equals one of the values of an array.
    AnyOf(Node<'t>, BoxedValue<'t>),
    /// Equals none of them.
    NoneOf(Node<'t>, BoxedValue<'t>),
    IsNull(Node<'t>),
    IsNotNull(Node<'t>),
    Matches(Node<'t>, TextSearch<'t>),
    /// Equals one of the values of the sub-query, or none.
    Within(Node<'t>, Box<SubQuery<'t>>, Whether),
    /// There is a row of a table that belongs to it, or none.
    Has(Box<Related<'t>>, Whether),
    /// One of these holds.
    Any(Vec<Condition<'t>>),
    All(Vec<Condition<'t>>),
    /// None of these holds.
    NotAny(Vec<Condition<'t>>),
    Raw(Fragment<'t>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whether {
    Is,
    IsNot,
}

/// A query that is part of another.
pub(super) struct SubQuery<'t> {
    pub(super) source: Source<'t>,
    pub(super) select: Select<'t>,
}

/// Rows of another table that belong to a row, and the conditions on them.
pub(super) struct Related<'t> {
    pub(super) join: Join<'t>,
    pub(super) conditions: Vec<Condition<'t>>,
}
