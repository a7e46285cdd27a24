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

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL answers to `select hash_record_extended(row(substr('\x000102..1f'::bytea, 1, n)), 0)`.
    const BY_LENGTH: [(usize, i64); 15] = [
        (0, -6_939_563_903_564_495_251),
        (1, -4_194_760_714_999_882_651),
        (3, -8_337_159_150_737_471_306),
        (4, 1_398_229_737_608_282_635),
        (5, 6_337_427_694_993_076_522),
        (7, 1_842_562_459_961_707_140),
        (8, 4_646_862_414_158_011_804),
        (9, -5_331_920_357_031_723_859),
        (11, -5_508_356_841_497_088_037),
        (12, -4_011_551_736_052_134_804),
        (13, 4_734_898_044_692_404_888),
        (23, 1_709_535_909_688_034_376),
        (24, -6_092_754_882_180_216_172),
        (25, 955_279_495_678_954_521),
        (32, -5_765_268_673_833_643_265),
    ];

    #[test]
    fn rows_hash_as_postgresql_says() {
        let bytes: Vec<u8> = (0..32).collect();
        for (length, hash) in BY_LENGTH {
            assert_eq!(of_fields([Some(&bytes[..length])]), hash, "{length}");
        }
        let fields = [Some(b"ab".as_slice()), None, Some(b"")];
        assert_eq!(of_fields(fields), 4_205_900_197_732_567_786);
        let fields = [Some(b"\xff\xff\x80".as_slice()), None, None];
        assert_eq!(of_fields(fields), 3_560_548_187_445_132_047);
    }

    #[test]
    fn the_hash_of_rows_is_the_sum_of_theirs() {
        // Of `row('\xff'::bytea || n::text::bytea)` for n from 1 to 50.
        let mut rows = Vec::new();
        for n in 1..=50 {
            let text = n.to_string();
            rows.extend([0, 1, 0, 0, 0, u8::try_from(text.len() + 1).unwrap(), 0xff]);
            rows.extend(text.as_bytes());
        }
        let mut hash = RowHash::default();
        let (first, second) = rows.split_at(8);
        hash.add(first, 1).unwrap();
        hash.add(second, 1).unwrap();
        assert_eq!(hash.to_string(), "-17538213983737453769");
        assert_eq!(hash.add(&rows[..rows.len() - 1], 1), Err(NoRows));
        assert_eq!(hash.add(&rows, 2), Err(NoRows));
    }
}
