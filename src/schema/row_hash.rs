#![expect(clippy::disallowed_methods, reason = "asks a server how it hashes")]

use std::fmt;

use sqlx::PgConnection;

use super::binary_rows::{self, NoRows};

/// The hash that a server computes of rows, as [`ContentHash`](super::ContentHash) has it, of rows on their way:
/// the sum of what `hash_record_extended` answers for the binary form of their fields, with a seed of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowHash {
    sum: i128,
}

impl RowHash {
    /// Whether that server hashes as this does; one whose numbers have their highest byte first does not.
    pub(crate) async fn is_that_of(conn: &mut PgConnection) -> sqlx::Result<bool> {
        let sample = "select pg_catalog.hash_record_extended(
            row('of more bytes than are mixed at once'::pg_catalog.bytea, null::pg_catalog.bytea, '\\x'::pg_catalog.bytea), 0)";
        let there: i64 = sqlx::query_scalar(sample).fetch_one(conn).await?;
        let fields = [
            Some(b"of more bytes than are mixed at once".as_slice()),
            None,
            Some(b""),
        ];
        Ok(there == of_fields(fields))
    }

    /// Adds whole rows.
    pub(crate) fn add(&mut self, rows: &[u8], fields: i16) -> Result<(), NoRows> {
        binary_rows::for_each(rows, fields, |fields| {
            self.sum += i128::from(of_fields(fields.iter().copied()));
        })
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.fmt(f)
    }
}

/// `hash_record_extended` of a row of `bytea`.
fn of_fields<'a>(fields: impl IntoIterator<Item = Option<&'a [u8]>>) -> i64 {
    fields
        .into_iter()
        .map(|field| field.map_or(0, of_bytes))
        .fold(0_u64, |hash, field| hash.wrapping_mul(31).wrapping_add(field))
        .cast_signed()
}

/// `hashbyteaextended`: Jenkins' lookup3, as PostgreSQL has it.
fn of_bytes(bytes: &[u8]) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a field is shorter than a gibibyte"
    )]
    let start = 0x9e37_79b9_u32
        .wrapping_add(bytes.len() as u32)
        .wrapping_add(3_923_095);
    let mut state = [start; 3];
    let (blocks, rest) = bytes.as_chunks();
    for block in blocks {
        state = mixed(added(state, words(block)));
    }
    let mut last = [0; 12];
    last[..rest.len()].copy_from_slice(rest);
    let [first, second, third] = words(&last);
    // The lowest byte of the last word is the length's.
    let [high, low] = finished(added(state, [first, second, third << 8]));
    u64::from(high) << 32 | u64::from(low)
}

fn words(block: &[u8; 12]) -> [u32; 3] {
    let (words, _) = block.as_chunks();
    [0, 1, 2].map(|at| u32::from_le_bytes(words[at]))
}

const fn added([a, b, c]: [u32; 3], [first, second, third]: [u32; 3]) -> [u32; 3] {
    [
        a.wrapping_add(first),
        b.wrapping_add(second),
        c.wrapping_add(third),
    ]
}

const fn mixed([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

const fn finished([mut a, mut b, mut c]: [u32; 3]) -> [u32; 2] {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    [b, c]
}
