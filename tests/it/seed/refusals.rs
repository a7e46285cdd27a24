//! What is wrong with a data set is said with its place, and nothing is written.
#![expect(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "a table of what is refused, each made where it stands"
)]

use serde_json::{Value, json};
use tenantry::{DataSet, SeedError};

use super::{Outcome, Stage, bot, set, to, why};
use crate::sql::one;

/// Why the text is no data set.
#[track_caller]
fn unread(json: &Value) -> String {
    match why(DataSet::from_json("set.json", &json.to_string())) {
        SeedError::Document { at, reason } => format!("{at}: {reason}"),
        other => other.to_string(),
    }
}

fn each(table: &str, key: &[&str], rows: Value) -> Value {
    json!({ "each_client": [{ "table": table, "key": key, "rows": rows }] })
}

#[test]
fn what_is_no_data_set_is_refused_with_its_place() {
    for (json, told) in [
        (json!({ "client": [] }), "client: unknown field `client`"),
        (
            json!({ "clients": [{ "slug": "acme", "name": "Acme" }] }),
            "clients[0]: missing field `tier`",
        ),
        (
            json!({ "clients": [{ "slug": "Acme", "name": "Acme", "tier": "t" }] }),
            "clients[0].slug: \"Acme\" is not a client slug",
        ),
        (
            json!({ "of_client": { "Acme": [] } }),
            "of_client.Acme: \"Acme\" is not a client slug",
        ),
        (
            each("tools", &["slug"], json!([1])),
            "each_client[0].rows[0]: invalid type: integer `1`",
        ),
        (
            each("tools", &[], json!([])),
            "each_client[0]: the rows of tools have no key",
        ),
        (
            each("tools", &["slug", "slug"], json!([])),
            "each_client[0]: the key of tools names a column twice",
        ),
        (
            each("tools", &["slug"], json!([{ "slug": "a" }, { "name": "b" }])),
            "each_client[0].rows[1]: tools.slug is missing, and is part of the key",
        ),
        (
            each("tools", &["slug"], json!([{ "slug": null }])),
            "each_client[0].rows[0]: tools.slug is null, and is part of the key",
        ),
        (
            each(
                "users",
                &["hash"],
                json!([{ "hash": { "$secret": "A", "as": "argon2" } }]),
            ),
            "each_client[0].rows[0]: users.hash is made of a secret",
        ),
        (
            each(
                "tools",
                &["slug"],
                json!([{ "slug": "a", "settings": { "of": { "$secret": "A" } } }]),
            ),
            "each_client[0].rows[0].settings: $secret stands inside a value",
        ),
        (
            each(
                "tools",
                &["slug"],
                json!([{ "slug": "a", "parent_id": { "$ref": { "table": "tools", "key": {} } } }]),
            ),
            "each_client[0].rows[0]: the reference to tools has no key",
        ),
        (
            each(
                "tools",
                &["slug"],
                json!([{ "slug": "a", "endpoint": "1" }, { "endpoint": "2", "slug": "a" }]),
            ),
            "set.json: each_client[0].rows[1]: the row of tools with the key (slug=\"a\") is described at set.json: each_client[0].rows[0] already",
        ),
    ] {
        let error = unread(&json);
        assert!(error.starts_with(told), "{error}\n{told}");
    }
    let twice = DataSet::from_json(
        "set.json",
        r#"{"shared": [{"table": "a", "key": ["b"], "rows": [{"b": 1, "b": 2}]}]}"#,
    );
    assert!(why(twice).to_string().contains("b is named twice"));
    let more = DataSet::from_json("set.json", "{} {}");
    assert!(why(more).to_string().contains("trailing characters"));
}

#[test]
fn no_data_set_names_a_client_id() {
    let id = "00000000-0000-0000-0000-000000000001";
    for json in [
        each("tools", &["slug"], json!([{ "slug": "a", "client_id": id }])),
        each("tools", &["client_id", "slug"], json!([])),
        each(
            "tools",
            &["slug"],
            json!([{ "slug": "a", "parent_id": { "$ref": { "table": "tools", "key": { "client_id": id, "slug": "a" } } } }]),
        ),
        each(
            "tools",
            &["slug"],
            json!([{ "slug": "a", "parent_id": { "$ref": { "table": "tools", "key": { "slug": "a" }, "column": "client_id" } } }]),
        ),
        each(
            "tools",
            &["slug"],
            json!([{ "slug": "a", "parent_id": { "$ref": { "table": "links", "key": {
            "tool": { "$ref": { "table": "tools", "key": { "client_id": id } } } } } } }]),
        ),
        json!({ "shared": [{ "table": "models", "key": ["slug"], "rows": [{ "slug": "a", "client_id": id }] }] }),
    ] {
        let error = unread(&json);
        assert!(error.contains("names client_id, which is never given"), "{error}");
    }
}

#[tokio::test]
async fn what_does_not_go_with_the_tables_is_refused_with_its_place_and_nothing_is_written() -> Outcome {
    let stage = Stage::with_all().await;
    stage
        .seed()
        .data(set(&bot(&["acme", "vast", "olden"])))
        .apply()
        .await?;
    let at = "set.json: each_client[0].rows[0]";
    for (table, key, row, told) in [
        (
            "tool",
            "slug",
            json!({ "slug": "a" }),
            format!("{at}: no table tool (the nearest is tools)"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "endpont": "b" }),
            format!("{at}: table public.tools has no column endpont (the nearest is endpoint)"),
        ),
        (
            "tools",
            "endpoint",
            json!({ "endpoint": "a", "slug": "a" }),
            format!("{at}: table public.tools: no unique key is over (endpoint)"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": 7 }),
            format!("{at}: public.tools.slug is text, and the value is not"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "endpoint": ["b"] }),
            format!("{at}: public.tools.endpoint is text, and the value is not"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "share": "much" }),
            format!("{at}: public.tools.share is "),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "seen": "yesterday, all my troubles" }),
            format!("{at}: public.tools.seen is timestamp with time zone, and the value is not"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "notes": "more than eight" }),
            format!("{at}: public.tools.notes is character varying(8), and the value is not"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "parent_id": "no uuid" }),
            format!("{at}: public.tools.parent_id is uuid, and the value is not"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "parent_id": to("tools", "nobody") }),
            format!("{at}: table public.tools has no row (slug=\"nobody\")"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "parent_id": to("tool", "nobody") }),
            format!("{at}: no table tool (the nearest is tools)"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "parent_id": to("tools", "a") }),
            format!("in a circle refer to each other: {at}"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "parent_id": { "$ref": { "table": "tools", "key": { "endpoint": "a" } } } }),
            format!("{at}: table public.tools: no unique key is over (endpoint)"),
        ),
        (
            "tools",
            "slug",
            json!({ "slug": "a", "parent_id": { "$ref": { "table": "tools", "key": { "slug": "a" }, "column": "ids" } } }),
            format!("{at}: table public.tools has no column ids (the nearest is id)"),
        ),
    ] {
        let described = each(table, &[key], json!([row]));
        for client in ["acme", "vast", "olden"] {
            let mut described = described.clone();
            described["of_client"] = json!({ client: [] });
            let seed = stage.seed().data(set(&described));
            for refused in [seed.apply().await, seed.dry_run().await] {
                let error = why(refused).to_string();
                assert!(error.starts_with(&told), "{client}: {error}\n{told}");
            }
        }
    }
    for client in ["acme", "vast", "olden"] {
        let mut conn = stage.database(client).await;
        let tools: i64 = one(&mut conn, "select count(*) from tools").await;
        assert_eq!(tools, 3);
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn the_one_wrong_value_of_many_is_found() -> Outcome {
    let stage = Stage::with_acme().await;
    for wrong in [0, 1, 63, 64, 98, 99] {
        let rows: Vec<_> = (0..100)
            .map(|number| json!({ "slug": format!("t{number}"), "share": if number == wrong { 101 } else { 1 }, "price": 1 }))
            .collect();
        let mut described = each("tools", &["slug"], json!(rows));
        described["of_client"] = json!({ "acme": [] });
        match why(stage.seed().data(set(&described)).apply().await) {
            SeedError::WrongValue {
                at, column, expected, ..
            } => {
                assert_eq!(at, format!("set.json: each_client[0].rows[{wrong}]"));
                assert_eq!((column.as_str(), expected.as_str()), ("share", "percent"));
            }
            other => panic!("{other:?}"),
        }
    }
    let shared = json!({ "of_client": { "acme": [] }, "shared": [
        { "table": "providers", "key": ["slug"], "rows": [{ "slug": "north" }] },
        { "table": "models", "key": ["slug"], "rows": [
            { "slug": "large", "tokens": 1, "provider_id": to("providers", "north") },
            { "slug": "small", "tokens": "few", "provider_id": to("providers", "north") } ] } ] });
    let refused = why(stage.seed().data(set(&shared)).apply().await).to_string();
    assert!(
        refused.starts_with("set.json: shared[1].rows[1]: public.models.tokens is integer"),
        "{refused}"
    );
    let mut conn = stage.database("acme").await;
    assert_eq!(one::<i64>(&mut conn, "select count(*) from providers").await, 0);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_that_are_written_differently_and_are_one_to_the_database_are_refused() -> Outcome {
    let stage = Stage::with_acme().await;
    let users = |numbers: [Value; 2]| {
        let rows = numbers.map(|number| {
            let mut row = json!({ "email": format!("{number}@acme"), "role": "admin", "hash": "x" });
            row["number"] = number;
            row
        });
        let mut described = each("users", &["number"], json!(rows));
        described["of_client"] = json!({ "acme": [] });
        stage.seed().data(set(&described))
    };
    for one in [
        users([json!(1), json!("1")]).batch_rows(1),
        users([json!(1), json!(" 1 ")]),
    ] {
        for refused in [one.apply().await, one.dry_run().await] {
            let refused = why(refused);
            assert!(matches!(&refused, SeedError::NamedTwice { .. }), "{refused:?}");
        }
    }
    users([json!(1), json!("2")]).apply().await?;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn tables_that_refer_to_each_other_in_a_circle_are_refused_where_the_rows_do() -> Outcome {
    let stage = Stage::with_acme().await;
    let of = |left: Value, right: Value| {
        let described = json!({ "of_client": { "acme": [
            { "table": "lefts", "key": ["slug"], "rows": [left] },
            { "table": "rights", "key": ["slug"], "rows": [right] }
        ] } });
        stage.seed().data(set(&described))
    };
    let circle = of(
        json!({ "slug": "l", "right_id": to("rights", "r") }),
        json!({ "slug": "r", "left_id": to("lefts", "l") }),
    );
    match why(circle.apply().await) {
        SeedError::Circle { of } => assert_eq!(of, ["public.lefts", "public.rights"]),
        other => panic!("{other:?}"),
    }
    of(
        json!({ "slug": "l" }),
        json!({ "slug": "r", "left_id": to("lefts", "l") }),
    )
    .apply()
    .await?;
    of(
        json!({ "slug": "l", "right_id": to("rights", "r") }),
        json!({ "slug": "r" }),
    )
    .apply()
    .await?;
    let rows = json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": [
        { "slug": "a", "parent_id": to("tools", "b") }, { "slug": "b", "parent_id": to("tools", "a") }] }] } });
    assert!(matches!(
        why(stage.seed().data(set(&rows)).apply().await),
        SeedError::Circle { .. }
    ));
    stage.close().await;
    Ok(())
}
