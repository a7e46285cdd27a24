use super::super::{On, db, spelt};
use super::related;
use crate::query::{Compare, Expr, Order};

#[test]
fn aggregates() {
    assert_eq!(
        each!(db().query("agents").columns([
            Expr::count(),
            Expr::count_of("name"),
            Expr::count_distinct("name"),
            Expr::sum("name").as_bigint(),
            Expr::avg("name").as_double(),
            Expr::min("name"),
            Expr::max("name").as_text(),
            Expr::bool_and("name"),
            Expr::bool_or("name"),
            Expr::array_agg(Expr::column("name").or("x").upper()),
        ]))[1],
        "select count(*), count(name), count(distinct name), sum(name)::bigint, avg(name)::double precision, \
         min(name), max(name)::text, bool_and(name), bool_or(name), array_agg(upper(coalesce(name, $1))) \
         from public.agents"
    );
}

#[test]
fn groups() {
    let query = || {
        db().query("agents")
            .columns(["slug"])
            .column_as(Expr::count(), "many \"agents\"")
            .eq("name", "x")
            .group_by(["slug"])
            .having(Expr::count(), Compare::Ge, Expr::value(2_i64))
            .having(Expr::max("id"), Compare::Lt, "slug")
            .order_by(Expr::count(), Order::DescNullsLast)
            .limit(3)
    };
    assert_eq!(
        each!(query()),
        [
            "select slug, count(*) as \"many \"\"agents\"\"\" from public.agents where client_id = $1 and name = $2 \
             group by slug having count(*) >= $3 and max(id) < slug order by count(*) desc nulls last limit $4",
            "select slug, count(*) as \"many \"\"agents\"\"\" from public.agents where name = $1 \
             group by slug having count(*) >= $2 and max(id) < slug order by count(*) desc nulls last limit $3",
        ]
    );
    assert_eq!(
        each!(query(), false)[1],
        "select count(*) from (select slug, count(*) as \"many \"\"agents\"\"\" from public.agents where name = $1 \
         group by slug having count(*) >= $2 and max(id) < slug) as counted"
    );
}

#[test]
fn a_count_of_the_one_group_that_all_rows_are() {
    assert_eq!(
        each!(
            db().query("agents").columns([Expr::count()]).having(
                Expr::count(),
                Compare::Gt,
                Expr::value(1_i64)
            ),
            false
        )[1],
        "select count(*) from (select count(*) from public.agents having count(*) > $1) as counted"
    );
}

#[test]
fn distinct_rows() {
    assert_eq!(
        each!(db().query("agents").columns(["name"]).distinct()),
        [
            "select distinct name from public.agents where client_id = $1",
            "select distinct name from public.agents",
        ]
    );
    assert_eq!(
        each!(
            db().query("agents")
                .columns(["id"])
                .distinct_on(["name"])
                .order_by("name", Order::AscNullsFirst)
        )[1],
        "select distinct on (name) id from public.agents order by name nulls first"
    );
    assert_eq!(
        each!(db().query("agents").columns(["name"]).distinct(), false)[0],
        "select count(*) from (select distinct name from public.agents where client_id = $1) as counted"
    );
}
