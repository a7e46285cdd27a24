use super::super::{On, db, spelt};
use super::related;
use crate::query::cursor::Position;
use crate::query::{Join, Order, Select, TenantQuery};

type Query = TenantQuery<'static, Select<'static>>;

/// The query from a place on, as a page asks for it.
fn page(mut query: Query, backwards: bool, beside: Option<&[Option<&str>]>) -> Query {
    let text = |text: Option<&str>| text.map(str::to_owned);
    query.verb.position = Some(Position {
        backwards,
        beside: beside.map(|beside| beside.iter().copied().map(text).collect()),
    });
    query.limit(3)
}

#[test]
fn the_first_page() {
    let query = || db().query("agents").columns(["name"]);
    assert_eq!(
        each!(page(query(), false, None)),
        [
            "select name, array[id::text] as \"tenantry.key\" from public.agents where client_id = $1 \
             order by id limit $2",
            "select name, array[id::text] as \"tenantry.key\" from public.agents order by id limit $1",
        ]
    );
}

#[test]
fn a_page_of_columns_that_are_never_null_is_one_comparison() {
    let query = || db().query("agents").columns(["name"]).order_by("id", Order::Desc);
    assert_eq!(
        each!(page(query(), false, Some(&[Some("x")]))),
        [
            "select name, array[id::text] as \"tenantry.key\" from public.agents where client_id = $1 \
             and (id) < ($2::text) order by id desc limit $3",
            "select name, array[id::text] as \"tenantry.key\" from public.agents where (id) < ($1::text) \
             order by id desc limit $2",
        ]
    );
    assert_eq!(
        each!(page(query(), true, Some(&[Some("x")])))[1],
        "select name, array[id::text] as \"tenantry.key\" from public.agents where (id) > ($1::text) \
         order by id limit $2"
    );
}

#[test]
fn a_page_minds_nulls_on_either_side_of_a_place() {
    let query = |order| db().query("agents").columns(["id"]).order_by("name", order);
    assert_eq!(
        each!(page(query(Order::Asc), false, Some(&[Some("a"), Some("x")])))[0],
        "select id, array[name::text, id::text] as \"tenantry.key\" from public.agents where client_id = $1 \
         and (((name > $2::text or name is null)) or (name = $3::text and (id > $4::text))) \
         order by name, id limit $5"
    );
    assert_eq!(
        each!(page(query(Order::Desc), false, Some(&[None, Some("x")])))[1],
        "select id, array[name::text, id::text] as \"tenantry.key\" from public.agents where \
         ((name is not null) or (name is null and (id < $1::text))) order by name desc, id desc limit $2"
    );
    assert_eq!(
        each!(page(query(Order::Asc), false, Some(&[None, Some("x")])))[1],
        "select id, array[name::text, id::text] as \"tenantry.key\" from public.agents where \
         ((false) or (name is null and (id > $1::text))) order by name, id limit $2"
    );
}

#[test]
fn a_page_backwards_in_both_directions() {
    let query = || {
        db().query("agents")
            .columns(["id"])
            .eq("slug", "s")
            .order_by("name", Order::DescNullsLast)
            .order_by("version", Order::Asc)
    };
    assert_eq!(
        each!(page(query(), true, Some(&[Some("a"), None, Some("x")])))[1],
        "select id, array[name::text, version::text, id::text] as \"tenantry.key\" from public.agents \
         where slug = $1 and (((name > $2::text)) or (name = $3::text and version is not null) \
         or (name = $4::text and version is null and (id < $5::text))) \
         order by name nulls first, version desc, id desc limit $6"
    );
}

#[test]
fn a_page_has_a_key_of_what_is_joined_more_than_once() {
    let query = |join: Join<'static>| db().query("agents").join(join).columns(["id"]);
    assert_eq!(
        each!(page(
            query(Join::left("talks").by("agent_id")),
            false,
            Some(&[Some("a"), None])
        ))[1],
        "select \"agents\".id, array[\"agents\".id::text, \"talks\".id::text] as \"tenantry.key\" \
         from public.agents as \"agents\" left join public.talks as \"talks\" \
         on \"talks\".client_id = \"agents\".client_id and \"talks\".agent_id = \"agents\".id \
         where (((\"agents\".id > $1::text)) or (\"agents\".id = $2::text and false)) \
         order by \"agents\".id, \"talks\".id limit $3"
    );
    let query = || {
        db().query("talks")
            .join(Join::left("agents").by("agent_id"))
            .columns(["id"])
    };
    assert!(
        each!(page(query(), false, None))[1].ends_with("order by \"talks\".id limit $1"),
        "an agent is joined once"
    );
}
