//! The common shapes, as they are sent.

use super::{On, catalogue, db, spelt};
use crate::query::Order;
use crate::schema::{CLIENT_COLUMN, Catalogue};

/// The SQL on a pool and on a dedicated database, of tables that refer to each other.
macro_rules! each {
    ($query:expr) => {
        each!($query, true)
    };
    ($query:expr, $rows:literal) => {
        [On::Pool, On::Dedicated].map(|on| spelt($query, &related(), on, $rows).unwrap().sql)
    };
}

mod conditions;
mod groups;
mod joins;
mod pages;
mod searches;
mod writes;

/// Talks of agents, who may have a deputy in each, tags of talks, notes without a key, and models of all clients.
fn related() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let agents = [CLIENT_COLUMN, "id", "slug", "name", "version"];
    catalogue.add_table_with("agents", false, &agents, &[], &[&["slug"]]);
    let talks = [CLIENT_COLUMN, "id", "agent_id", "deputy_id", "model_id", "title"];
    let refers = [("agent_id", "agents"), ("deputy_id", "agents")];
    catalogue.add_table_with("talks", false, &talks, &refers, &[]);
    catalogue.add_table_with(
        "tags",
        false,
        &[CLIENT_COLUMN, "id", "talk_id"],
        &[("talk_id", "talks")],
        &[],
    );
    catalogue.add_table("notes", false, &[CLIENT_COLUMN, "subject", "text"]);
    catalogue.add_table("models", true, &["id", "provider"]);
    catalogue
}

/// The SQL on a pool and on a dedicated database.
macro_rules! both {
    ($query:expr, $rows:literal) => {
        [On::Pool, On::Dedicated].map(|on| spelt($query, &catalogue(), on, $rows).unwrap().sql)
    };
}

#[test]
fn a_read() {
    assert_eq!(
        both!(db().query("agents"), true),
        [
            "select id, slug, name, \"Odd \"\"one\"\"\" from public.agents where client_id = $1",
            "select id, slug, name, \"Odd \"\"one\"\"\" from public.agents",
        ]
    );
    assert_eq!(
        both!(
            db().query("public.agents")
                .columns(["name", "id"])
                .eq("slug", "guide")
                .is_not_null("name")
                .order_by("name", Order::Desc)
                .order_by("id", Order::Asc)
                .limit(20)
                .offset(40),
            true
        ),
        [
            "select name, id from public.agents where client_id = $1 and slug = $2 and name is not null \
             order by name desc, id limit $3 offset $4",
            "select name, id from public.agents where slug = $1 and name is not null \
             order by name desc, id limit $2 offset $3",
        ]
    );
}

#[test]
fn every_comparison() {
    assert_eq!(
        both!(
            db().query("agents")
                .columns(["id"])
                .eq("id", 1)
                .ne("id", 1)
                .lt("id", 1)
                .le("id", 1)
                .gt("id", 1)
                .ge("id", 1)
                .is_in("id", vec![1])
                .is_null("id"),
            true
        )[0],
        "select id from public.agents where client_id = $1 and id = $2 and id <> $3 and id < $4 and id <= $5 \
         and id > $6 and id >= $7 and id = any ($8) and id is null"
    );
}

#[test]
fn a_count() {
    assert_eq!(
        both!(
            db().query("agents")
                .ne("slug", "guide")
                .order_by("id", Order::Asc)
                .limit(1),
            false
        ),
        [
            "select count(*) from public.agents where client_id = $1 and slug <> $2",
            "select count(*) from public.agents where slug <> $1",
        ]
    );
}

#[test]
fn an_insert_of_one_row() {
    assert_eq!(
        both!(
            db().insert("agents").set("slug", "guide").set("name", "Guide"),
            false
        ),
        [
            "insert into public.agents (client_id, slug, name) values ($1, $2, $3)",
            "insert into public.agents (slug, name) values ($1, $2)",
        ]
    );
}

#[test]
fn an_insert_of_several_rows_in_any_order_of_columns() {
    let agents = [("guide", "Guide"), ("scout", "Scout")];
    assert_eq!(
        both!(
            db().insert("agents")
                .rows(agents, |row, (slug, name)| {
                    if slug == "guide" {
                        row.set("slug", slug).set("name", name);
                    } else {
                        row.set("name", name).set("slug", slug);
                    }
                })
                .returning(["id"]),
            true
        ),
        [
            "insert into public.agents (client_id, slug, name) select $1, r.* from unnest($2, $3) as r returning id",
            "insert into public.agents (slug, name) select r.* from unnest($1, $2) as r returning id",
        ]
    );
}

#[test]
fn an_insert_of_defaults() {
    assert_eq!(
        both!(db().insert("agents").set("client_id", super::OWN), false),
        [
            "insert into public.agents (client_id) values ($1)",
            "insert into public.agents default values",
        ]
    );
}

#[test]
fn an_update() {
    assert_eq!(
        both!(
            db().update("agents")
                .set("name", "x")
                .set("slug", "y")
                .eq("id", 1),
            false
        ),
        [
            "update public.agents set name = $1, slug = $2 where client_id = $3 and id = $4",
            "update public.agents set name = $1, slug = $2 where id = $3",
        ]
    );
    assert_eq!(
        both!(db().update("agents").set("name", "x").all(), true),
        [
            "update public.agents set name = $1 where client_id = $2 \
             returning id, slug, name, \"Odd \"\"one\"\"\"",
            "update public.agents set name = $1 returning id, slug, name, \"Odd \"\"one\"\"\"",
        ]
    );
}

#[test]
fn a_delete() {
    assert_eq!(
        both!(db().delete("agents").lt("id", 9), false),
        [
            "delete from public.agents where client_id = $1 and id < $2",
            "delete from public.agents where id < $1",
        ]
    );
    assert_eq!(
        both!(db().delete("agents").all().returning(["slug"]), true),
        [
            "delete from public.agents where client_id = $1 returning slug",
            "delete from public.agents returning slug",
        ]
    );
}
