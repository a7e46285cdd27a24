//! Reads, updates and deletes: whose rows they meet.

use proptest::prelude::*;
use proptest::sample::Index;

use super::sql::{Token, conditions, identifiers, name, places, tokens};
use super::{OWN, On, Spelt, catalogue, catalogue_of, config, db, spelt, table};
use crate::error::Error;
use crate::query::{Filtered, Join, Order, Pattern, TenantQuery};
use crate::schema::Catalogue;

/// A call on a query that has conditions. An index chooses a column.
#[derive(Clone, Debug)]
enum Call {
    Compare(Index, u8),
    IsIn(Index),
    IsNull(Index, bool),
    OwnClient,
}

/// A call on a query that reads.
#[derive(Clone, Debug)]
enum Shape {
    Columns(Vec<Index>),
    OrderBy(Index, bool),
    Limit,
    Offset,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (any::<Index>(), 0..6_u8).prop_map(|(column, how)| Call::Compare(column, how)),
        1 => any::<Index>().prop_map(Call::IsIn),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(column, is)| Call::IsNull(column, is)),
        1 => Just(Call::OwnClient),
    ]
}

/// At most one limit and one offset, anywhere among the rest.
fn shape() -> impl Strategy<Value = Vec<Shape>> {
    let order = (any::<Index>(), any::<bool>()).prop_map(|(column, desc)| Shape::OrderBy(column, desc));
    let columns = prop::collection::vec(any::<Index>(), 1..4).prop_map(Shape::Columns);
    (
        prop::collection::vec(order, 0..3),
        prop::option::of(columns),
        prop::option::of(Just(Shape::Limit)),
        prop::option::of(Just(Shape::Offset)),
    )
        .prop_map(|(order, columns, limit, offset)| {
            order
                .into_iter()
                .chain(columns)
                .chain(limit)
                .chain(offset)
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

fn on() -> impl Strategy<Value = On> {
    prop_oneof![Just(On::Pool), Just(On::Dedicated)]
}

/// Makes the call, and notes for which column a value was bound.
fn make<'t, V: Filtered>(
    query: TenantQuery<'t, V>,
    call: &Call,
    columns: &'t [String],
    bound: &mut Vec<&'t str>,
) -> TenantQuery<'t, V> {
    match call {
        Call::OwnClient => query.eq("client_id", OWN),
        Call::Compare(column, how) => {
            let column = column.get(columns).as_str();
            bound.push(column);
            match how {
                0 => query.eq(column, 1),
                1 => query.ne(column, "a"),
                2 => query.lt(column, 1),
                3 => query.le(column, None::<i64>),
                4 => query.gt(column, true),
                _ => query.ge(column, OWN),
            }
        }
        Call::IsIn(column) => {
            let column = column.get(columns).as_str();
            bound.push(column);
            query.is_in(column, vec![1, 2])
        }
        Call::IsNull(column, true) => query.is_null(column.get(columns)),
        Call::IsNull(column, false) => query.is_not_null(column.get(columns)),
    }
}

/// What holds of every statement with conditions.
fn check(spelt: &Spelt, on: On, catalogue: &Catalogue, table: &str, bound: &[&str], calls: &[Call]) {
    let Spelt { sql, bound: values } = spelt;
    let table = catalogue.table(table).unwrap();
    let tokens = tokens(sql);

    let conditions = conditions(&tokens);
    let own = [name("client_id"), Token::Mark('=')];
    let asked = calls
        .iter()
        .filter(|call| !matches!(call, Call::OwnClient))
        .count();
    let scope = usize::from(on == On::Pool);
    assert_eq!(conditions.len(), asked + scope, "{sql}");
    assert_eq!(
        conditions
            .iter()
            .filter(|condition| condition[..2] == own && condition.len() == 3)
            .count(),
        scope,
        "{sql}"
    );
    assert_eq!(
        tokens.iter().filter(|token| **token == name("client_id")).count(),
        scope,
        "{sql}"
    );

    // Every value is named once, the client's where the scope is spelt; each beside its own column.
    assert_eq!(*values, bound.len() + scope, "{sql}");
    let mut named = places(&tokens);
    named.sort_unstable();
    assert_eq!(named, (1..=*values).collect::<Vec<_>>(), "{sql}");
    // An update gives columns their values before it says whose.
    let own = tokens.windows(3).find(|three| three[..2] == own[..2]);
    let client = own.map(|three| places(three)[0]);
    for (at, token) in tokens.iter().enumerate() {
        if let Token::Place(place) = token
            && client != Some(*place)
        {
            let before = client.is_some_and(|client| client < *place);
            let column = bound[place - 1 - usize::from(before)];
            let beside = tokens[..at].iter().rev().find(|token| match token {
                Token::Name(name) => name != "any",
                _ => false,
            });
            let expected = table.column(column).map_or(column, |column| &column.sql);
            assert_eq!(beside, Some(&name(expected)), "${place} of {sql}");
        }
    }

    // Beside its own words it spells nothing but what the catalogue does.
    let own_name = table.sql.strip_prefix("public.").unwrap();
    let columns: Vec<_> = table
        .column_names()
        .filter_map(|column| Some(table.column(column)?.sql.as_str()))
        .collect();
    for identifier in identifiers(&tokens) {
        assert!(
            identifier == own_name || columns.contains(&identifier),
            "{identifier} in {sql}"
        );
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_read_meets_the_rows_of_its_client_alone(
        (table, columns) in table(),
        calls in prop::collection::vec(call(), 0..5),
        shape in shape(),
        rows: bool,
        on in on(),
    ) {
        let catalogue = catalogue_of(&table, &columns);
        let mut bound = Vec::new();
        let mut query = db().query(table.as_str());
        for step in &shape {
            query = match step {
                Shape::Columns(shown) => query.columns(shown.iter().map(|column| column.get(&columns))),
                Shape::OrderBy(column, desc) => {
                    query.order_by(column.get(&columns), if *desc { Order::Desc } else { Order::Asc })
                }
                // A count names neither.
                Shape::Limit | Shape::Offset if !rows => query,
                Shape::Limit => query.limit(7),
                Shape::Offset => query.offset(7),
            };
        }
        for call in &calls {
            query = make(query, call, &columns, &mut bound);
        }
        // They stand at the end, whenever they were said.
        for (last, name) in [(Shape::Limit, "limit"), (Shape::Offset, "offset")] {
            let said = |step: &Shape| std::mem::discriminant(step) == std::mem::discriminant(&last);
            if rows && shape.iter().any(said) {
                bound.push(name);
            }
        }
        check(&spelt(query, &catalogue, on, rows).unwrap(), on, &catalogue, &table, &bound, &calls);
    }

    #[test]
    fn an_update_changes_the_rows_of_its_client_alone(
        (table, columns) in table(),
        calls in prop::collection::vec(call(), 0..5),
        sets in prop::collection::vec(any::<Index>(), 1..4),
        shown in prop::collection::vec(any::<Index>(), 0..3),
        set_first: bool,
        rows: bool,
        on in on(),
    ) {
        let catalogue = catalogue_of(&table, &columns);
        let mut bound = Vec::new();
        let mut query = db()
            .update(table.as_str())
            .all()
            .returning(shown.iter().map(|column| column.get(&columns)))
            .set("client_id", OWN);
        let mut asked = Vec::new();
        for turn in [set_first, !set_first] {
            for column in sets.iter().filter(|_| turn) {
                let column = column.get(&columns);
                bound.push(column.as_str());
                query = query.set(column, 1);
            }
            for call in calls.iter().filter(|_| !turn) {
                query = make(query, call, &columns, &mut asked);
            }
        }
        bound.extend(asked);
        check(&spelt(query, &catalogue, on, rows).unwrap(), on, &catalogue, &table, &bound, &calls);
    }

    #[test]
    fn a_delete_removes_the_rows_of_its_client_alone(
        (table, columns) in table(),
        calls in prop::collection::vec(call(), 0..5),
        rows: bool,
        on in on(),
    ) {
        let catalogue = catalogue_of(&table, &columns);
        let mut bound = Vec::new();
        let mut query = db().delete(table.as_str()).all();
        for call in &calls {
            query = make(query, call, &columns, &mut bound);
        }
        check(&spelt(query, &catalogue, on, rows).unwrap(), on, &catalogue, &table, &bound, &calls);
    }

    #[test]
    fn a_write_without_a_condition_is_refused_unless_all_rows_are_meant(
        own_clients in 0..3_usize,
        rows: bool,
        on in on(),
    ) {
        // The scope is no condition.
        let mut update = db().update("agents").set("name", "x");
        let mut delete = db().delete("agents");
        for _ in 0..own_clients {
            update = update.eq("client_id", OWN);
            delete = delete.eq("client_id", OWN);
        }
        for error in [
            spelt(update, &catalogue(), on, rows).unwrap_err(),
            spelt(delete, &catalogue(), on, rows).unwrap_err(),
        ] {
            prop_assert!(
                matches!(error, Error::StatementRefused { reason, .. } if reason.contains(".all()")),
                "{error}"
            );
        }
    }
}

/// Conditions that name other tables, or join others.
#[derive(Clone, Debug)]
enum Nested {
    Plain,
    Between,
    NotIn,
    Like,
    Any(Vec<Nested>),
    NoneOf(Vec<Nested>),
    Within(Vec<Nested>, bool),
    Has(Vec<Nested>, bool),
}

fn nested() -> impl Strategy<Value = Nested> {
    let leaf = prop_oneof![
        Just(Nested::Plain),
        Just(Nested::Between),
        Just(Nested::NotIn),
        Just(Nested::Like)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            list().prop_map(Nested::Any),
            list().prop_map(Nested::NoneOf),
            (list(), any::<bool>()).prop_map(|(list, is)| Nested::Within(list, is)),
            (list(), any::<bool>()).prop_map(|(list, is)| Nested::Has(list, is)),
        ]
    })
}

/// Adds the conditions, and notes how often a table of a client is named.
fn nest<'t, V: Filtered>(
    query: TenantQuery<'t, V>,
    (table, column): (&'t str, &'t str),
    list: &[Nested],
    named: &mut usize,
) -> TenantQuery<'t, V> {
    list.iter().fold(query, |query, nested| match nested {
        Nested::Plain => query.eq(column, 1),
        Nested::Between => query.between(column, 1, 2),
        Nested::NotIn => query.is_not_in(column, vec![1]),
        Nested::Like => query.like(column, Pattern::containing("client_id")),
        Nested::Any(list) => query.any_of(|group| nest(group, (table, column), list, named)),
        Nested::NoneOf(list) => query.none_of(|group| nest(group, (table, column), list, named)),
        Nested::Within(list, is) => {
            *named += 1;
            let inner = nest(db().query(table).columns([column]), (table, column), list, named);
            if *is {
                query.is_in_query(column, inner)
            } else {
                query.is_not_in_query(column, inner)
            }
        }
        Nested::Has(list, is) => {
            *named += 1;
            let join = Join::inner(table).on(column, column);
            if *is {
                query.has(join, |group| nest(group, (table, column), list, named))
            } else {
                query.has_no(join, |group| nest(group, (table, column), list, named))
            }
        }
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_scope_is_on_a_table_as_often_as_it_is_named(
        // A dot in it would part an alias from a column.
        (table, columns) in table().prop_filter("no dots", |(table, columns)| {
            !table.contains('.') && columns.iter().all(|column| !column.contains('.'))
        }),
        list in prop::collection::vec(nested(), 0..4),
        joins in 0..3_usize,
        outer: bool,
        rows: bool,
    ) {
        let catalogue = catalogue_of(&table, &columns);
        let column = columns[0].as_str();
        let mut named = 1 + joins;
        let mut query = db().query(table.as_str());
        for at in 0..joins {
            let join = if outer { Join::left(table.as_str()) } else { Join::inner(table.as_str()) };
            query = query.join(join.alias(format!("tenantry {at}")).on(column, column));
        }
        let query = nest(query, (&table, column), &list, &mut named);
        let Spelt { sql, .. } = spelt(query, &catalogue, On::Pool, rows).unwrap();
        let tokens = tokens(&sql);
        let scope = [name("client_id"), Token::Mark('='), Token::Place(1)];
        // The client has the first place: no value comes before the first scope.
        let scopes = tokens.windows(3).filter(|three| **three == scope).count();
        let from = &catalogue.table(&table).unwrap().sql;
        let own = from.strip_prefix("public.").unwrap();
        let named_in = tokens.windows(3).filter(|three| {
            **three == [name("public"), Token::Mark('.'), name(own)]
        });
        prop_assert_eq!(named_in.count(), named, "{}", sql);
        prop_assert_eq!(scopes, named, "{}", sql);
        prop_assert_eq!(tokens.iter().filter(|token| **token == name("client_id")).count(), named, "{}", sql);
    }
}
