//! Cursors that nobody gave out, and values that are none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tenantry::{Compare, Cursor, Error};

use super::cell::{Cell, Kind};
use super::condition::{COMPARISONS, Like, Place, Relations, Test};
use super::question::{Form, Question, Shape};
use super::random::Random;
use super::schema::{KEY, Schema};

const MARKS: [char; 20] = [
    '\'', '"', '\0', '%', '_', '\\', '🦀', '$', '1', ';', '-', ' ', 'a', 'A', '\n', '\u{202e}', 'ß', 'İ',
    '{', '}',
];

/// Values that a forged cursor names.
const FORGED: [&str; 12] = [
    "",
    "1",
    "-1",
    "null",
    "1' or true --",
    "99999999999999999999",
    "{{{{{{{{1}}}}}}}}",
    "{\"a",
    "2026-13-45",
    "NaN",
    "\0",
    "[2147483647:2147483647]={1}",
];

pub(super) fn text(random: &mut Random) -> String {
    random
        .some(6, |random| *random.pick(&MARKS))
        .into_iter()
        .collect()
}

/// A cursor made of a real one, or of nothing.
pub(super) fn cursor(random: &mut Random, real: &Cursor) -> Cursor {
    let mut bytes = URL_SAFE_NO_PAD.decode(real.as_str()).unwrap_or_default();
    match random.below(6) {
        0 => return Cursor::new(text(random)),
        1 => {
            bytes = random.some(60, |random| random.next().to_le_bytes()[0]);
        }
        2 => {
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        3 => bytes.truncate(random.below(bytes.len())),
        _ => {
            // The way, the mark, and values of its own.
            bytes.truncate(9);
            for _ in 0..=random.below(3) {
                if random.chance(20) {
                    bytes.extend(u32::MAX.to_be_bytes());
                    continue;
                }
                let value = *random.pick(&FORGED);
                bytes.extend(u32::try_from(value.len()).unwrap_or_default().to_be_bytes());
                bytes.extend(value.bytes());
            }
        }
    }
    Cursor::new(URL_SAFE_NO_PAD.encode(bytes))
}

fn value(random: &mut Random, kind: Kind) -> Cell {
    match kind {
        Kind::Integer | Kind::BigInt => {
            Cell::Int(*random.pick(&[i64::MIN, i64::MAX, i64::from(i32::MIN) - 1, 1 << 31, 0, -1]))
        }
        Kind::Text => Cell::Text(text(random)),
        Kind::Double => Cell::Double(*random.pick(&[
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            f64::MAX,
            f64::MIN_POSITIVE,
        ])),
        // From before there were people to after the end of what the database has.
        Kind::Time => Cell::Time(*random.pick(&[0, -210_866_803_200_000_000, 8_210_266_876_799_999_999])),
        Kind::Json => Cell::Json(match random.below(3) {
            0 => json!(text(random)),
            1 => json!({ text(random): text(random) }),
            _ => json!([text(random), null, 9_007_199_254_740_993_i64]),
        }),
        Kind::Texts => Cell::Texts(random.some(3, text)),
        kind => kind.value(random),
    }
}

/// A question with one condition on such a value.
pub(super) fn question(random: &mut Random, schema: &Schema) -> Question {
    let table = random.below(schema.tables.len());
    let relations = Relations::of(schema, table);
    let test = loop {
        let Some(place) = relations.place(random, |_| true) else {
            continue;
        };
        let kind = relations.kind(place);
        break match (random.below(5), kind) {
            (0, Kind::Text) => {
                let like = *random.pick(&[Like::Starts, Like::Ends, Like::Holds, Like::Sql]);
                Test::Like(place, like, text(random), random.chance(50))
            }
            (0, Kind::Json) => Test::HasKey(place, text(random)),
            (1, Kind::Json) => Test::JsonText(place, random.some(2, text), text(random)),
            (0 | 1, Kind::Texts) | (2, Kind::Json) => Test::Contains(place, value(random, kind)),
            (2, Kind::Texts) => Test::Overlaps(place, value(random, kind)),
            (2 | 3, kind) if kind.is_element() => Test::IsIn(
                place,
                random.some(3, |random| value(random, kind)),
                random.chance(50),
            ),
            (_, Kind::Json) => Test::Against(place, Compare::Eq, value(random, kind)),
            (4, kind) => Test::Between(place, value(random, kind), value(random, kind)),
            (_, kind) => Test::Against(place, *random.pick(&COMPARISONS[..6]), value(random, kind)),
        };
    };
    Question {
        table,
        joins: Vec::new(),
        tests: vec![test],
        form: Form::Rows(Shape {
            columns: vec![Place {
                relation: 0,
                column: KEY,
            }],
            distinct: false,
            order: Vec::new(),
            limit: None,
            offset: None,
            counts: false,
        }),
    }
}

/// Whether a value of the question is one that the database does not take: text with a NUL, a time that it
/// does not have, a pattern whose backslash takes the meaning from nothing.
pub(super) fn may_be_refused(question: &Question, error: &Error) -> bool {
    let code = error.sqlstate();
    let asked = format!("{:?}", question.tests);
    match code.as_deref() {
        Some("22021" | "22P05") => asked.contains("\\0") || asked.contains("\\u0000"),
        Some("22025") => asked.contains("Sql"),
        Some("22008") => asked.contains("8210266876799999999"),
        _ => false,
    }
}
