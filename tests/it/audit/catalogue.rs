//! Every weakness that is planted is named, and what is harmless is not.

use std::collections::BTreeSet;

use super::planting::{Bed, Plant};
use super::weaknesses;

async fn all_are_named(plants: &'static [Plant]) {
    let mut bed = Bed::start().await;
    let mut wrong = Vec::new();
    let version = bed.version;
    for plant in plants.iter().filter(|plant| plant.since <= version) {
        let planted = bed.plant(plant).await;
        let found = planted.ids();
        let mut expected = plant.expected.to_vec();
        expected.sort_unstable();
        let named = expected.iter().all(|id| found.contains(id));
        if !named || !plant.with_others && found != expected {
            let told: Vec<String> = planted.found.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{}\n  expected {expected:?}\n  found    {told:#?}",
                plant.name
            ));
        }
        let left = planted.unmended();
        if !left.is_empty() {
            wrong.push(format!("{}\n  not mended: {left:#?}", plant.name));
        }
    }
    bed.close().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn weaknesses_of_tables_are_named_and_mended() {
    all_are_named(weaknesses::tables::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_policies_are_named_and_mended() {
    all_are_named(weaknesses::policies::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_keys_are_named_and_mended() {
    all_are_named(weaknesses::keys::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_views_triggers_and_functions_are_named_and_mended() {
    all_are_named(weaknesses::code::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_roles_and_their_settings_are_named_and_mended() {
    all_are_named(weaknesses::roles::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_grants_are_named_and_mended() {
    all_are_named(weaknesses::grants::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_the_server_are_named_and_mended() {
    all_are_named(weaknesses::server::ALL).await;
}

#[tokio::test]
async fn weaknesses_of_the_kernel_are_named_and_mended() {
    all_are_named(weaknesses::kernel::ALL).await;
}

#[test]
fn every_check_of_a_catalogue_is_planted() {
    let planted: BTreeSet<&str> = weaknesses::all()
        .flat_map(|plant| plant.expected.iter().copied())
        .collect();
    let table = include_str!("../../../src/audit/checks.md");
    let checks = table.lines().skip(2).filter_map(|line| line.split('`').nth(1));
    // Tested by themselves: there is no other server here, nor a second audit, nor a statement.
    let apart = |id: &str| {
        id.starts_with("plan.") || ["server.too_old", "server.known_leak", "drift.changed"].contains(&id)
    };
    let never: Vec<&str> = checks.filter(|id| !apart(id) && !planted.contains(id)).collect();
    assert!(never.is_empty(), "{never:#?}");
    assert!(weaknesses::all().count() >= 100, "{}", weaknesses::all().count());
}

/// What looks like a weakness and is none.
const HARMLESS: &[(&str, &str)] = &[
    ("nothing", "select 1"),
    ("a view with the rights of whoever asks", "create view v with (security_invoker) as select * from agents; grant select on v to {app}"),
    ("the same, written otherwise", "create view v with (security_invoker = yes) as select * from agents; grant select on v to {app}"),
    ("a view that nobody was granted", "create view v as select * from agents"),
    ("a materialized view that nobody was granted", "create materialized view m as select count(*) from agents"),
    ("a table of an operator", "create table plain (id int)"),
    ("a table of an operator in another schema", "create schema ops; create table ops.plain (id int, body text)"),
    ("a ledger of migrations", "create table if not exists _sqlx_migrations (version bigint primary key)"),
    ("a shared table more", "create table tools (id int primary key); select tenantry.share('tools')"),
    ("a foreign key to a shared table", "alter table agents add foreign key (model_id) references models (id) on delete set null"),
    ("a second permissive policy behind the scope", "create policy more on agents for select using (slug <> '')"),
    ("a second permissive policy that is null for some", "create policy more on agents using (description is null or slug = 'a')"),
    ("a restrictive policy more", "create policy more on agents as restrictive using (slug <> 'hidden')"),
    (
        "the scope and another condition",
        "drop policy tenantry_scope on agents; create policy tenantry_scope on agents as restrictive
             using (client_id = (select tenantry.current_client()) and slug <> '')
             with check (client_id = (select tenantry.current_client()) and slug <> '')",
    ),
    ("a policy that was protected again", "select tenantry.protect('agents')"),
    ("a partial index by client", "create index on agents (client_id, slug) where name <> ''"),
    ("a unique index by client on an expression", "create unique index on agents (client_id, lower(slug))"),
    (
        "a client's own vector index",
        "create index tenantry_nearest_0123456789abcdef0123456789abcdef on document_chunks_3
             using hnsw ((embedding::halfvec(1024)) halfvec_cosine_ops) where client_id = '00000000-0000-4000-8000-000000000001'",
    ),
    ("an exclusion by client", "alter table agents add exclude using btree (client_id with =, slug with =)"),
    ("a foreign key that sets what it names to null", "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on delete set null (agent_id)"),
    ("a foreign key that cascades within a client", "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade on update cascade"),
    ("a key of three columns", "alter table documents add unique (client_id, id, title)"),
    (
        "a new partition that was protected",
        "create table runs (client_id uuid not null, id int not null, primary key (client_id, id)) partition by hash (client_id);
         create table runs_0 partition of runs for values with (modulus 1, remainder 0); select tenantry.protect('runs')",
    ),
    ("a function with the rights of whoever asks", "create function f() returns bigint language sql return (select 1)"),
    (
        "a function with its owner's rights that the app role may not call",
        "create function f() returns bigint language plpgsql security definer as $$ begin return 1; end $$; revoke execute on function f from public",
    ),
    (
        "a trigger with the rights of whoever writes",
        "create function t() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$ begin new.name := btrim(new.name); return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
    ),
    (
        "an immutable function that asks for nothing",
        "create function f(text) returns text language sql immutable parallel safe return lower($1)",
    ),
    ("a default of another column", "alter table agents alter name set default 'x'"),
    ("a computed column", "alter table agents add lowered text generated always as (lower(slug)) stored"),
    ("a setting that is harmless", "alter role {app} set statement_timeout = '5s'"),
    ("row-level security that a setting leaves on", "alter role {app} set row_security = on"),
    ("a search path of the database", "alter database {db} set search_path = public"),
    ("a publication of a shared table", "create publication p for table models"),
    ("a role that the app role was never given", "grant pg_read_all_data to {other}"),
    ("a role that became the app role", "grant {app} to {other}"),
    ("functions to come", "alter default privileges grant execute on functions to {app}"),
    ("the use of a schema", "create schema extra; grant usage on schema extra to {app}"),
    ("a sequence of a shared table", "create table tools (id serial primary key); select tenantry.share('tools')"),
    ("a sequence that the app role uses", "create sequence numbers; grant usage on sequence numbers to {app}"),
    ("a table whose name is to be quoted", "create table \"My \"\"Notes\" (client_id uuid not null, \"Id\" int not null, primary key (client_id, \"Id\")); select tenantry.protect('\"My \"\"Notes\"')"),
    (
        "a relocation that is under way",
        "create table tenantry.change_0123456789ab_00112233aabb as select id from agents with no data;
         alter table tenantry.change_0123456789ab_00112233aabb enable row level security;
         create function tenantry.change_0123456789ab_00112233aabb_new() returns trigger language plpgsql security definer
             as $$ begin return null; end $$;
         revoke all on function tenantry.change_0123456789ab_00112233aabb_new() from public;
         create trigger tenantry_change_0123456789ab_new after insert or update on agents
             for each row execute function tenantry.change_0123456789ab_00112233aabb_new();
         create trigger tenantry_change_0123456789ab_all before truncate on agents
             for each statement execute function tenantry.refuse_truncate()",
    ),
];

#[tokio::test]
async fn nothing_is_said_of_what_is_harmless() {
    let mut bed = Bed::start().await;
    let mut wrong = Vec::new();
    for (name, sql) in HARMLESS {
        let theirs = [
            "alter role",
            "alter database",
            "create publication",
            "grant pg_",
            "grant {app}",
        ];
        let superuser = theirs.iter().any(|begin| sql.starts_with(begin));
        let planted = bed.planted(sql, superuser, false).await;
        if !planted.found.is_empty() {
            let told: Vec<String> = planted.found.iter().map(ToString::to_string).collect();
            wrong.push(format!("{name}: {told:#?}"));
        }
    }
    bed.close().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names are what an attacker may have chosen: they are quoted wherever SQL is written.
#[tokio::test]
async fn names_in_mends_are_quoted() {
    let mut bed = Bed::start().await;
    let evil = "x\"\"; drop table agents; --";
    let sql = format!(
        "create schema \"{evil}\"; create table \"{evil}\".\"{evil}\" (client_id uuid not null, \"{evil}\" int not null);
         create unique index \"i{evil}\" on \"{evil}\".\"{evil}\" (\"{evil}\");
         create policy \"{evil}\" on \"{evil}\".\"{evil}\" as restrictive using (true);
         create view \"{evil}\".\"v{evil}\" as select * from \"{evil}\".\"{evil}\";
         grant usage on schema \"{evil}\" to {{app}}; grant all on \"{evil}\".\"{evil}\", \"{evil}\".\"v{evil}\" to {{app}}"
    );
    let planted = bed.planted(&sql, false, true).await;
    assert!(planted.found.len() > 5, "{:?}", planted.ids());
    let left: Vec<String> = planted.unmended();
    assert!(left.is_empty(), "{left:#?}");
    let there: bool = crate::sql::one(&mut bed.db, "select to_regclass('public.agents') is not null").await;
    assert!(there);
    bed.close().await;
}
