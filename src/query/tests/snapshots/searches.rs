//! Searches by meaning: whose rows they rank.

use super::super::{OWN, On, db};
use crate::query::bind::held;
use crate::query::ranking::{Ranking, Way};
use crate::query::send::spell;
use crate::query::verb::Shape;
use crate::schema::vectors::Metric;
use crate::schema::{CLIENT_COLUMN, Catalogue};

fn ranked(on: On, way: Way) -> String {
    let mut catalogue = Catalogue::default();
    catalogue.add_table("chunks", false, &[CLIENT_COLUMN, "id", "kind", "embedding"]);
    let query = db().query("chunks").columns(["id"]).eq("kind", "a");
    let vector = held("[1,2,3]");
    let ranking = Ranking {
        select: &query.verb,
        column: "embedding",
        vector: &vector,
        metric: Metric::L2,
        rows: 5,
        within: (way == Way::Exact).then_some(0.5),
        distance: "distance",
        way,
    };
    let spelt = spell(&query.source, &ranking, &catalogue, on == On::Pool, Shape::Rows);
    spelt.unwrap().sql
}

#[test]
fn every_row_of_the_client_is_measured_past_any_index() {
    assert_eq!(
        [On::Pool, On::Dedicated].map(|on| ranked(on, Way::Exact)),
        [
            "with nearest as materialized (select id, (embedding <-> $1::vector) + 0 as \"distance\" \
             from public.chunks where client_id = $2 and kind = $3 and embedding is not null \
             order by \"distance\" limit $4) \
             select * from nearest where \"distance\" <= $5 order by \"distance\"",
            "with nearest as materialized (select id, (embedding <-> $1::vector) + 0 as \"distance\" \
             from public.chunks where kind = $2 and embedding is not null \
             order by \"distance\" limit $3) \
             select * from nearest where \"distance\" <= $4 order by \"distance\"",
        ]
    );
}

#[test]
fn an_own_index_is_asked_in_scope_and_for_twice_as_many() {
    assert_eq!(
        [On::Pool, On::Dedicated].map(|on| ranked(on, Way::Approximate)),
        [
            format!(
                "with nearest as materialized (select id, (embedding <-> $1::vector) as \"distance\" \
                 from public.chunks where client_id = $2 and kind = $3 and embedding is not null \
                 and client_id = '{OWN}' order by embedding::halfvec(3) <-> $1::halfvec(3) limit $4) \
                 select * from nearest order by \"distance\" limit $5"
            ),
            "with nearest as materialized (select id, (embedding <-> $1::vector) as \"distance\" \
             from public.chunks where kind = $2 and embedding is not null \
             order by embedding::halfvec(3) <-> $1::halfvec(3) limit $3) \
             select * from nearest order by \"distance\" limit $4"
                .to_owned(),
        ]
    );
}
