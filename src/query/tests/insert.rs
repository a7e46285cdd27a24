//! Inserts: whose rows they add.

use proptest::prelude::*;

use super::sql::{Token, identifiers, name, places, tokens};
use super::{OWN, On, catalogue, catalogue_of, config, db, spelt, table};
use crate::error::Error;

/// The pieces between the parentheses, one list a pair.
fn lists(tokens: &[Token]) -> Vec<Vec<&Token>> {
    let mut lists = Vec::new();
    for token in tokens {
        match token {
            Token::Mark('(') => lists.push(Vec::new()),
            Token::Mark(_) => {}
            token => lists.last_mut().into_iter().for_each(|list| list.push(token)),
        }
        if *token == name("returning") {
            lists.last_mut().unwrap().pop();
            break;
        }
    }
    // `values` stands after the first list.
    if let Some(columns) = lists.first_mut() {
        columns.retain(|token| **token != name("values"));
    }
    lists
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_row_of_an_insert_is_its_clients_own(
        (table, columns) in table(),
        count in 1..6_usize,
        says_own: bool,
        with_set: bool,
        rows: bool,
        pool: bool,
    ) {
        let on = if pool { On::Pool } else { On::Dedicated };
        let catalogue = catalogue_of(&table, &columns);
        let spelling = catalogue.table(&table).unwrap();
        // For which column each value was bound, after the client. Every row gives its columns in another order.
        let mut bound: Vec<&str> = Vec::new();
        let mut query = db().insert(table.as_str());
        let turned = |row: usize| columns.iter().cycle().skip(row % columns.len()).take(columns.len());
        for _ in 0..count {
            // The first row says the order that all are spelt in.
            bound.extend(turned(0).map(String::as_str));
        }
        let first = usize::from(with_set);
        if with_set {
            for column in turned(0) {
                query = query.set(column, 1);
            }
            if says_own {
                query = query.set("client_id", OWN);
            }
        }
        query = query.rows(first..count, |values, row| {
            for column in turned(row) {
                values.set(column, 1);
            }
            if says_own {
                values.set("client_id", OWN.to_string());
            }
        });
        let spelt = spelt(query, &catalogue, on, rows).unwrap();
        let tokens = tokens(&spelt.sql);
        let scope = usize::from(pool);

        prop_assert_eq!(spelt.bound, scope + count * columns.len());
        let lists = lists(&tokens);
        prop_assert_eq!(lists.len(), 1 + count, "{}", spelt.sql);
        let head: Vec<Token> = lists[0].iter().copied().cloned().collect();
        let mut expected: Vec<Token> = columns.iter().map(|column| name(&spelling.column(column).unwrap().sql)).collect();
        if pool {
            expected.insert(0, name("client_id"));
        }
        prop_assert_eq!(&head, &expected, "{}", spelt.sql);
        for row in &lists[1..] {
            prop_assert_eq!(row.len(), head.len(), "{}", spelt.sql);
            for (token, column) in row.iter().zip(&head) {
                let Token::Place(place) = token else { panic!("{token:?} in {}", spelt.sql) };
                let meant = match place {
                    1 if pool => name("client_id"),
                    place => name(&spelling.column(bound[place - 1 - scope]).unwrap().sql),
                };
                prop_assert_eq!(&meant, column, "{}", spelt.sql);
            }
        }
        let mut named: Vec<usize> = places(&tokens).into_iter().filter(|place| *place > scope).collect();
        named.sort_unstable();
        prop_assert_eq!(named, (scope + 1..=spelt.bound).collect::<Vec<_>>(), "{}", spelt.sql);
        prop_assert_eq!(places(&tokens).into_iter().filter(|place| *place <= scope).count(), scope * count);
        let client_columns = tokens.iter().filter(|token| **token == name("client_id")).count();
        prop_assert_eq!(client_columns, scope, "{}", spelt.sql);
        let own_name = spelling.sql.strip_prefix("public.").unwrap();
        for identifier in identifiers(&tokens) {
            prop_assert!(
                identifier == own_name || columns.iter().any(|column| spelling.column(column).is_some_and(|column| column.sql == identifier)),
                "{} in {}", identifier, spelt.sql
            );
        }
    }

    #[test]
    fn rows_that_set_different_columns_are_refused(
        mut sizes in prop::collection::vec(0..4_usize, 1..4),
        more in 1..4_usize,
        pool: bool,
    ) {
        sizes.push((sizes[0] + more) % 4);
        let on = if pool { On::Pool } else { On::Dedicated };
        let query = db().insert("agents").rows(&sizes, |row, size| {
            for column in ["id", "slug", "name"].iter().take(*size) {
                row.set(*column, "x");
            }
        });
        let error = spelt(query, &catalogue(), on, false).unwrap_err();
        prop_assert!(
            matches!(error, Error::StatementRefused { reason, .. } if reason.contains("different columns")),
            "{error}"
        );
    }
}

#[test]
fn a_column_set_after_several_rows_were_added_is_refused() {
    let query = db()
        .insert("agents")
        .rows(["a", "b"], |row, slug| {
            row.set("slug", slug);
        })
        .set("name", "x");
    let error = spelt(query, &catalogue(), On::Pool, false).unwrap_err();
    assert!(
        matches!(error, Error::StatementRefused { reason, .. } if reason.contains("different columns")),
        "{error}"
    );
}

#[test]
fn an_insert_of_no_rows_is_refused() {
    let query = db().insert("agents").rows([""; 0], |row, slug| {
        row.set("slug", slug);
    });
    let error = spelt(query, &catalogue(), On::Pool, false).unwrap_err();
    assert!(
        matches!(
            error,
            Error::StatementRefused {
                reason: "it has no rows",
                ..
            }
        ),
        "{error}"
    );
}
