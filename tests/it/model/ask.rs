//! How the builder is asked for conditions.

use tenantry::{Compare, Expr, Filtered, Pattern, TenantDb, TenantQuery};

use super::cell::{Cell, Kind, Native, of_element, of_kind};
use super::condition::{Like, Place, Relations, Sub, Test};
use super::schema::{KEY, Schema};

/// Adds conditions to a statement.
pub(super) fn ask<'t, V: Filtered>(
    query: TenantQuery<'t, V>,
    db: &TenantDb,
    tests: &[Test],
    relations: &Relations<'_>,
) -> TenantQuery<'t, V> {
    tests
        .iter()
        .fold(query, |query, test| ask_one(query, db, test, relations))
}

/// The kind that values for a column are bound as: a wider one where they do not fit.
fn fitting<'c>(kind: Kind, cells: impl IntoIterator<Item = &'c Cell>) -> Kind {
    let is_wide = |cell: &Cell| matches!(cell, Cell::Int(value) if i32::try_from(*value).is_err());
    if kind == Kind::Integer && cells.into_iter().any(is_wide) {
        Kind::BigInt
    } else {
        kind
    }
}

/// A bound value that may be null.
trait OfCell {
    fn of_cell(cell: &Cell) -> Self;
}

impl<T: Native> OfCell for Option<T> {
    fn of_cell(cell: &Cell) -> Self {
        T::of(cell)
    }
}

fn ask_one<'t, V: Filtered>(
    query: TenantQuery<'t, V>,
    db: &TenantDb,
    condition: &Test,
    relations: &Relations<'_>,
) -> TenantQuery<'t, V> {
    let name = |place: &Place| relations.name(*place);
    match condition {
        Test::Against(place, how, cell) => {
            let (name, kind) = (name(place), fitting(relations.kind(*place), [cell]));
            of_kind!(kind, T => {
                let value = <Option<T>>::of_cell(cell);
                match (how, value) {
                    (Compare::Eq, Some(value)) => query.eq(name, value),
                    (Compare::Eq, None) => query.eq(name, None::<T>),
                    (Compare::Ne, value) => query.ne(name, value),
                    (Compare::Lt, value) => query.lt(name, value),
                    (Compare::Le, value) => query.le(name, value),
                    (Compare::Gt, value) => query.gt(name, value),
                    (_, value) => query.ge(name, value),
                }
            })
        }
        Test::Places(place, how, other) => query.compare(name(place), *how, name(other)),
        Test::Between(place, low, high) => {
            let (name, kind) = (name(place), fitting(relations.kind(*place), [low, high]));
            of_kind!(kind, T => query.between(name, <Option<T>>::of_cell(low), <Option<T>>::of_cell(high)))
        }
        Test::IsIn(place, cells, is) => {
            let (name, kind) = (name(place), fitting(relations.kind(*place), cells));
            of_element!(kind, T => {
                let values: Vec<Option<T>> = cells.iter().map(OfCell::of_cell).collect();
                if *is { query.is_in(name, values) } else { query.is_not_in(name, values) }
            })
        }
        Test::IsNull(place, true) => query.is_null(name(place)),
        Test::IsNull(place, false) => query.is_not_null(name(place)),
        Test::Like(place, like, text, any_case) => {
            let pattern = match like {
                Like::Starts => Pattern::starting_with(text),
                Like::Ends => Pattern::ending_with(text),
                Like::Holds => Pattern::containing(text),
                Like::Sql => Pattern::of_sql(text.clone()),
            };
            if *any_case {
                query.ilike(name(place), pattern)
            } else {
                query.like(name(place), pattern)
            }
        }
        Test::Contains(place, cell) => {
            of_kind!(relations.kind(*place), T => query.contains(name(place), <Option<T>>::of_cell(cell)))
        }
        Test::ContainedIn(place, cell) => {
            of_kind!(relations.kind(*place), T => query.contained_in(name(place), <Option<T>>::of_cell(cell)))
        }
        Test::Overlaps(place, cell) => query.overlaps(name(place), <Option<Vec<String>>>::of_cell(cell)),
        Test::HasKey(place, key) => query.has_key(name(place), key.clone()),
        Test::JsonText(place, path, text) => {
            query.eq(Expr::json_text(name(place), path.clone()), text.clone())
        }
        Test::Lower(place, text) => query.eq(Expr::column(name(place)).lower(), text.clone()),
        Test::Length(place, how, length) => {
            query.compare(Expr::column(name(place)).length(), *how, Expr::value(*length))
        }
        Test::Or(place, or, how, against) => {
            let kind = fitting(relations.kind(*place), [or, against]);
            let left = of_kind!(kind, T => Expr::column(name(place)).or(<Option<T>>::of_cell(or)));
            query.compare(
                left,
                *how,
                of_kind!(kind, T => Expr::value(<Option<T>>::of_cell(against))),
            )
        }
        Test::Any(tests) => query.any_of(|group| ask(group, db, tests, relations)),
        Test::All(tests) => query.all_of(|group| ask(group, db, tests, relations)),
        Test::NoneOf(tests) => query.none_of(|group| ask(group, db, tests, relations)),
        Test::Within(place, sub, is) => {
            let inner = asked(db, sub, relations.schema);
            if *is {
                query.is_in_query(name(place), inner)
            } else {
                query.is_not_in_query(name(place), inner)
            }
        }
        Test::Has(related, is) => {
            let join = relations.join(&related.joined);
            let inner = Relations::of(relations.schema, related.joined.table);
            if *is {
                query.has(join, |group| ask(group, db, &related.tests, &inner))
            } else {
                query.has_no(join, |group| ask(group, db, &related.tests, &inner))
            }
        }
    }
}

/// A sub-query as the builder is asked for it.
fn asked<'t>(db: &TenantDb, sub: &Sub, schema: &Schema) -> TenantQuery<'t, tenantry::Select<'t>> {
    let relations = Relations::of(schema, sub.table);
    let name = |column| relations.name(Place { relation: 0, column });
    let query = db
        .query(schema.tables[sub.table].name.clone())
        .columns([name(sub.column)]);
    let query = ask(query, db, &sub.tests, &relations);
    match sub.limit {
        Some(limit) => query.order_by(name(KEY), tenantry::Order::Asc).limit(limit),
        None => query,
    }
}
