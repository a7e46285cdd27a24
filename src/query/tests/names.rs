//! Names that a caller gives: what the catalogue does not know is never spelt, and the scope is not theirs to set.

use proptest::prelude::*;
use uuid::Uuid;

use super::{OWN, On, catalogue, config, db, spelt};
use crate::error::{Error, MaybeClient, Result};
use crate::query::send::spell;
use crate::query::verb::Shape;
use crate::query::{Bind, Order};
use crate::schema::CLIENT_COLUMN;

/// Anything: unicode, NUL, quotes and statements, very long.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => any::<String>(),
        6 => "[a-zA-Z_\"'`;,. $()=\\-\\\\\\x00\\n/*]{0,30}",
        4 => "[agentsmodlicr_.]{1,9}",
        1 => "[a-z]{2000,9000}",
        2 => prop::sample::select(vec![
            "agents; drop table agents", "agents where true or client_id = client_id --", "\"agents\"",
            "public.agents.id", "Agents", "agents ", "client_id", "CLIENT_ID", "\"client_id\"", "id, client_id",
            "*", "1", "$1", "", "agents\0", "pg_catalog.pg_authid", "tenantry.placement", "information_schema.tables",
        ]).prop_map(str::to_owned),
    ]
}

const COLUMNS: [&str; 4] = ["id", "slug", "name", "Odd \"one\""];

/// Every way to name a column of agents, spelt.
fn every_position(column: &str) -> Vec<(&'static str, Result<String>)> {
    let (db, catalogue) = (db(), catalogue());
    macro_rules! on_pool {
        ($query:expr, $rows:literal) => {
            spelt($query, &catalogue, On::Pool, $rows).map(|spelt| spelt.sql)
        };
    }
    vec![
        ("ne", on_pool!(db.query("agents").ne(column, 1), true)),
        (
            "lt",
            on_pool!(db.query("agents").eq("id", 1).lt(column, 1), false),
        ),
        ("is_in", on_pool!(db.query("agents").is_in(column, vec![1]), true)),
        ("is_null", on_pool!(db.delete("agents").is_null(column), false)),
        (
            "is_not_null",
            on_pool!(db.update("agents").set("name", 1).is_not_null(column), false),
        ),
        (
            "columns",
            on_pool!(db.query("agents").columns(["id", column]), true),
        ),
        (
            "order_by",
            on_pool!(db.query("agents").order_by(column, Order::Desc), true),
        ),
        (
            "returning",
            on_pool!(db.insert("agents").set("name", 1).returning([column]), true),
        ),
        (
            "returning of update",
            on_pool!(db.update("agents").set("name", 1).all().returning([column]), true),
        ),
        (
            "returning of delete",
            on_pool!(db.delete("agents").all().returning([column]), true),
        ),
    ]
}

/// The ways to give a column a value, or its value in an equality.
fn every_value(column: &str) -> Vec<(&'static str, Result<String>)> {
    let (db, catalogue) = (db(), catalogue());
    macro_rules! on_pool {
        ($query:expr) => {
            spelt($query, &catalogue, On::Pool, false).map(|spelt| spelt.sql)
        };
    }
    vec![
        ("eq", on_pool!(db.query("agents").eq(column, "x"))),
        (
            "eq of update",
            on_pool!(db.update("agents").set("name", 1).eq("id", 1).eq(column, "x")),
        ),
        ("eq of delete", on_pool!(db.delete("agents").eq(column, "x"))),
        ("set of insert", on_pool!(db.insert("agents").set(column, "x"))),
        (
            "rows",
            on_pool!(db.insert("agents").rows([1, 2], |row, _| {
                row.set(column, "x");
            })),
        ),
        (
            "set of update",
            on_pool!(db.update("agents").set(column, "x").all()),
        ),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_table_that_the_catalogue_does_not_know_is_never_spelt(given in anything(), pool: bool) {
        let on = if pool { On::Pool } else { On::Dedicated };
        let catalogue = catalogue();
        prop_assume!(catalogue.table(&given).is_none());
        for error in [
            spelt(db().query(given.as_str()), &catalogue, on, true).unwrap_err(),
            spelt(db().insert(given.as_str()).set("id", 1), &catalogue, on, true).unwrap_err(),
            spelt(db().update(given.as_str()).set("id", 1).all(), &catalogue, on, false).unwrap_err(),
            spelt(db().delete(given.as_str()).all(), &catalogue, on, false).unwrap_err(),
        ] {
            prop_assert!(matches!(&error, Error::UnknownTable { table, .. } if *table == given), "{error:?}");
        }
    }

    #[test]
    fn a_column_that_the_catalogue_does_not_know_is_never_spelt(given in anything()) {
        let hidden = given == CLIENT_COLUMN;
        prop_assume!(!COLUMNS.contains(&given.as_str()));
        for (position, result) in every_position(&given) {
            match result.unwrap_err() {
                Error::UnknownColumn { column, .. } if !hidden => prop_assert_eq!(column, &*given),
                Error::StatementRefused { .. } if hidden => {}
                error => panic!("{position}: {error:?}"),
            }
        }
        for (position, result) in every_value(&given) {
            match result.unwrap_err() {
                Error::UnknownColumn { column, .. } if !hidden => prop_assert_eq!(column, &*given),
                Error::ForeignClient { given: MaybeClient(None), .. } if hidden => {}
                error => panic!("{position}: {error:?}"),
            }
        }
    }

    #[test]
    fn another_clients_id_is_refused_wherever_it_is_given(id: u128, as_text: bool, second: bool) {
        let id = Uuid::from_u128(id);
        prop_assume!(id != OWN);
        let refused = match (as_text, second) {
            (false, false) => given(id, [id, OWN]),
            (false, true) => given(id, [OWN, id]),
            (true, false) => given(id.to_string(), [id, OWN].map(|id| id.to_string())),
            (true, true) => given(id.to_string(), [OWN, id].map(|id| id.to_string())),
        };
        for (position, error) in refused {
            prop_assert!(
                matches!(&error, Error::ForeignClient { given: MaybeClient(Some(given)), .. } if *given == id),
                "{position}: {error:?}"
            );
        }
    }
}

/// The errors of giving another client's id in every position, alone or beside the own one.
fn given<T: Bind<'static> + Clone>(other: T, both: [T; 2]) -> Vec<(&'static str, Error)> {
    let (db, catalogue) = (db(), catalogue());
    let [first, second] = both.clone();
    macro_rules! refused {
        ($query:expr, $on:expr) => {
            spelt($query, &catalogue, $on, false).unwrap_err()
        };
    }
    let agents = || db.query("agents");
    let update = || db.update("agents").set("name", 1).all();
    let insert = || db.insert("agents").set("name", 1);
    vec![
        ("eq", refused!(agents().eq("client_id", other.clone()), On::Pool)),
        (
            "eq twice",
            refused!(agents().eq("client_id", first).eq("client_id", second), On::Pool),
        ),
        (
            "set of update",
            refused!(update().set("client_id", other.clone()), On::Pool),
        ),
        (
            "set of update, dedicated",
            refused!(update().set("client_id", other.clone()), On::Dedicated),
        ),
        (
            "eq of update",
            refused!(update().eq("client_id", other.clone()), On::Pool),
        ),
        (
            "eq of delete",
            refused!(db.delete("agents").eq("client_id", other.clone()), On::Dedicated),
        ),
        (
            "set of insert",
            refused!(insert().set("client_id", other), On::Pool),
        ),
        (
            "rows",
            refused!(
                insert().rows(both, |row, client| {
                    row.set("client_id", client).set("name", 1);
                }),
                On::Pool
            ),
        ),
    ]
}

#[test]
fn names_that_the_catalogue_knows_are_spelt_in_every_position() {
    for column in COLUMNS {
        for (position, result) in every_position(column).into_iter().chain(every_value(column)) {
            // The same column twice is the database's to refuse.
            let sql = result.unwrap_or_else(|error| panic!("{position}: {error}"));
            let spelling = if column.contains('"') {
                "\"Odd \"\"one\"\"\""
            } else {
                column
            };
            assert!(sql.contains(spelling), "{position}: {sql}");
        }
    }
}

#[test]
fn what_is_no_id_of_a_client_is_refused_as_one() {
    let (db, catalogue) = (db(), catalogue());
    for query in [
        db.query("agents").eq("client_id", "acme"),
        db.query("agents").eq("client_id", 7),
        db.query("agents").eq("client_id", None::<Uuid>),
        db.query("agents").eq("client_id", OWN.as_bytes().as_slice()),
        db.query("agents").eq("client_id", vec![OWN]),
    ] {
        let error = spelt(query, &catalogue, On::Pool, true).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ForeignClient {
                    given: MaybeClient(None),
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn the_clients_own_id_changes_nothing() {
    let (db, catalogue) = (db(), catalogue());
    for (with, without) in [
        (db.query("agents").eq("client_id", OWN), db.query("agents")),
        (
            db.query("agents").eq("client_id", Some(OWN.to_string())),
            db.query("agents"),
        ),
        (
            db.query("agents")
                .eq("id", 1)
                .eq("client_id", crate::ClientId::from(OWN)),
            db.query("agents").eq("id", 1),
        ),
    ] {
        let with = spelt(with, &catalogue, On::Pool, true).unwrap();
        let without = spelt(without, &catalogue, On::Pool, true).unwrap();
        assert_eq!((with.sql, with.bound), (without.sql, without.bound));
    }
}

#[test]
fn tables_without_a_client_are_read_where_they_are_shared_and_refused_on_a_pool_else() {
    let (db, catalogue) = (db(), catalogue());
    let shared = |on| spelt(db.query("models"), &catalogue, on, true).unwrap().sql;
    assert_eq!(shared(On::Pool), "select id, provider from public.models");
    assert_eq!(shared(On::Dedicated), "select id, provider from public.models");
    let plain = |on| spelt(db.query("notes"), &catalogue, on, true).map(|spelt| spelt.sql);
    assert_eq!(plain(On::Dedicated).unwrap(), "select id, text from public.notes");
    assert!(matches!(plain(On::Pool), Err(Error::StatementRefused { .. })));
    for on in [On::Pool, On::Dedicated] {
        for error in [
            spelt(db.insert("models").set("id", 1), &catalogue, on, false).unwrap_err(),
            spelt(db.update("models").set("id", 1).all(), &catalogue, on, false).unwrap_err(),
            spelt(db.delete("models").all(), &catalogue, on, false).unwrap_err(),
        ] {
            assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_value_that_cannot_be_encoded_names_its_column() {
    #[derive(Clone)]
    struct Broken;
    impl sqlx::Type<sqlx::Postgres> for Broken {
        fn type_info() -> sqlx::postgres::PgTypeInfo {
            <i32 as sqlx::Type<sqlx::Postgres>>::type_info()
        }
    }
    impl sqlx::Encode<'_, sqlx::Postgres> for Broken {
        fn encode_by_ref(
            &self,
            _: &mut sqlx::postgres::PgArgumentBuffer,
        ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
            Err("broken".into())
        }
    }
    let error = spelt(
        db().query("agents").eq("slug", "x").eq("name", Broken),
        &catalogue(),
        On::Pool,
        true,
    )
    .unwrap_err();
    assert!(
        matches!(&error, Error::Encode { column, .. } if column == "name"),
        "{error:?}"
    );
    let error = spelt(
        db().query("agents").eq("client_id", Broken),
        &catalogue(),
        On::Pool,
        true,
    )
    .unwrap_err();
    assert!(
        matches!(
            error,
            Error::ForeignClient {
                given: MaybeClient(None),
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_table_of_a_sub_query_that_the_catalogue_does_not_know_is_told_as_any_other() {
    let query = db().query("agents").is_in_query("id", db().query("agent"));
    let error = spelt(query, &catalogue(), On::Pool, true).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownTable { nearest_name: Some(near), .. } if near == "agents"),
        "{error:?}"
    );
}

#[test]
fn a_statement_of_another_reading_of_the_catalogue_or_of_other_types_is_another_statement() {
    let mut read_again = catalogue();
    read_again.generation = 1;
    let sent = |catalogue: &crate::schema::Catalogue, number: bool| {
        let query = db().query("agents").columns(["id"]);
        let query = if number {
            query.eq("slug", 1)
        } else {
            query.eq("slug", "a")
        };
        spell(&query.source, &query.verb, catalogue, false, Shape::Rows)
            .unwrap()
            .sent()
            .0
    };
    let sql = "select id from public.agents where slug = $1";
    // Of the column's own type, as nearly every value is.
    assert_eq!(sent(&catalogue(), false), sql);
    assert_eq!(sent(&catalogue(), true), format!("{sql} /* 1:23 */"));
    assert_eq!(sent(&read_again, false), format!("{sql} /* 1 */"));
    assert_eq!(sent(&read_again, true), format!("{sql} /* 1 1:23 */"));
}
