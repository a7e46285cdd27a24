use super::bind::held;
use super::cursor::{Cursor, Position};
use super::expr::Node;
use super::order::Order;
use super::relations::Relations;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::schema::Column;

/// Rows of a query from a place in its order on; see [`fetch_page`](super::TenantQuery::fetch_page).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The rows, in the order of the query.
    pub rows: Vec<T>,
    /// Where the rows after these are, if there are any.
    pub next: Option<Cursor>,
    /// Where the rows before these are, if there are any.
    pub previous: Option<Cursor>,
}

impl Position {
    /// One more column at the end of the row: the values of the order as text.
    pub(super) fn write_columns<'c>(
        order: &[(Node<'_>, Order)],
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        let keys = keys(order, writer, relations)?;
        writer.push(", array[");
        for (at, key) in keys.iter().enumerate() {
            writer.push(if at == 0 { "" } else { ", " });
            key.write(writer, relations)?;
            writer.push("::text");
        }
        // There is nothing to tell its type by.
        writer.push(if keys.is_empty() { "]::text[]" } else { "]" });
        writer.push(" as \"tenantry.key\"");
        Ok(())
    }

    /// That a row is beyond the place.
    pub(super) fn write_condition<'c>(
        &self,
        order: &[(Node<'_>, Order)],
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
        joint: &str,
    ) -> Result<()> {
        let Some(beside) = &self.beside else { return Ok(()) };
        let keys = self.keys(order, writer, relations)?;
        if keys.len() != beside.len() {
            return Err(Error::InvalidCursor {
                client: writer.client(),
                table: relations.base().name.clone(),
                reason: "the key of the table is another now",
            });
        }
        let keys: Vec<(Key<'c>, Option<&String>)> =
            keys.into_iter().zip(beside.iter().map(Option::as_ref)).collect();
        writer.push(joint);
        if keys.is_empty() {
            // A client has one row, and nothing is beyond it.
            writer.push("false");
            return Ok(());
        }
        // One comparison of rows is what an index serves.
        let descending = keys.iter().all(|(key, _)| key.order.is_descending());
        let ascending = keys.iter().all(|(key, _)| !key.order.is_descending());
        let no_nulls = keys.iter().all(|(key, value)| key.never_null && value.is_some());
        if (descending || ascending) && no_nulls {
            writer.push("(");
            for (at, (key, _)) in keys.iter().enumerate() {
                writer.push(if at == 0 { "" } else { ", " });
                key.write(writer, relations)?;
            }
            writer.push(if descending { ") < (" } else { ") > (" });
            for (at, (key, value)) in keys.iter().enumerate() {
                writer.push(if at == 0 { "" } else { ", " });
                key.write_value(*value, writer)?;
            }
            writer.push(")");
            return Ok(());
        }
        writer.push("(");
        for last in 0..keys.len() {
            writer.push(if last == 0 { "(" } else { " or (" });
            for (key, value) in &keys[..last] {
                key.write_equal(*value, writer, relations)?;
                writer.push(" and ");
            }
            let (key, value) = &keys[last];
            key.write_beyond(*value, writer, relations)?;
            writer.push(")");
        }
        writer.push(")");
        Ok(())
    }

    pub(super) fn write_order<'c>(
        &self,
        order: &[(Node<'_>, Order)],
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        for (at, key) in self.keys(order, writer, relations)?.into_iter().enumerate() {
            writer.push(if at == 0 { " order by " } else { ", " });
            key.write(writer, relations)?;
            writer.push(key.order.sql());
        }
        Ok(())
    }

    /// The columns of the order as this goes through it.
    fn keys<'c>(
        &self,
        order: &[(Node<'_>, Order)],
        writer: &Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<Vec<Key<'c>>> {
        let mut keys = keys(order, writer, relations)?;
        if self.backwards {
            for key in &mut keys {
                key.order = key.order.reversed();
            }
        }
        Ok(keys)
    }
}

/// A column of the order.
struct Key<'c> {
    /// As the caller names it.
    name: String,
    column: &'c Column,
    order: Order,
    never_null: bool,
    /// Not of a joined table, which may be the same one.
    is_of_base: bool,
}

/// The columns of the order, and after them those of the keys of the table, and of the tables that are joined to it
/// more than once a row, which decide between equals.
fn keys<'c>(
    order: &[(Node<'_>, Order)],
    writer: &Writer<'c>,
    relations: &Relations<'c>,
) -> Result<Vec<Key<'c>>> {
    let refused = |reason| writer.refuse(format!("a page of {}", relations.base().name), reason);
    let mut keys: Vec<Key<'c>> = Vec::with_capacity(order.len() + 1);
    for (node, order) in order {
        let Node::Column(name) = node else {
            return refused("its order has something else than columns");
        };
        let (relation, column) = relations.column(name)?;
        keys.push(Key {
            name: name.clone().into_owned(),
            column,
            order: *order,
            // A column of a joined table is null where no row was joined.
            never_null: column.not_null && std::ptr::eq(relation, relations.base()),
            is_of_base: std::ptr::eq(relation, relations.base()),
        });
    }
    let table = relations.base().table;
    let Some(identity) = table.identity() else {
        return refused("the table has no key that decides between rows that are equal in the order");
    };
    let last = order.last().map_or(Order::Asc, |(_, order)| *order);
    let after = if last.is_descending() {
        Order::Desc
    } else {
        Order::Asc
    };
    for name in &identity.columns {
        let Some(column) = table.column(name) else {
            continue;
        };
        if !keys
            .iter()
            .any(|key| std::ptr::eq(key.column, column) && key.is_of_base)
        {
            keys.push(Key {
                name: name.clone(),
                column,
                order: after,
                never_null: true,
                is_of_base: true,
            });
        }
    }
    // A row that several of a joined table belong to is there for each of them.
    for relation in relations.all().filter(|relation| relation.is_many) {
        let Some(identity) = relation.table.identity() else {
            return refused("a joined table has no key that decides between its rows");
        };
        for name in &identity.columns {
            let name = format!("{}.{name}", relation.name);
            let (_, column) = relations.column(&name)?;
            keys.push(Key {
                name,
                column,
                order: after,
                never_null: false,
                is_of_base: false,
            });
        }
    }
    Ok(keys)
}

impl<'c> Key<'c> {
    fn write(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        writer.column(relations, &self.name).map(drop)
    }

    fn write_value(&self, value: Option<&String>, writer: &mut Writer<'c>) -> Result<()> {
        writer.value_of_one_type(&held(value.cloned()), &self.column.name)?;
        writer.push("::");
        writer.push(&self.column.type_sql);
        Ok(())
    }

    fn write_equal(
        &self,
        value: Option<&String>,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        self.write(writer, relations)?;
        if value.is_none() {
            writer.push(" is null");
            return Ok(());
        }
        writer.push(" = ");
        self.write_value(value, writer)
    }

    fn write_beyond(
        &self,
        value: Option<&String>,
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        let nulls_follow = !self.order.has_nulls_first() && !self.never_null;
        if value.is_none() {
            if nulls_follow || self.never_null {
                writer.push("false");
                return Ok(());
            }
            self.write(writer, relations)?;
            writer.push(" is not null");
            return Ok(());
        }
        writer.push("(");
        self.write(writer, relations)?;
        writer.push(if self.order.is_descending() { " < " } else { " > " });
        self.write_value(value, writer)?;
        if nulls_follow {
            writer.push(" or ");
            self.write(writer, relations)?;
            writer.push(" is null");
        }
        writer.push(")");
        Ok(())
    }
}
