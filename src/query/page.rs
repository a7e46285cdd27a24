use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::expr::Node;
use super::order::Order;
use super::relations::Relations;
use super::source::Source;
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

/// A place in the order of a query. Opaque, safe in a URL, and good for the same client, table and order alone.
///
/// It holds the values of the row beside it in the columns of the order, readable to whoever decodes it, and
/// no secret that those are not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// What a caller gave back. Whether it is one is found out when it is used.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the order of a query, as the query reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Whether the rows before it are wanted.
    pub(super) backwards: bool,
    /// The values beside it as text, or the beginning.
    pub(super) beside: Option<Vec<Option<String>>>,
}

/// No cursor is longer.
const MOST_BYTES: usize = 16 * 1024;

const FORWARDS: u8 = 1;
const BACKWARDS: u8 = 2;
const NULL: u32 = u32::MAX;

impl Position {
    /// Reads a cursor of the same order.
    pub(super) fn read(cursor: &Cursor, source: &Source<'_>, order: &[(Node<'_>, Order)]) -> Result<Self> {
        let wrong = |reason| Error::InvalidCursor {
            client: source.client,
            table: source.table.clone().into_owned(),
            reason,
        };
        if cursor.0.len() > MOST_BYTES {
            return Err(wrong("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(&cursor.0)
            .map_err(|_| wrong("it is not one that was given out"))?;
        let mut rest = bytes.as_slice();
        let mut take = |length: usize| {
            let (taken, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(taken)
        };
        let damaged = || wrong("it is damaged");
        let way = take(1).ok_or_else(damaged)?[0];
        if take(8).ok_or_else(damaged)? != mark(source, order) {
            return Err(wrong("it is of another client, table or order"));
        }
        let mut beside = Vec::new();
        while let Some(length) = take(4) {
            let length = u32::from_be_bytes(length.try_into().map_err(|_| damaged())?);
            beside.push(match length {
                NULL => None,
                length => {
                    let text = take(usize::try_from(length).map_err(|_| damaged())?).ok_or_else(damaged)?;
                    Some(String::from_utf8(text.to_vec()).map_err(|_| damaged())?)
                }
            });
        }
        if !rest.is_empty() || !matches!(way, FORWARDS | BACKWARDS) {
            return Err(damaged());
        }
        Ok(Self {
            backwards: way == BACKWARDS,
            beside: Some(beside),
        })
    }

    pub(super) fn cursor(&self, source: &Source<'_>, order: &[(Node<'_>, Order)]) -> Cursor {
        let mut bytes = vec![if self.backwards { BACKWARDS } else { FORWARDS }];
        bytes.extend(mark(source, order));
        for text in self.beside.iter().flatten() {
            let length = text
                .as_ref()
                .map(|text| u32::try_from(text.len()).unwrap_or_default());
            bytes.extend(length.unwrap_or(NULL).to_be_bytes());
            bytes.extend(text.iter().flat_map(|text| text.bytes()));
        }
        Cursor(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// One more column at the end of the row: the values of the order as text.
    pub(super) fn write_columns<'c>(
        order: &[(Node<'_>, Order)],
        writer: &mut Writer<'c>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        writer.push(", array[");
        for (at, key) in keys(order, writer, relations)?.into_iter().enumerate() {
            writer.push(if at == 0 { "" } else { ", " });
            key.write(writer, relations);
            writer.push("::text");
        }
        writer.push("] as \"tenantry.key\"");
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
        // One comparison of rows is what an index serves.
        let descending = keys.iter().all(|(key, _)| key.order.is_descending());
        let ascending = keys.iter().all(|(key, _)| !key.order.is_descending());
        let no_nulls = keys.iter().all(|(key, value)| key.never_null && value.is_some());
        if (descending || ascending) && no_nulls {
            writer.push("(");
            for (at, (key, _)) in keys.iter().enumerate() {
                writer.push(if at == 0 { "" } else { ", " });
                key.write(writer, relations);
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
            key.write(writer, relations);
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
    /// The relation that it is of, which tells apart the columns of a table that is joined to itself.
    relation: String,
    column: &'c Column,
    order: Order,
    never_null: bool,
}

/// The columns of the order, and those of the tables' keys after them, which decide between equals: a row can
/// be joined to several.
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
            relation: relation.name.clone(),
            column,
            order: *order,
            // A column of a joined table is null where no row was joined.
            never_null: column.not_null && std::ptr::eq(relation, relations.base()),
        });
    }
    let last = order.last().map_or(Order::Asc, |(_, order)| *order);
    for relation in relations.all() {
        let table = relation.table;
        let Some(identity) = table.identity() else {
            return refused("a table has no key that decides between rows that are equal in the order");
        };
        let is_base = std::ptr::eq(relation, relations.base());
        for name in &identity.columns {
            let Some(column) = table.column(name) else {
                continue;
            };
            let is_it = |key: &Key<'c>| std::ptr::eq(key.column, column) && key.relation == relation.name;
            if !keys.iter().any(is_it) {
                keys.push(Key {
                    relation: relation.name.clone(),
                    column,
                    order: if last.is_descending() {
                        Order::Desc
                    } else {
                        Order::Asc
                    },
                    // A column of a joined table is null where no row was joined.
                    never_null: is_base,
                });
            }
        }
    }
    Ok(keys)
}

impl<'c> Key<'c> {
    fn write(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) {
        if relations.is_qualified() {
            writer.quoted(&self.relation);
            writer.push(".");
        }
        writer.push(&self.column.sql);
    }

    fn write_value(&self, value: Option<&String>, writer: &mut Writer<'c>) -> Result<()> {
        writer.value(&value.cloned(), &self.column.name)?;
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
        self.write(writer, relations);
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
            self.write(writer, relations);
            writer.push(" is not null");
            return Ok(());
        }
        writer.push("(");
        self.write(writer, relations);
        writer.push(if self.order.is_descending() { " < " } else { " > " });
        self.write_value(value, writer)?;
        if nulls_follow {
            writer.push(" or ");
            self.write(writer, relations);
            writer.push(" is null");
        }
        writer.push(")");
        Ok(())
    }
}

/// What a cursor is good for.
fn mark(source: &Source<'_>, order: &[(Node<'_>, Order)]) -> [u8; 8] {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    };
    put(source.client.as_uuid().as_bytes());
    put(source.table.as_bytes());
    for (node, order) in order {
        if let Node::Column(name) = node {
            put(name.as_bytes());
        }
        put(order.sql().as_bytes());
    }
    let mut mark = [0; 8];
    mark.copy_from_slice(&hash.finalize()[..8]);
    mark
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::ClientId;

    fn source(client: u128) -> Source<'static> {
        Source::new(ClientId::from(uuid::Uuid::from_u128(client)), "agents".into())
    }

    fn order() -> [(Node<'static>, Order); 1] {
        [(Node::Column("name".into()), Order::Desc)]
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back(
            backwards: bool,
            beside in prop::collection::vec(prop::option::of(".{0,20}"), 0..4),
        ) {
            let position = Position { backwards, beside: Some(beside) };
            let cursor = position.cursor(&source(1), &order());
            prop_assert_eq!(Position::read(&cursor, &source(1), &order()).unwrap(), position);
            prop_assert!(Position::read(&cursor, &source(2), &order()).is_err());
            prop_assert!(Position::read(&cursor, &source(1), &[]).is_err());
        }

        #[test]
        fn anything_else_is_an_error(text in ".{0,80}") {
            prop_assert!(Position::read(&Cursor::new(text), &source(1), &order()).is_err());
        }

        #[test]
        fn a_damaged_one_never_panics(at in 0..60_usize, byte: u8, cut in 0..60_usize) {
            let beside = Some(vec![Some("a text of some length".to_owned()), None]);
            let cursor = Position { backwards: false, beside }.cursor(&source(1), &order());
            let mut bytes = URL_SAFE_NO_PAD.decode(cursor.as_str()).unwrap();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = Position::read(&Cursor(URL_SAFE_NO_PAD.encode(bytes)), &source(1), &order());
        }
    }
}
