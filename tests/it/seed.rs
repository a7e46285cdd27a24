//! Data sets that are applied, again, at once by several, cut off, and refused.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod applied;
mod clients;
mod cut_off;
mod passwords;
mod refusals;
mod scope;
mod together;

use std::collections::BTreeMap;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientRecord, DataSet, Error, HookError, SecretForm, SecretSource, Seed,
    SeedError, SeedReport,
};

use crate::sql::connect;

type Outcome = Result<(), Box<dyn std::error::Error>>;

static BOT: Migrator = sqlx::migrate!("tests/it/seed/migrations");

/// The same without the kernel and without `client_id`, as an older system made it.
const OLD: &str = "
create table providers (id integer generated always as identity primary key, slug text not null unique);
create table models (id integer generated always as identity primary key, slug text not null unique,
    provider_id integer not null references providers (id), tokens integer not null);
create table tools (id uuid primary key default gen_random_uuid(), slug text not null unique,
    parent_id uuid references tools (id), endpoint text, settings jsonb not null default '{}', raw json,
    tags text[] not null default '{}', mood text, share integer, price numeric(10, 2), seen timestamptz, notes varchar(8));
create table agents (id bigint generated always as identity primary key, slug text not null unique,
    model_id integer not null references models (id), prompt text not null default '');
create table agent_tools (agent_id bigint references agents (id), tool_id uuid references tools (id), rank integer,
    primary key (agent_id, tool_id));
create table users (id uuid primary key default gen_random_uuid(), email text not null unique, role text not null,
    hash text not null, number integer unique);
grant select, insert, update, delete on all tables in schema public to tenantry_fixture_app";

/// Of three clients: on a pool, on a database of its own with `client_id`, and on one without.
struct Stage {
    fixture: Fixture,
    manager: ClientConnectionManager,
    clients: Vec<ClientRecord>,
}

impl Stage {
    async fn start() -> Self {
        let fixture = Fixture::start(&BOT).await.unwrap();
        let manager = fixture.manager().await.unwrap();
        Self {
            fixture,
            manager,
            clients: Vec::new(),
        }
    }

    /// With acme on a pool.
    async fn with_acme() -> Self {
        let mut stage = Self::start().await;
        stage
            .clients
            .push(stage.fixture.shared_client("acme").await.unwrap());
        stage
    }

    /// With acme on a pool, vast on its own, and olden on its own from before.
    async fn with_all() -> Self {
        let mut stage = Self::with_acme().await;
        stage
            .clients
            .push(stage.fixture.dedicated_client("vast").await.unwrap());
        stage
            .clients
            .push(stage.fixture.legacy_client("olden", OLD).await.unwrap());
        stage
    }

    fn seed(&self) -> Seed {
        Seed::new(self.fixture.platform().clone(), self.manager.clone())
            .secrets(Passwords::default())
            .secret_form("argon2", Quick)
    }

    /// The database of the client as its admin role.
    async fn database(&self, client: &str) -> PgConnection {
        let name = if client == "acme" { "pool-1" } else { client };
        connect(self.fixture.admin_options(&self.fixture.database(name))).await
    }

    /// The pool database as one who sees what others ask.
    async fn superuser(&self) -> PgConnection {
        let database = self.fixture.database("pool-1");
        connect(self.fixture.server().connect_options(&database)).await
    }

    async fn close(self) {
        self.manager.close().await;
        self.fixture.close().await;
    }
}

/// Secrets by name: what is set, else something of the name.
#[derive(Clone, Default)]
struct Passwords(BTreeMap<String, String>);

impl Passwords {
    fn with(mut self, name: &str, secret: &str) -> Self {
        self.0.insert(name.to_owned(), secret.to_owned());
        self
    }
}

#[async_trait]
impl SecretSource for Passwords {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, HookError> {
        if name == "NOT_THERE" {
            return Ok(None);
        }
        let secret = self.0.get(name).cloned();
        Ok(Some(
            secret
                .unwrap_or_else(|| format!("plantedsecret{}", name.to_lowercase()))
                .into(),
        ))
    }
}

/// Argon2, as weak as it comes: nobody is to wait here.
struct Quick;

fn argon2() -> Argon2<'static> {
    let weak = Params::new(8, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, weak)
}

impl SecretForm for Quick {
    fn make(&self, secret: &SecretString) -> Result<SecretString, HookError> {
        Ok(argon2()
            .hash_password(secret.expose_secret().as_bytes())?
            .to_string()
            .into())
    }

    fn is_of(&self, stored: &str, secret: &SecretString) -> Result<bool, HookError> {
        let Ok(stored) = PasswordHash::new(stored) else {
            return Ok(false);
        };
        Ok(argon2()
            .verify_password(secret.expose_secret().as_bytes(), &stored)
            .is_ok())
    }
}

fn set(json: &Value) -> DataSet {
    DataSet::from_json("set.json", &json.to_string()).unwrap()
}

fn to(table: &str, slug: &str) -> Value {
    json!({ "$ref": { "table": table, "key": { "slug": slug } } })
}

/// Rows of every kind, the last first.
fn bot(clients: &[&str]) -> Value {
    let of_client: serde_json::Map<String, Value> = clients
        .iter()
        .map(|client| {
            let tables = json!([{ "table": "users", "key": ["email"], "rows": [
                { "email": format!("ada@{client}"), "role": "admin", "number": 1,
                  "hash": { "$secret": "ADA", "as": "argon2" } },
                { "email": format!("bob@{client}"), "role": "supporter",
                  "hash": { "$secret": "BOB", "as": "argon2" } }
            ] }]);
            ((*client).to_owned(), tables)
        })
        .collect();
    json!({
        "of_client": of_client,
        "each_client": [
            { "table": "agent_tools", "key": ["agent_id", "tool_id"], "rows": [
                { "agent_id": to("agents", "guide"), "tool_id": to("tools", "search"), "rank": 1 },
                { "agent_id": to("agents", "guide"), "tool_id": to("tools", "mail") }
            ] },
            { "table": "agents", "key": ["slug"], "rows": [
                { "slug": "guide", "model_id": to("models", "large"), "prompt": "guide \"them\"\nwell" }
            ] },
            { "table": "tools", "key": ["slug"], "rows": [
                { "slug": "mail", "parent_id": to("tools", "base"), "endpoint": "https://mail.example" },
                { "slug": "search", "parent_id": to("tools", "mail"), "endpoint": null,
                  "settings": { "deep": [1, { "a": null }] }, "raw": [1.50, "x"], "tags": ["a", "b c"],
                  "mood": "brisk", "share": 50, "price": 1.5, "seen": "2026-01-02T03:04:05Z", "notes": "short" },
                { "slug": "base" }
            ] }
        ],
        "shared": [
            { "table": "models", "key": ["slug"], "rows": [
                { "slug": "large", "provider_id": to("providers", "north"), "tokens": 200_000 },
                { "slug": "small", "provider_id": to("providers", "north"), "tokens": 8_192 }
            ] },
            { "table": "providers", "key": ["slug"], "rows": [{ "slug": "north" }] }
        ]
    })
}

/// What was created, changed and left of a table of a client, or in all.
fn counts(report: &SeedReport, within: &str, table: &str) -> [u64; 3] {
    let of = report
        .tables
        .iter()
        .filter(|of| of.within == within && of.table == table);
    of.fold([0; 3], |[created, changed, unchanged], of| {
        [
            created + of.created,
            changed + of.changed,
            unchanged + of.unchanged,
        ]
    })
}

fn totals(report: &SeedReport) -> [u64; 3] {
    [report.created(), report.changed(), report.unchanged()]
}

/// Why it was not seeded.
#[track_caller]
fn why<T: std::fmt::Debug>(result: Result<T, Error>) -> SeedError {
    match result {
        Err(Error::Seed { source, .. }) => *source,
        other => {
            assert!(other.is_err(), "not refused: {other:?}");
            SeedError::Document {
                at: "not of seeding".to_owned(),
                reason: format!("{other:?}"),
            }
        }
    }
}
