//! The SQL that the builder spells, for any table, column and order of calls. No database is asked.

mod insert;
mod names;
mod pages;
mod rpc;
mod scope;
mod snapshots;
mod sql;

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use sqlx::Arguments as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use super::TenantQuery;
use super::send::spell;
use super::verb::Shape;
use super::verb::sealed::Verb;
use crate::client::{ClientId, ClientRecord, ClientStatus, Placement};
use crate::database::{Database, DedicatedPools};
use crate::error::{Error, Result};
use crate::plan::{Features, Grace, Guards, Limits, Settings};
use crate::schema::{CLIENT_COLUMN, Catalogue};
use crate::tenant::{Freshness, Router, Tenant, TenantDb};

/// The client of every query.
const OWN: Uuid = Uuid::from_u128(0xacee);

/// The kind of database that a statement is spelt for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Pool,
    Dedicated,
}

/// What would be sent.
#[derive(Debug)]
struct Spelt {
    sql: String,
    /// How many values are bound.
    bound: usize,
}

/// As the terminal verbs do: the first error of the calls, else the SQL. With `rows`, the verb returns rows;
/// without, a read counts them.
fn spelt<V: Verb>(mut query: TenantQuery<'_, V>, catalogue: &Catalogue, on: On, rows: bool) -> Result<Spelt> {
    query.source.take_error()?;
    let shape = match (rows, V::WRITES) {
        (true, _) => Shape::Rows,
        (false, true) => Shape::Done,
        (false, false) => Shape::Count,
    };
    let spelt = spell(&query.source, &query.verb, catalogue, on == On::Pool, shape)?;
    let bound = spelt.arguments.len();
    Ok(Spelt {
        sql: spelt.sql,
        bound,
    })
}

/// A handle that is never asked for its database: the tests say what it is.
fn db() -> TenantDb {
    let id = ClientId::from(OWN);
    let pools = Arc::new(DedicatedPools::new(1, Duration::ZERO, PgPoolOptions::new(), None));
    let database = pools.database(id, &"".into(), PgConnectOptions::new_without_pgpass());
    let freshness = Arc::new(Freshness::new(Duration::ZERO));
    freshness.heard();
    TenantDb {
        tenant: Arc::new(Tenant {
            record: ClientRecord {
                id,
                name: "Acme".to_owned(),
                slug: "acme".parse().unwrap(),
                external_ref: None,
                domain: None,
                status: ClientStatus::Active,
                tier: "champion".into(),
                limits: Limits::default(),
                grace: Grace::default(),
                features: Features::default(),
                settings: Settings::default(),
                retention_days: None,
                grace_days: 0,
                placement: Placement::Dedicated,
                epoch: 1,
                connection: None,
            },
            guards: Guards::default(),
            database: Database::Dedicated(database),
            fresh: freshness.found(freshness.ask(), [None, None, None]),
            plans: Arc::default(),
            router: Weak::<Nowhere>::new(),
        }),
    }
}

#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Router for Nowhere {
    fn relocation_wait(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn forget(&self, _client: ClientId) {}

    async fn resolve(&self, _client: ClientId, _served: ClientStatus) -> Result<Arc<Tenant>> {
        Err(Error::Closed)
    }
}

/// Agents of a client, models of all, and a table that is neither.
fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.add_table(
        "agents",
        false,
        &[CLIENT_COLUMN, "id", "slug", "name", "Odd \"one\""],
    );
    catalogue.add_table("models", true, &["id", "provider"]);
    catalogue.add_table("notes", false, &["id", "text"]);
    catalogue
}

/// 512 cases, or 8,192 with `TENANTRY_LONG=1`.
fn config() -> ProptestConfig {
    let long = std::env::var("TENANTRY_LONG").is_ok_and(|value| value == "1");
    ProptestConfig {
        cases: if long { 8_192 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A name that a host could give a table or column, quotes and statements included; PostgreSQL takes 63
/// bytes and no NUL. Never the scope's own.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,20}",
        "[a-z\"'; $\\-]{1,12}",
        "\\PC{1,15}",
        Just("x\"; delete from agents; --".to_owned()),
        Just("$1".to_owned()),
        Just("Client_Id".to_owned()),
    ]
    .prop_filter("a word of SQL or the scope's column", |name| {
        name != CLIENT_COLUMN && !sql::WORDS.contains(&name.as_str())
    })
}

/// A table of a client with so many columns beside `client_id`, under any names.
fn table() -> impl Strategy<Value = (String, Vec<String>)> {
    (name(), prop::collection::hash_set(name(), 1..6))
        .prop_map(|(table, columns)| (table, columns.into_iter().collect()))
}

/// The catalogue of that table alone, with the scope's column among the others.
fn catalogue_of(table: &str, columns: &[String]) -> Catalogue {
    let mut all = columns.to_vec();
    all.insert(columns.len() / 2, CLIENT_COLUMN.to_owned());
    let mut catalogue = Catalogue::default();
    catalogue.add_table(table, false, &all);
    catalogue
}
