//! Values of columns: made at random, bound, compared and read back.

use std::cmp::Ordering;

use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Column as _, FromRow, Row as _, TypeInfo as _, ValueRef as _};
use uuid::Uuid;

use super::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    BigInt,
    Text,
    Bool,
    Uuid,
    Time,
    Double,
    Json,
    Texts,
}

#[derive(Clone, Debug)]
pub(super) enum Cell {
    Null,
    /// Of both kinds of integers.
    Int(i64),
    Text(String),
    Bool(bool),
    Uuid(Uuid),
    /// Microseconds since 1970.
    Time(i64),
    Double(f64),
    Json(Value),
    Texts(Vec<String>),
}

pub(super) const KINDS: [Kind; 9] = [
    Kind::Integer,
    Kind::BigInt,
    Kind::Text,
    Kind::Bool,
    Kind::Uuid,
    Kind::Time,
    Kind::Double,
    Kind::Json,
    Kind::Texts,
];

/// Few, so that rows have the same.
pub(super) const TEXTS: [&str; 18] = [
    "", "a", "A", "b", "B", "ab", "aB", "a%b", "a_b", r"a\b", "é", "É", "日本", "🦀", "o'neil", " a", "null",
    "{\"}",
];

impl Kind {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Text => "text",
            Self::Bool => "boolean",
            Self::Uuid => "uuid",
            Self::Time => "timestamptz",
            Self::Double => "double precision",
            Self::Json => "jsonb",
            Self::Texts => "text[]",
        }
    }

    /// Rust orders texts by their bytes, and so does this collation.
    pub(super) const fn collation(self) -> &'static str {
        match self {
            Self::Text | Self::Texts => " collate \"C\"",
            _ => "",
        }
    }

    /// Whether the model knows the order of its values.
    pub(super) fn is_ordered(self) -> bool {
        self != Self::Json
    }

    /// Whether arrays of it can be bound.
    pub(super) fn is_element(self) -> bool {
        self != Self::Texts
    }

    pub(super) fn value(self, random: &mut Random) -> Cell {
        match self {
            Self::Integer if random.chance(5) => Cell::Int(i64::from(*random.pick(&[i32::MIN, i32::MAX]))),
            Self::BigInt if random.chance(10) => Cell::Int(*random.pick(&[i64::MIN, i64::MAX])),
            Self::Integer | Self::BigInt => Cell::Int(small(random) - 2),
            Self::Text => Cell::Text((*random.pick(&TEXTS)).to_owned()),
            Self::Bool => Cell::Bool(random.chance(50)),
            Self::Uuid => Cell::Uuid(Uuid::from_u128(u128::from(random.next() % 6))),
            Self::Time => Cell::Time((small(random) - 3) * 1_500_000_000_001),
            Self::Double => Cell::Double(*random.pick(&[
                -1.5,
                0.0,
                0.1,
                0.1 + 0.2,
                2.0,
                1e300,
                5e-324,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ])),
            Self::Json => Cell::Json(document(random)),
            Self::Texts => Cell::Texts(random.some(3, |random| (*random.pick(&TEXTS)).to_owned())),
        }
    }
}

fn small(random: &mut Random) -> i64 {
    i64::try_from(random.below(7)).unwrap_or_default()
}

fn document(random: &mut Random) -> Value {
    let leaf = |random: &mut Random| match random.below(5) {
        0 => Value::Null,
        1 => json!(random.chance(50)),
        2 => json!(small(random)),
        _ => json!(*random.pick(&TEXTS)),
    };
    match random.below(8) {
        0 => leaf(random),
        1 => Value::Array(random.some(3, leaf)),
        _ => {
            let mut object = serde_json::Map::new();
            for key in ["a", "b", "k é"] {
                if random.chance(60) {
                    let value = match random.below(4) {
                        0 => Value::Array(random.some(3, leaf)),
                        1 => json!({ "k": leaf(random) }),
                        _ => leaf(random),
                    };
                    object.insert(key.to_owned(), value);
                }
            }
            Value::Object(object)
        }
    }
}

impl Cell {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// How it compares; of JSON, whether it is equal. Nothing compares with null.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Null, _) | (_, Self::Null) => return None,
            (Self::Int(one), Self::Int(other)) | (Self::Time(one), Self::Time(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Uuid(one), Self::Uuid(other)) => one.cmp(other),
            (Self::Texts(one), Self::Texts(other)) => one.cmp(other),
            // NaN is equal to itself and greater than all others.
            (Self::Double(one), Self::Double(other)) => one
                .partial_cmp(other)
                .unwrap_or_else(|| one.is_nan().cmp(&other.is_nan())),
            (Self::Json(one), Self::Json(other)) if one == other => Ordering::Equal,
            _ => Ordering::Less,
        })
    }

    /// Whether both are the same, nulls included.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match self.compare(other) {
            Some(ordering) => ordering == Ordering::Equal,
            None => self.is_null() && other.is_null(),
        }
    }

    /// As SQL spells it.
    pub(super) fn literal(&self, kind: Kind) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        match self {
            Self::Null => "null".to_owned(),
            Self::Int(value) => format!("'{value}'::{}", kind.sql()),
            Self::Text(value) => quoted(value),
            Self::Bool(value) => value.to_string(),
            Self::Uuid(value) => format!("'{value}'"),
            Self::Time(value) => format!("('epoch'::timestamptz + '{value} microseconds'::interval)"),
            Self::Double(value) if value.is_nan() => "'NaN'::double precision".to_owned(),
            Self::Double(value) if value.is_infinite() => {
                format!(
                    "'{}Infinity'::double precision",
                    if *value < 0.0 { "-" } else { "" }
                )
            }
            Self::Double(value) => format!("'{value:e}'::double precision"),
            Self::Json(value) => format!("{}::jsonb", quoted(&value.to_string())),
            Self::Texts(values) => {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("array[{}]::text[]", values.join(", "))
            }
        }
    }
}

/// A type of Rust's that is bound for a kind of columns.
pub(super) trait Native: Sized {
    fn of(cell: &Cell) -> Option<Self>;
}

macro_rules! native {
    ($($type:ty, $cell:pat => $value:expr;)+) => {
        $(impl Native for $type {
            fn of(cell: &Cell) -> Option<Self> {
                match cell {
                    $cell => $value,
                    _ => None,
                }
            }
        })+
    };
}

native! {
    i32, Cell::Int(value) => i32::try_from(*value).ok();
    i64, Cell::Int(value) => Some(*value);
    String, Cell::Text(value) => Some(value.clone());
    bool, Cell::Bool(value) => Some(*value);
    Uuid, Cell::Uuid(value) => Some(*value);
    DateTime<Utc>, Cell::Time(value) => DateTime::from_timestamp_micros(*value);
    f64, Cell::Double(value) => Some(*value);
    Value, Cell::Json(value) => Some(value.clone());
    Vec<String>, Cell::Texts(value) => Some(value.clone());
}

/// An expression for the type that is bound for a kind of columns whose values can be in arrays.
macro_rules! of_element {
    ($kind:expr, $type:ident => $call:expr) => {
        match $kind {
            Kind::Integer => {
                type $type = i32;
                $call
            }
            Kind::BigInt => {
                type $type = i64;
                $call
            }
            Kind::Text | Kind::Texts => {
                type $type = String;
                $call
            }
            Kind::Bool => {
                type $type = bool;
                $call
            }
            Kind::Uuid => {
                type $type = uuid::Uuid;
                $call
            }
            Kind::Time => {
                type $type = sqlx::types::chrono::DateTime<sqlx::types::chrono::Utc>;
                $call
            }
            Kind::Double => {
                type $type = f64;
                $call
            }
            Kind::Json => {
                type $type = serde_json::Value;
                $call
            }
        }
    };
}

/// The same for any kind.
macro_rules! of_kind {
    ($kind:expr, $type:ident => $call:expr) => {
        match $kind {
            Kind::Texts => {
                type $type = Vec<String>;
                $call
            }
            kind => $crate::model::cell::of_element!(kind, $type => $call),
        }
    };
}
pub(super) use {of_element, of_kind};

/// A row as it came, without the place of its page.
#[derive(Clone, Debug)]
pub(super) struct Fetched(pub(super) Vec<Cell>);

impl<'r> FromRow<'r, PgRow> for Fetched {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let mut cells = Vec::with_capacity(row.len());
        for (at, column) in row.columns().iter().enumerate() {
            if column.name() == "tenantry.key" {
                continue;
            }
            if row.try_get_raw(at)?.is_null() {
                cells.push(Cell::Null);
                continue;
            }
            cells.push(match column.type_info().name() {
                "INT4" => Cell::Int(row.try_get::<i32, _>(at)?.into()),
                "INT8" => Cell::Int(row.try_get(at)?),
                "TEXT" => Cell::Text(row.try_get(at)?),
                "BOOL" => Cell::Bool(row.try_get(at)?),
                "UUID" => Cell::Uuid(row.try_get(at)?),
                "TIMESTAMPTZ" => Cell::Time(row.try_get::<DateTime<Utc>, _>(at)?.timestamp_micros()),
                "FLOAT8" => Cell::Double(row.try_get(at)?),
                "JSONB" => Cell::Json(row.try_get(at)?),
                "TEXT[]" => Cell::Texts(row.try_get(at)?),
                other => return Err(sqlx::Error::Decode(other.to_owned().into())),
            });
        }
        Ok(Self(cells))
    }
}

/// Rows as text: NaN is equal to itself there.
pub(super) fn spelt(rows: &[Vec<Cell>]) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}")).collect()
}
