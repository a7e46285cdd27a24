//! One client as a file: out of its database and into another, whole or not at all; and erased.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions that the tests share panic like tests"
)]

mod attacks;
mod damage;
mod erasure;
mod lifted;
mod refusals;
mod round_trip;
mod snapshot;

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use tenantry::testing::Fixture;
use tenantry::{ClientId, Error, ExportOptions, NewClient, PortableError};

use crate::sql::{connect, one, run};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Every type of a column, and tables that refer to each other in every way.
pub(crate) static KINDS: Migrator = sqlx::migrate!("tests/it/portable/migrations");

/// The tables of clients there.
const TABLES: [&str; 8] = [
    "kinds",
    "empties",
    "members_only",
    r#""Odd ""Schema"""."select; -- ""#,
    "events",
    "nodes",
    "crews",
    "sailors",
];

/// The same without `client_id` and without foreign keys, as an older system made it.
pub(crate) const LEGACY: &str = r#"
    create type mood as enum ('it''s, "odd"', 'calm');
    create domain positive as integer check (value > 0);
    create domain moods as mood[];
    create type stop as (place integer, mood mood, note text);
    create type span as range (subtype = float8);
    create table kinds (
        id bigint primary key, serial integer not null, words text, small smallint, large bigint, exact numeric,
        single real, double double precision, money money, flag boolean, padded char(5), letter "char", bytes bytea,
        day date, clock time, zoned timetz, moment timestamptz, local timestamp, length interval, uuid uuid, json json,
        jsonb jsonb, bits bit varying, net inet, place point, path jsonpath, numbers integer[],
        table_of text[][], mood mood, mood_list mood[], mood_again moods, positive positive, stop stop, stops stop[],
        between int4range, many int4multirange, span span, parsed tsvector, asked tsquery, config regconfig,
        relation regclass, relations regclass[], vector vector(3), half halfvec(3), sparse sparsevec(5),
        vectors vector[]);
    create table empties (id uuid primary key);
    create table members_only ();
    create schema "Odd ""Schema""";
    create table "Odd ""Schema"""."select; -- " (id integer primary key, "from" text, "Quo""te'd" text);
    create table events (id integer, at date, node integer);
    create table nodes (id integer primary key, parent integer);
    create table crews (id integer primary key, leader integer not null);
    create table sailors (id integer primary key, crew integer not null);"#;

/// Rows of everything, three times: with a value of its own each, with the mark, and with nothing but nulls.
pub(crate) async fn fill(admin: &mut PgConnection, client: ClientId, mark: &str) {
    let sql = KINDS_ROWS
        .replace("{client}", &client.to_string())
        .replace("{mark}", mark);
    run(admin, &sql).await;
}

const KINDS_ROWS: &str = r#"
    insert into kinds (client_id, small, large, exact, single, double, money, flag, words, padded, letter, bytes, day,
        clock, zoned, moment, local, length, uuid, json, jsonb, bits, net, place, path, numbers, table_of, mood,
        mood_list, mood_again, positive, stop, stops, between, many, span, parsed, asked, config, relation, relations,
        vector, half, sparse, vectors)
    values ('{client}', -7, 4611686018427387903, 'NaN', 'infinity', '-0', 12.34, true, E'of {mark} \t\n\\ ü 🦀', 'ab',
        'x', '\x00ff5c', '-infinity', '24:00', '04:05:06.789+02', '2024-02-29 12:00:00.123456+02', '4713-01-01 BC',
        '-1 year 2 mons -3 days 04:05:06.7', gen_random_uuid(), '{"b": 1,  "a": [null]}', '{"b": 1, "a": [null]}',
        B'10101', '10.0.0.0/8', '(1.5,-2)', '$.a[*] ? (@ > 1)', '[2:3]={1,null}',
        '{{a,"b c"},{null,""}}', 'it''s, "odd"', '{calm,null,"it''s, \"odd\""}', '{calm}', 7,
        row(1, 'calm', null), array[row(2, 'it''s, "odd"', 'n')::stop], '[1,5)', '{[1,2),[5,)}', '(0.1,2.5]',
        'a:1A fat:2', 'a & !b', 'english', 'nodes', '{nodes,null}', '[1,2,-0.5]', '[1,2,3]', '{1:1,5:2}/5',
        array['[1,2,3]', null]::vector[]),
        ('{client}', 1, 1, 1.00, 1, 1e-300, 0, false, '{mark}' || repeat('x', 3000), '', null,
        convert_to(repeat('y', 3000), 'UTF8'), 'infinity', '00:00', '00:00-15:59', 'infinity', '-infinity', '0',
        '00000000-0000-0000-0000-000000000000', 'null', '"{mark}"', B'', '::1', '(0,0)', '$', '{}', '{}', 'calm',
        '{}', null, 1, null, '{}', 'empty', '{}', '(,)', '', null, 'simple', null, '{}', null, null, '{}/5', '{}');
    insert into kinds (client_id) values ('{client}'), ('{client}');
    insert into members_only values ('{client}');
    insert into "Odd ""Schema"""."select; -- " values ('{client}', 1, '{mark}', null), ('{client}', 2, 'client_id', 'x');
    insert into nodes select '{client}', n, case when n < 90 then n + 1 when n = 90 then 89 end
        from generate_series(1, 100) n;
    insert into events select '{client}', n, date '2019-12-01' + n, n from generate_series(1, 100) n;
    with c as (insert into crews values ('{client}', 1, 2), ('{client}', 2, 1))
        insert into sailors values ('{client}', 1, 1), ('{client}', 2, 2);"#;

/// All rows of the table, of one client or of a database without clients, in an order of theirs: a way to compare
/// that is none of the crate's.
async fn rows_of(admin: &mut PgConnection, table: &str, client: Option<ClientId>) -> String {
    let condition = client.map_or("true".to_owned(), |client| format!("client_id = '{client}'"));
    // What is computed is there too, where it is; the one side that has none is the file's.
    let sql = format!(
        "select coalesce(string_agg(r::text, e'\\n' order by r::text), '')
         from (select jsonb_strip_nulls(to_jsonb(t) - 'client_id' - 'doubled' - 'searched') || '{{}}' as r
               from {table} t where {condition}) rows"
    );
    one(admin, &sql).await
}

pub(crate) async fn all_rows(admin: &mut PgConnection, client: Option<ClientId>) -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        all.push(rows_of(admin, table, client).await);
    }
    all
}

/// How many rows [`fill`] adds.
const ROWS: i64 = 211;

/// What two sides have is the same; rows are too long to be printed whole.
pub(crate) fn assert_same(found: &[String], wanted: &[String], what: &str) {
    for ((table, found), wanted) in TABLES.iter().zip(found).zip(wanted) {
        let differ = found.bytes().zip(wanted.bytes()).position(|(a, b)| a != b);
        let at = differ.unwrap_or(found.len().min(wanted.len()));
        let near = |text: &str| {
            text.chars()
                .skip(at.saturating_sub(80))
                .take(200)
                .collect::<String>()
        };
        assert!(
            found == wanted,
            "{what}: {table} at {at}: {}\n{}",
            near(found),
            near(wanted)
        );
    }
}

/// How many rows of the client there are.
async fn count(admin: &mut PgConnection, client: ClientId) -> i64 {
    let counts = TABLES.map(|table| format!("(select count(*) from {table} where client_id = '{client}')"));
    one(admin, &format!("select {}", counts.join(" + "))).await
}

/// A pool database with the rows of a client, and its file.
struct Place {
    fixture: Fixture,
    acme: ClientId,
    /// Of the pool database.
    admin: PgConnection,
}

impl Place {
    async fn set() -> Result<Self, Box<dyn std::error::Error>> {
        Self::on(Fixture::start(&KINDS).await?).await
    }

    async fn on(fixture: Fixture) -> Result<Self, Box<dyn std::error::Error>> {
        let acme = fixture.shared_client("acme").await?.id;
        let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        fill(&mut admin, acme, "acme").await;
        Ok(Self { fixture, acme, admin })
    }

    /// A client on a database that an older system made, and the connection of its admin role.
    async fn legacy(&self, slug: &str) -> Result<(ClientId, PgConnection), Box<dyn std::error::Error>> {
        let client = self.fixture.legacy_client(slug, "").await?.id;
        let database = self.fixture.database(slug);
        let mut superuser = connect(self.fixture.server().connect_options(&database)).await;
        run(&mut superuser, "create extension vector").await;
        let mut admin = connect(self.fixture.admin_options(&database)).await;
        run(&mut admin, LEGACY).await;
        Ok((client, admin))
    }

    async fn export(&self) -> tenantry::Result<Vec<u8>> {
        let mut file = Vec::new();
        let platform = self.fixture.platform();
        platform
            .export_client(self.acme, &mut file, &ExportOptions::default())
            .await?;
        Ok(file)
    }
}

/// The foreign keys and indexes that a database has, as they would be made anew, with what is said of them.
async fn keys_and_indexes(conn: &mut PgConnection) -> String {
    let all = "select string_agg(it, E'\\n' order by it) from (
            select concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated,
                             obj_description(oid, 'pg_constraint'))
            from pg_constraint where contype = 'f'
            union all
            select concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisclustered, inhparent::regclass,
                             obj_description(indexrelid, 'pg_class'))
            from pg_index left join pg_inherits on inhrelid = indexrelid
            where indrelid > 16384 and indrelid::regclass::text !~ '^pg_toast') of (it)";
    one(conn, all).await
}

fn shared(slug: &str) -> NewClient {
    NewClient::new(slug, slug.parse().unwrap(), "adventurer")
}

/// Why the file was not written or restored.
fn portable<T: std::fmt::Debug>(outcome: tenantry::Result<T>) -> PortableError {
    match outcome {
        Err(Error::Portable { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}
