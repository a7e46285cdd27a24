use super::super::{On, db, spelt};
use super::related;
use crate::query::{Compare, Expr, Join, Pattern, TextSearch};

#[test]
fn ranges_and_lists() {
    assert_eq!(
        each!(
            db().query("agents")
                .columns(["id"])
                .between("name", "a", "b")
                .is_in("id", vec!["a".to_owned()])
                .is_not_in("id", vec!["b".to_owned()])
                .is_not_null("name")
                .compare("name", Compare::Differs, "slug")
        ),
        [
            "select id from public.agents where client_id = $1 and name between $2 and $3 and id = any ($4) \
             and id <> all ($5) and name is not null and name is distinct from slug",
            "select id from public.agents where name between $1 and $2 and id = any ($3) \
             and id <> all ($4) and name is not null and name is distinct from slug",
        ]
    );
}

#[test]
fn what_texts_arrays_and_json_hold() {
    assert_eq!(
        each!(
            db().query("agents")
                .columns(["id"])
                .like("name", Pattern::starting_with("50%"))
                .ilike("name", Pattern::containing("x"))
                .contains("name", "x")
                .contained_in("name", "x")
                .overlaps("name", "x")
                .has_key("name", "x")
                .eq(Expr::json_text("name", ["a", "b"]), "x")
                .eq(Expr::json("name", ["a"]), "x")
        )[1],
        "select id from public.agents where name like $1 and name ilike $2 and name @> $3 and name <@ $4 \
         and name && $5 and name ? $6 and (name #>> $7) = $8 and (name #> $9) = $10"
    );
}

#[test]
fn words() {
    assert_eq!(
        each!(
            db().query("agents")
                .columns(["id"])
                .matches("name", TextSearch::web("x"))
                .matches("name", TextSearch::words("x").language("english"))
                .matches(
                    Expr::column("name").lower(),
                    TextSearch::phrase("x").language("pg_catalog.simple")
                )
        )[0],
        "select id from public.agents where client_id = $1 and to_tsvector(name) @@ websearch_to_tsquery($2) \
         and to_tsvector('english', name) @@ plainto_tsquery('english', $3) \
         and to_tsvector('pg_catalog.simple', lower(name)) @@ phraseto_tsquery('pg_catalog.simple', $4)"
    );
}

#[test]
fn groups_of_conditions() {
    assert_eq!(
        each!(
            db().query("agents")
                .columns(["id"])
                .any_of(|any| any
                    .eq("id", "a")
                    .all_of(|all| all.gt("name", "b").is_null("slug")))
                .none_of(|none| none.eq("id", "c").eq("id", "d"))
                .any_of(|any| any)
                .all_of(|all| all)
        ),
        [
            "select id from public.agents where client_id = $1 and (id = $2 or (name > $3 and slug is null)) \
             and not (id = $4 or id = $5) and (false)",
            "select id from public.agents where (id = $1 or (name > $2 and slug is null)) \
             and not (id = $3 or id = $4) and (false)",
        ]
    );
}

#[test]
fn sql_of_the_hosts_own() {
    assert_eq!(
        each!(
            db().query("agents")
                .columns([Expr::raw(|sql| sql.push("length(name)"))])
                .raw(|sql| sql.push("name > ").push_bind("a").push(" or true"))
                .eq("id", "x")
        ),
        [
            "select (length(name)) from public.agents where client_id = $1 and (name > $2 or true) and id = $3",
            "select (length(name)) from public.agents where (name > $1 or true) and id = $2",
        ]
    );
}

#[test]
fn sub_queries() {
    let notes = || db().query("notes").columns(["subject"]).eq("text", "x");
    assert_eq!(
        each!(db().query("agents").columns(["id"]).is_in_query("id", notes())),
        [
            "select id from public.agents where client_id = $1 \
             and id in (select subject from public.notes where client_id = $1 and text = $2)",
            "select id from public.agents where id in (select subject from public.notes where text = $1)",
        ]
    );
    assert_eq!(
        each!(db().delete("agents").is_not_in_query("id", notes()), false),
        [
            "delete from public.agents where client_id = $1 and not (coalesce(id in (select found from \
             (select subject from public.notes where client_id = $1 and text = $2) as found (found) \
             where found is not null), false))",
            "delete from public.agents where not (coalesce(id in (select found from \
             (select subject from public.notes where text = $1) as found (found) \
             where found is not null), false))",
        ]
    );
}

#[test]
fn related_rows() {
    let led = || Join::inner("talks").by("agent_id");
    assert_eq!(
        each!(
            db().query("agents")
                .columns(["id"])
                .has(led(), |talk| talk.eq("title", "x"))
        ),
        [
            "select id from public.agents where client_id = $1 and exists (select from public.talks as \"related_1\" \
             where \"related_1\".client_id = $1 and \"related_1\".agent_id = \"agents\".id and \"related_1\".title = $2)",
            "select id from public.agents where exists (select from public.talks as \"related_1\" \
             where \"related_1\".client_id = \"agents\".client_id and \"related_1\".agent_id = \"agents\".id \
             and \"related_1\".title = $1)",
        ]
    );
    assert_eq!(
        each!(
            db().update("agents")
                .set("name", "x")
                .has_no(led(), |talk| talk.has("tags", |tag| tag.is_null("id"))),
            false
        )[0],
        "update public.agents set name = $1 where client_id = $2 and not exists (select from public.talks as \
         \"related_1\" where \"related_1\".client_id = $2 and \"related_1\".agent_id = \"agents\".id and exists \
         (select from public.tags as \"related_2\" where \"related_2\".client_id = $2 \
         and \"related_2\".talk_id = \"related_1\".id and \"related_2\".id is null))"
    );
}

#[test]
fn a_value_of_a_fragment_is_no_part_of_a_word() {
    assert_eq!(
        each!(db().query("agents").columns(["id"]).raw(|sql| {
            sql.push("name || x")
                .push_bind("a")
                .push("0 = '' and b")
                .push_bind("c")
        }))[1],
        "select id from public.agents where (name || x $1 0 = '' and b $2)"
    );
}
