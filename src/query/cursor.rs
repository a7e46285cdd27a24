use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::expr::Node;
use super::order::Order;
use super::source::Source;
use crate::error::{Error, Result};

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
