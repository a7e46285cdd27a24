use serde_json::json;

use super::super::{On, db, spelt};
use super::related;
use crate::query::Expr;

#[test]
fn upserts() {
    let insert = || db().insert("agents").set("slug", "a").set("name", "x");
    assert_eq!(
        each!(insert().on_conflict_do_nothing(["slug"]), false),
        [
            "insert into public.agents (client_id, slug, name) values ($1, $2, $3) \
             on conflict (client_id, slug) do nothing",
            "insert into public.agents (slug, name) values ($1, $2) on conflict (client_id, slug) do nothing",
        ]
    );
    assert_eq!(
        each!(
            insert()
                .on_conflict_update(["slug"], ["name", "version"])
                .returning(["id"])
        )[0],
        "insert into public.agents (client_id, slug, name) values ($1, $2, $3) on conflict (client_id, slug) \
         do update set name = excluded.name, version = excluded.version returning id"
    );
}

#[test]
fn rows_that_arrays_cannot_have() {
    let insert = || {
        db().insert("agents").rows([1, 2], |row, number| {
            if number == 1 {
                row.set("slug", "a").set("name", number);
            } else {
                row.set("slug", "b").set("name", "x");
            }
        })
    };
    assert_eq!(
        each!(insert(), false),
        [
            "insert into public.agents (client_id, slug, name) values ($1, $2, $3), ($1, $4, $5)",
            "insert into public.agents (slug, name) values ($1, $2), ($3, $4)",
        ]
    );
}

#[test]
fn records() {
    let insert = || {
        db().insert("agents").records([
            json!({ "slug": "a", "name": null }),
            json!({ "name": 1, "slug": "b" }),
        ])
    };
    assert_eq!(
        each!(insert().on_conflict_update(["slug"], ["name"]), false),
        [
            "insert into public.agents (client_id, name, slug) select $1, r.name, r.slug \
             from jsonb_to_recordset($2) as r(name text, slug text) \
             on conflict (client_id, slug) do update set name = excluded.name",
            "insert into public.agents (name, slug) select r.name, r.slug \
             from jsonb_to_recordset($1) as r(name text, slug text) \
             on conflict (client_id, slug) do update set name = excluded.name",
        ]
    );
    assert_eq!(
        each!(
            db().update("agents")
                .set("version", "2")
                .record(&json!({ "name": "x" }))
                .eq("id", "a"),
            false
        ),
        [
            "update public.agents set version = $1, (name) = (select r.name from jsonb_to_record($2) as r(name text)) \
             where client_id = $3 and id = $4",
            "update public.agents set version = $1, (name) = (select r.name from jsonb_to_record($2) as r(name text)) \
             where id = $3",
        ]
    );
}

#[test]
fn expressions() {
    assert_eq!(
        each!(
            db().update("agents")
                .set_expr("version", Expr::column("version").plus(1).minus(2).times(3))
                .set_expr("name", Expr::column("slug").lower().length())
                .eq("id", "a")
                .returning(["version"])
        )[0],
        "update public.agents set version = (((version + $1) - $2) * $3), name = length(lower(slug)) \
         where client_id = $4 and id = $5 returning version"
    );
}

#[test]
fn versions() {
    assert_eq!(
        each!(
            db().update("agents")
                .set("name", "x")
                .eq("id", "a")
                .expect_version("version", "7"),
            false
        ),
        [
            "update public.agents set name = $1, version = version + 1 \
             where client_id = $2 and id = $3 and version = $4",
            "update public.agents set name = $1, version = version + 1 where id = $2 and version = $3",
        ]
    );
    assert_eq!(
        each!(db().delete("agents").all().expect_version("version", "7"), false),
        [
            "delete from public.agents where client_id = $1 and version = $2",
            "delete from public.agents where version = $1",
        ]
    );
}

#[test]
fn a_statement_of_values_of_other_types_has_another_text_when_it_is_sent() {
    let sent = |query| {
        let query: crate::query::TenantQuery<'_, crate::query::Select<'_>> = query;
        let spelt = super::super::super::send::spell(
            &query.source,
            &query.verb,
            &related(),
            false,
            crate::query::verb::Shape::Count,
        );
        spelt.unwrap().sent().0
    };
    let own = sent(db().query("agents").eq("slug", "a"));
    assert_eq!(own, "select count(*) from public.agents where slug = $1");
    let texts = [
        own,
        sent(db().query("agents").eq("slug", 1_i64)),
        sent(db().query("agents").eq("slug", 1.0)),
        sent(db().query("agents").eq("slug", 1_i32)),
        sent(db().query("agents").is_in("slug", vec!["a".to_owned()])),
        sent(db().query("agents").is_in("slug", vec![1_i64])),
        sent(db().query("agents").is_in("slug", vec![1.0])),
        sent(
            db().query("agents")
                .raw(|sql| sql.push("slug = ").push_bind(1_i64)),
        ),
        sent(db().query("agents").raw(|sql| sql.push("slug = ").push_bind(1.0))),
    ];
    for (at, text) in texts.iter().enumerate() {
        assert!(!texts[..at].contains(text), "{text}");
        assert!(text.ends_with(" */") || !text.contains("/*"), "{text}");
    }
}
