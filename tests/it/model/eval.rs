//! What conditions make of a row, in the three values of SQL.

use std::cmp::Ordering;

use tenantry::Compare;

use super::cell::Cell;
use super::condition::{Joined, Like, Place, Related, Relations, Sub, Test};
use super::json::{json_contains, json_has_key, json_text};
use super::schema::{KEY, Rows};

/// True, false, or neither.
type Truth = Option<bool>;

/// A row of each relation of a query; none where an outer join found none.
pub(super) type Tuple<'r> = Vec<Option<&'r Vec<Cell>>>;

pub(super) fn cell<'r>(tuple: &Tuple<'r>, place: Place) -> &'r Cell {
    tuple[place.relation].map_or(&Cell::Null, |row| &row[place.column])
}

/// All tuples that joins make of the rows of a table.
pub(super) fn joined<'r>(rows: &'r Rows, table: usize, joins: &[Joined]) -> Vec<Tuple<'r>> {
    let mut tuples: Vec<Tuple<'r>> = rows[table].iter().map(|row| vec![Some(row)]).collect();
    for join in joins {
        let mut next = Vec::new();
        for tuple in tuples {
            let found: Vec<_> = connected(rows, join, &tuple).collect();
            if found.is_empty() && join.is_outer {
                next.push([&tuple[..], &[None]].concat());
            }
            next.extend(found.into_iter().map(|row| [&tuple[..], &[Some(row)]].concat()));
        }
        tuples = next;
    }
    tuples
}

fn connected<'r>(
    rows: &'r Rows,
    join: &Joined,
    tuple: &Tuple<'r>,
) -> impl Iterator<Item = &'r Vec<Cell>> + use<'r> {
    let (near, column) = (cell(tuple, join.near), join.column);
    rows[join.table]
        .iter()
        .filter(move |row| row[column].compare(near) == Some(Ordering::Equal))
}

/// Whether all conditions hold.
pub(super) fn meets(tests: &[Test], tuple: &Tuple<'_>, rows: &Rows) -> bool {
    all(tests, tuple, rows) == Some(true)
}

fn all(tests: &[Test], tuple: &Tuple<'_>, rows: &Rows) -> Truth {
    and(tests
        .iter()
        .filter(|test| !is_nothing(test))
        .map(|test| truth(test, tuple, rows)))
}

fn any(tests: &[Test], tuple: &Tuple<'_>, rows: &Rows) -> Truth {
    or(tests
        .iter()
        .filter(|test| !is_nothing(test))
        .map(|test| truth(test, tuple, rows)))
}

/// Whether it is a group without a condition, which the builder leaves out.
fn is_nothing(test: &Test) -> bool {
    match test {
        Test::All(tests) | Test::NoneOf(tests) => tests.iter().all(is_nothing),
        _ => false,
    }
}

fn and(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut all = Some(true);
    for truth in truths {
        match truth {
            Some(false) => return truth,
            Some(true) => {}
            None => all = None,
        }
    }
    all
}

fn or(truths: impl Iterator<Item = Truth>) -> Truth {
    not(and(truths.map(not)))
}

fn not(truth: Truth) -> Truth {
    truth.map(|truth| !truth)
}

pub(super) fn compares(one: &Cell, how: Compare, other: &Cell) -> Truth {
    match how {
        Compare::Same => return Some(one.is_same(other)),
        Compare::Differs => return Some(!one.is_same(other)),
        _ => {}
    }
    let ordering = one.compare(other)?;
    Some(match how {
        Compare::Eq => ordering.is_eq(),
        Compare::Ne => ordering.is_ne(),
        Compare::Lt => ordering.is_lt(),
        Compare::Le => ordering.is_le(),
        Compare::Gt => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

fn truth(condition: &Test, tuple: &Tuple<'_>, rows: &Rows) -> Truth {
    let of = |place: &Place| cell(tuple, *place);
    match condition {
        Test::Against(place, how, value) => compares(of(place), *how, value),
        Test::Places(place, how, other) => compares(of(place), *how, of(other)),
        Test::Between(place, low, high) => and([
            compares(of(place), Compare::Ge, low),
            compares(of(place), Compare::Le, high),
        ]
        .into_iter()),
        Test::IsIn(place, values, is) => {
            let found = or(values.iter().map(|value| compares(of(place), Compare::Eq, value)));
            if *is { found } else { not(found) }
        }
        Test::IsNull(place, is) => Some(of(place).is_null() == *is),
        Test::Like(place, like, text, any_case) => {
            let Cell::Text(found) = of(place) else { return None };
            let (mut found, mut text) = (found.clone(), text.clone());
            if *any_case {
                found.make_ascii_lowercase();
                text.make_ascii_lowercase();
            }
            Some(match like {
                Like::Starts => found.starts_with(&text),
                Like::Ends => found.ends_with(&text),
                Like::Holds => found.contains(&text),
                Like::Sql => is_like(
                    &found.chars().collect::<Vec<_>>(),
                    &text.chars().collect::<Vec<_>>(),
                ),
            })
        }
        Test::Contains(place, value) => contains(of(place), value),
        Test::ContainedIn(place, value) => contains(value, of(place)),
        Test::Overlaps(place, value) => match (of(place), value) {
            (Cell::Texts(one), Cell::Texts(other)) => Some(one.iter().any(|text| other.contains(text))),
            _ => None,
        },
        Test::HasKey(place, key) => match of(place) {
            Cell::Json(value) => Some(json_has_key(value, key)),
            _ => None,
        },
        Test::JsonText(place, path, text) => match of(place) {
            Cell::Json(value) => json_text(value, path).map(|found| found == *text),
            _ => None,
        },
        Test::Lower(place, text) => match of(place) {
            Cell::Text(found) => Some(found.to_ascii_lowercase() == *text),
            _ => None,
        },
        Test::Length(place, how, length) => match of(place) {
            Cell::Text(found) => {
                let found = i64::try_from(found.chars().count()).unwrap_or_default();
                compares(&Cell::Int(found), *how, &Cell::Int(*length))
            }
            _ => None,
        },
        Test::Or(place, or, how, against) => {
            let found = of(place);
            compares(if found.is_null() { or } else { found }, *how, against)
        }
        Test::Any(tests) => any(tests, tuple, rows),
        Test::All(tests) => all(tests, tuple, rows),
        Test::NoneOf(tests) => not(any(tests, tuple, rows)),
        Test::Within(place, sub, true) => within(of(place), sub, rows),
        // Nulls equal nothing, and that is never unknown.
        Test::Within(place, sub, false) => {
            let found = values(sub, rows);
            Some(!(found.iter()).any(|value| value.compare(of(place)) == Some(Ordering::Equal)))
        }
        Test::Has(related, is) => Some(has(related, tuple, rows) == *is),
    }
}

fn contains(one: &Cell, other: &Cell) -> Truth {
    match (one, other) {
        (Cell::Json(one), Cell::Json(other)) => Some(json_contains(one, other)),
        (Cell::Texts(one), Cell::Texts(other)) => Some(other.iter().all(|text| one.contains(text))),
        _ => None,
    }
}

fn within(of: &Cell, sub: &Sub, rows: &Rows) -> Truth {
    or(values(sub, rows)
        .into_iter()
        .map(|value| compares(of, Compare::Eq, value)))
}

fn values<'r>(sub: &Sub, rows: &'r Rows) -> Vec<&'r Cell> {
    let mut found: Vec<&Vec<Cell>> = (rows[sub.table].iter())
        .filter(|row| meets(&sub.tests, &vec![Some(*row)], rows))
        .collect();
    if let Some(limit) = sub.limit {
        found.sort_by(|one, other| one[KEY].compare(&other[KEY]).unwrap_or(Ordering::Equal));
        found.truncate(limit.try_into().unwrap_or(usize::MAX));
    }
    found.into_iter().map(|row| &row[sub.column]).collect()
}

fn has(related: &Related, tuple: &Tuple<'_>, rows: &Rows) -> bool {
    connected(rows, &related.joined, tuple).any(|row| meets(&related.tests, &vec![Some(row)], rows))
}

/// As LIKE matches: `%` is any text, `_` any character, a backslash takes the meaning from what follows it.
pub(super) fn is_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|at| is_like(&text[at..], rest)),
        ['_', rest @ ..] => !text.is_empty() && is_like(&text[1..], rest),
        ['\\', first, rest @ ..] | [first, rest @ ..] => {
            text.first() == Some(first) && is_like(&text[1..], rest)
        }
    }
}

/// That a name is spelt as the model's: what the caller sees of a tuple.
pub(super) fn shown(tuple: &Tuple<'_>, columns: &[Place]) -> Vec<Cell> {
    columns.iter().map(|place| cell(tuple, *place).clone()).collect()
}

/// The relations of a query with joins.
pub(super) fn relations<'s>(
    schema: &'s super::schema::Schema,
    table: usize,
    joins: &[Joined],
) -> Relations<'s> {
    let mut relations = Relations::of(schema, table);
    relations
        .list
        .extend(joins.iter().map(|join| (join.table, join.alias.clone())));
    relations
}
