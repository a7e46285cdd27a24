use super::bind::{BoxedValue, Value, held};
use super::expr::Node;
use super::fragment::Fragment;
use super::join::Join;
use super::relations::{Relation, Relations};
use super::select::Select;
use super::source::Source;
use super::text_search::TextSearch;
use super::writer::Writer;
use crate::error::Result;

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

impl<'c> Writer<'c> {
    /// ` where …`: the scope of the relation first, then the conditions. Returns what joins one more.
    pub(super) fn conditions(
        &mut self,
        conditions: &[Condition<'_>],
        relations: &Relations<'c>,
    ) -> Result<&'static str> {
        let mut joint = " where ";
        if self.is_scoped() && relations.base().is_tenant() {
            self.push(joint);
            if relations.is_qualified() {
                relations.base().write(self);
            }
            self.push("client_id = ");
            self.own_client()?;
            joint = " and ";
        }
        for condition in conditions {
            self.push(joint);
            self.condition(condition, relations)?;
            joint = " and ";
        }
        Ok(joint)
    }

    fn condition(&mut self, condition: &Condition<'_>, relations: &Relations<'c>) -> Result<()> {
        match condition {
            Condition::Test(node, operator, value) => self.test(node, operator, &**value, relations),
            Condition::Compare(left, operator, right) => {
                self.node(left, relations)?;
                self.push(operator);
                self.node(right, relations)
            }
            Condition::Between(node, low, high) => {
                self.test(node, " between ", &**low, relations)?;
                self.push(" and ");
                self.held_against(node, &**high, relations, false)
            }
            Condition::AnyOf(node, values) => {
                self.note_tested(node, "=", relations);
                self.node(node, relations)?;
                self.push(" = any (");
                self.held_against(node, &**values, relations, true)?;
                self.push(")");
                Ok(())
            }
            Condition::NoneOf(node, values) => {
                self.node(node, relations)?;
                self.push(" <> all (");
                self.held_against(node, &**values, relations, true)?;
                self.push(")");
                Ok(())
            }
            Condition::IsNull(node) => {
                self.node(node, relations)?;
                self.push(" is null");
                Ok(())
            }
            Condition::IsNotNull(node) => {
                self.node(node, relations)?;
                self.push(" is not null");
                Ok(())
            }
            Condition::Matches(node, search) => self.text_search(node, search, relations),
            Condition::Within(node, query, whether) => self.within(node, query, *whether, relations),
            Condition::Has(related, whether) => self.has(related, *whether, relations),
            Condition::Any(list) => self.group(list, " or ", "false", relations),
            Condition::All(list) => self.group(list, " and ", "true", relations),
            Condition::NotAny(list) => {
                self.push("not ");
                self.group(list, " or ", "false", relations)
            }
            Condition::Raw(fragment) => self.fragment(fragment),
        }
    }

    fn test(
        &mut self,
        node: &Node<'_>,
        operator: &str,
        value: &dyn Value,
        relations: &Relations<'c>,
    ) -> Result<()> {
        if let Node::Column(name) = node {
            self.note_tested(node, operator, relations);
            let column = self.column(relations, name)?;
            self.push(operator);
            return self.value_of(column, value);
        }
        self.node(node, relations)?;
        self.push(operator);
        self.value(value, "an expression")
    }

    /// A value that is held against another, which is written already.
    fn held_against(
        &mut self,
        node: &Node<'_>,
        value: &dyn Value,
        relations: &Relations<'c>,
        each: bool,
    ) -> Result<()> {
        match node {
            Node::Column(name) => {
                let (_, column) = relations.column(name)?;
                if each {
                    self.values_of(column, value, &value.info())
                } else {
                    self.value_of(column, value)
                }
            }
            _ => self.value(value, "an expression"),
        }
    }

    fn group(
        &mut self,
        list: &[Condition<'_>],
        joint: &str,
        none: &str,
        relations: &Relations<'c>,
    ) -> Result<()> {
        self.push("(");
        if list.is_empty() {
            self.push(none);
        }
        for (at, condition) in list.iter().enumerate() {
            self.push(if at == 0 { "" } else { joint });
            self.condition(condition, relations)?;
        }
        self.push(")");
        Ok(())
    }

    fn text_search(
        &mut self,
        node: &Node<'_>,
        search: &TextSearch<'_>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        if !search.has_plain_language() {
            return self.refuse(
                "a text search",
                "the name of its language has letters, digits and _ alone",
            );
        }
        self.note_tested(node, "@@", relations);
        let language = search.language.as_ref().map(|name| format!("'{name}', "));
        let is_document = match node {
            Node::Column(name) => relations.column(name)?.1.type_sql == "tsvector",
            _ => false,
        };
        if is_document {
            self.node(node, relations)?;
        } else {
            self.push("to_tsvector(");
            self.push(language.as_deref().unwrap_or_default());
            self.node(node, relations)?;
            self.push(")");
        }
        self.push(" @@ ");
        self.push(search.reader);
        self.push("(");
        self.push(language.as_deref().unwrap_or_default());
        self.value_of_one_type(&held(search.text.as_str()), "a text search")?;
        self.push(")");
        Ok(())
    }

    fn within(
        &mut self,
        node: &Node<'_>,
        query: &SubQuery<'_>,
        whether: Whether,
        relations: &Relations<'c>,
    ) -> Result<()> {
        let table = self.table(&query.source.table, "select from", false)?;
        if query.select.width(table) != 1 {
            return self.refuse(
                format!("a sub-query of {}", query.source.table),
                "it has another number of columns than one",
            );
        }
        self.push(if whether == Whether::IsNot { "not (" } else { "" });
        // Nothing is equal to null, so a null on either side would make `not` neither true nor false.
        if whether == Whether::IsNot {
            self.push("coalesce(");
        }
        self.node(node, relations)?;
        self.push(if whether == Whether::IsNot {
            " in (select found from ("
        } else {
            " in ("
        });
        query.select.write(&query.source, self)?;
        self.push(match whether {
            Whether::Is => ")",
            Whether::IsNot => ") as found (found) where found is not null), false))",
        });
        Ok(())
    }

    /// `exists (…)`: the rows of another table that are connected to this row, in scope.
    fn has(&mut self, related: &Related<'_>, whether: Whether, relations: &Relations<'c>) -> Result<()> {
        let table = self.table(&related.join.table, "select from", false)?;
        let (near, pairs) = relations.connection(&related.join, table)?;
        let depth = self.deeper();
        let mut alias = match &related.join.alias {
            Some(alias) => alias.clone().into_owned(),
            None => format!("related_{depth}"),
        };
        while relations.all().any(|relation| relation.name == alias) {
            alias.push('_');
        }
        let far = Relation {
            table,
            name: alias,
            is_many: false,
        };
        self.push(if whether == Whether::IsNot { "not " } else { "" });
        self.push("exists (select from ");
        self.push(&table.sql);
        self.push(" as ");
        self.label(&far.name)?;
        self.push(" where ");
        self.connected(&far, near, &pairs)?;
        let inner = Relations::aliased(self.client(), table, far.name);
        for condition in &related.conditions {
            self.push(" and ");
            self.condition(condition, &inner)?;
        }
        self.push(")");
        self.less_deep();
        Ok(())
    }
}
