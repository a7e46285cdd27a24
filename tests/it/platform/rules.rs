//! What the rules of the platform database forbid, and what they allow.

use sqlx::PgConnection;
use tenantry::testing::Fixture;

use super::{Outcome, SETUP, platform_connection};
use crate::sql::{Refusal, connect, one, refused, run};
use crate::support::HOST;

/// What is tried, the SQLSTATE that it must be refused with, and the constraint that must be named.
type Attack = (&'static str, &'static str, &'static str);

const PLACEMENT: &[Attack] = &[
    (
        "insert into platform.clients (name, slug, tier, app_connection) values ('C', 'c', 'adventurer', pg_temp.s())",
        "23514",
        "clients_shared_has_no_connection",
    ),
    (
        "insert into platform.clients (name, slug, tier, admin_connection) values ('C', 'c', 'adventurer', pg_temp.s())",
        "23514",
        "clients_shared_has_no_connection",
    ),
    (
        "update platform.clients set app_connection = pg_temp.s() where slug = 'a'",
        "23514",
        "clients_shared_has_no_connection",
    ),
    (
        "update platform.clients set pool_id = null where slug = 'a'",
        "23514",
        "clients_shared_has_pool",
    ),
    (
        "insert into platform.clients (name, slug, tier, pool_id, app_connection)
         values ('C', 'c', 'champion', pg_temp.pool('p1'), pg_temp.s())",
        "23514",
        "clients_dedicated_has_no_pool",
    ),
    (
        "update platform.clients set pool_id = pg_temp.pool('p1') where slug = 'b'",
        "23514",
        "clients_dedicated_has_no_pool",
    ),
    (
        "insert into platform.clients (name, slug, tier, status) values ('C', 'c', 'champion', 'active')",
        "23514",
        "clients_dedicated_has_connection",
    ),
    (
        "update platform.clients set app_connection = null where slug = 'b'",
        "23514",
        "clients_dedicated_has_connection",
    ),
    (
        "insert into platform.clients (name, slug, tier, hosting, app_connection)
         values ('C', 'c', 'adventurer', 'dedicated', pg_temp.s())",
        "23514",
        "clients_hosting_of_tier",
    ),
    (
        "insert into platform.clients (name, slug, tier, hosting) values ('C', 'c', 'paragon', 'shared')",
        "23514",
        "clients_hosting_of_tier",
    ),
    (
        "update platform.clients set tier = 'champion' where slug = 'a'",
        "23514",
        "clients_hosting_of_tier",
    ),
    (
        "update platform.clients set hosting = 'dedicated', pool_id = null, app_connection = pg_temp.s() where slug = 'a'",
        "23514",
        "clients_hosting_of_tier",
    ),
    (
        "insert into platform.clients (name, slug, tier, hosting) values ('C', 'c', 'adventurer', 'schema')",
        "23514",
        "clients_hosting_of_tier",
    ),
    (
        "insert into platform.clients (name, slug, tier, hosting, limit_overrides)
         values ('C', 'c', 'adventurer', 'schema', '{\"hosting\": null}')",
        "23514",
        "clients_hosting_known",
    ),
    (
        "insert into platform.clients (name, slug, tier, max_sidekicks) values ('C', 'c', 'adventurer', 5)",
        "23514",
        "clients_max_sidekicks_of_tier",
    ),
    (
        "insert into platform.clients (name, slug, tier, max_sidekicks) values ('C', 'c', 'paragon', 5)",
        "23514",
        "clients_max_sidekicks_of_tier",
    ),
    (
        "update platform.clients set max_sidekicks = 2 where slug = 'a'",
        "23514",
        "clients_max_sidekicks_of_tier",
    ),
    (
        "insert into platform.clients (name, slug, tier) values ('C', 'c', 'emperor')",
        "23503",
        "clients_tier_fkey",
    ),
    (
        "update platform.clients set tier = 'emperor' where slug = 'a'",
        "23503",
        "clients_tier_fkey",
    ),
    (
        "update platform.tiers set hosting = 'dedicated' where name = 'adventurer'",
        "23514",
        "tiers_hosting_in_use",
    ),
    (
        "delete from platform.tiers where name = 'adventurer'",
        "23503",
        "clients_tier_fkey",
    ),
];

const VALUES: &[Attack] = &[
    (
        "update platform.tiers set limits = '{\"a\": \"b\"}'",
        "23514",
        "tiers_limits_valid",
    ),
    (
        "update platform.tiers set limits = '[1]'",
        "23514",
        "tiers_limits_valid",
    ),
    (
        "update platform.tiers set limits = '{\"a\": 1.5}'",
        "23514",
        "tiers_limits_valid",
    ),
    (
        "update platform.tiers set features = '{\"a\": 1}'",
        "23514",
        "tiers_features_valid",
    ),
    (
        "update platform.tiers set hosting = 'schema'",
        "23514",
        "tiers_hosting_known",
    ),
    (
        "insert into platform.tiers (name, hosting) values ('Gold', 'shared')",
        "23514",
        "tiers_name_format",
    ),
    (
        "update platform.clients set limit_overrides = '{\"docs\": -1}' where slug = 'a'",
        "23514",
        "clients_limit_overrides_valid",
    ),
    (
        "update platform.clients set feature_overrides = '{\"voice\": null}' where slug = 'a'",
        "23514",
        "clients_feature_overrides_valid",
    ),
    (
        "update platform.clients set settings = '[]' where slug = 'a'",
        "23514",
        "clients_settings_valid",
    ),
    (
        "update platform.clients set name = ' ' where slug = 'a'",
        "23514",
        "clients_name_not_blank",
    ),
    (
        "update platform.clients set status = 'gone' where slug = 'a'",
        "23514",
        "clients_status_known",
    ),
    (
        "update platform.clients set slug = '' where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set slug = '-a' where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set slug = 'a-' where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set slug = 'Acme' where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set slug = 'a_b' where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set slug = repeat('a', 64) where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set slug = E'a\\n' where slug = 'a'",
        "23514",
        "clients_slug_format",
    ),
    (
        "update platform.clients set domain = 'acme' where slug = 'a'",
        "23514",
        "clients_domain_format",
    ),
    (
        "update platform.clients set domain = 'A.b' where slug = 'a'",
        "23514",
        "clients_domain_format",
    ),
    (
        "update platform.clients set domain = 'a..b' where slug = 'a'",
        "23514",
        "clients_domain_format",
    ),
    (
        "update platform.clients set domain = repeat('a.', 127) || 'b' where slug = 'a'",
        "23514",
        "clients_domain_format",
    ),
    (
        "update platform.clients set external_ref = '' where slug = 'a'",
        "23514",
        "clients_external_ref_format",
    ),
    (
        "update platform.clients set external_ref = E'a\\tb' where slug = 'a'",
        "23514",
        "clients_external_ref_format",
    ),
];

const IDENTITY: &[Attack] = &[
    (
        "insert into platform.clients (name, slug, tier) values ('C', 'a', 'adventurer')",
        "23505",
        "clients_slug_key",
    ),
    (
        "insert into platform.clients (name, slug, tier, external_ref) values ('C', 'c', 'adventurer', 'crm-1')",
        "23505",
        "clients_external_ref_key",
    ),
    (
        "insert into platform.clients (name, slug, tier, domain) values ('C', 'c', 'adventurer', 'a.example')",
        "23505",
        "clients_domain_key",
    ),
    (
        "update platform.clients set deleted_at = now() where slug = 'a';
         insert into platform.clients (name, slug, tier, external_ref, domain) values ('C', 'a', 'adventurer', 'crm-1', 'a.example');
         update platform.clients set deleted_at = null",
        "23505",
        "clients_slug_key",
    ),
    (
        "update platform.clients set deleted_at = now() where slug = 'b';
         insert into platform.erasures (client_id) values (pg_temp.b());
         update platform.clients set deleted_at = null where slug = 'b'",
        "23514",
        "clients_erased_stay_deleted",
    ),
    ("update platform.clients set id = gen_random_uuid() where slug = 'a'", "23514", "clients_id_fixed"),
    (
        "update platform.clients set epoch = 5 where slug = 'a'; update platform.clients set epoch = 4 where slug = 'a'",
        "23514",
        "clients_epoch_never_falls",
    ),
    (
        "insert into platform.clients (name, slug, tier, epoch) values ('C', 'c', 'adventurer', 0)",
        "23514",
        "clients_epoch_positive",
    ),
];

const POOLS: &[Attack] = &[
    (
        "insert into platform.clients (name, slug, tier, pool_id)
         select 'C', 'c' || n, 'adventurer', pg_temp.pool('p1') from generate_series(1, 2) n",
        "23514",
        "pools_capacity_not_exceeded",
    ),
    (
        "insert into platform.clients (name, slug, tier, pool_id) values ('C', 'c', 'adventurer', pg_temp.pool('p1'));
         insert into platform.clients (name, slug, tier, pool_id) values ('D', 'd', 'adventurer', pg_temp.pool('p1'))",
        "23514",
        "pools_capacity_not_exceeded",
    ),
    (
        "insert into platform.clients (name, slug, tier) select 'C', 'c' || n, 'adventurer' from generate_series(1, 4) n",
        "TN101",
        "",
    ),
    (
        "update platform.pools set active = false;
         insert into platform.clients (name, slug, tier) values ('C', 'c', 'adventurer')",
        "TN101",
        "",
    ),
    (
        "delete from platform.clients; delete from platform.pools;
         insert into platform.clients (name, slug, tier) values ('C', 'c', 'adventurer')",
        "TN101",
        "",
    ),
    (
        "insert into platform.clients (name, slug, tier, pool_id) values ('C', 'c', 'adventurer', pg_temp.pool('closed'))",
        "23514",
        "clients_pool_active",
    ),
    (
        "update platform.clients set pool_id = pg_temp.pool('closed') where slug = 'a'",
        "23514",
        "clients_pool_active",
    ),
    ("update platform.pools set capacity = 0 where name = 'p2'", "23514", "pools_capacity_positive"),
    (
        "insert into platform.clients (name, slug, tier) values ('C', 'c', 'adventurer');
         update platform.pools set capacity = 1 where name = 'p1'",
        "23514",
        "pools_capacity_not_exceeded",
    ),
    ("delete from platform.pools where name = 'p1'", "23503", "clients_pool_id_fkey"),
    (
        "insert into platform.pools (name, app_connection, scope_key, scope_key_id, capacity)
         values ('p1', pg_temp.s(), pg_temp.s(), 1, 2)",
        "23505",
        "pools_name_key",
    ),
    (
        "insert into platform.clients (name, slug, tier, pool_id) values ('C', 'c', 'adventurer', gen_random_uuid())",
        "23503",
        "clients_pool_id_fkey",
    ),
];

const LOG: &[Attack] = &[
    ("update platform.audit_log set actor = 'nobody'", "42501", ""),
    (
        "update platform.audit_log set actor = 'nobody' where false",
        "42501",
        "",
    ),
    ("delete from platform.audit_log", "42501", ""),
    ("truncate platform.audit_log", "42501", ""),
    (
        "set local session_replication_role = replica; delete from platform.audit_log",
        "42501",
        "",
    ),
    ("truncate platform.clients cascade", "42501", ""),
    ("truncate platform.pools cascade", "42501", ""),
    ("truncate platform.tiers cascade", "42501", ""),
    ("truncate platform.client_credentials", "42501", ""),
    ("truncate platform.client_keys", "42501", ""),
    ("truncate platform.usage", "42501", ""),
    ("truncate platform.stock", "42501", ""),
    ("truncate platform.erasures", "42501", ""),
];

async fn attack(conn: &mut PgConnection, attacks: &[Attack]) {
    let mut wrong = Vec::new();
    for (sql, code, constraint) in attacks {
        run(conn, SETUP).await;
        let Refusal {
            code: found,
            constraint: named,
            message,
        } = refused(conn, sql).await;
        if (found.as_str(), named.as_deref().unwrap_or_default()) != (*code, *constraint) {
            wrong.push(format!(
                "{sql}\n  expected {code} {constraint}\n  found    {found} {named:?} {message}"
            ));
        }
        run(conn, "rollback").await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_platform_database_refuses_what_its_rules_forbid() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    for attacks in [PLACEMENT, VALUES, IDENTITY, POOLS] {
        attack(&mut conn, attacks).await;
    }
    // As the superuser, whom no grant holds back.
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    attack(&mut superuser, LOG).await;
    // By its own rule, and not by that of a table that refers to it.
    for table in ["tiers", "pools", "clients"] {
        let refusal = refused(&mut superuser, &format!("truncate platform.{table} cascade")).await;
        let said = format!("truncate of platform.{table} is refused");
        assert!(refusal.message.contains(&said), "{}", refusal.message);
    }
    // Whoever has no rights there, as the app role of the databases of clients, has none on anything.
    let role = fixture.app_role();
    let open = format!(
        "select string_agg(c.relname, ' ') from pg_class c
         where c.relnamespace = 'platform'::regnamespace and c.relkind in ('r', 'p', 'v')
           and has_table_privilege('{role}', c.oid, 'select, insert, update, delete, truncate')"
    );
    assert_eq!(one::<Option<String>>(&mut superuser, &open).await, None);
    Ok(())
}

#[tokio::test]
async fn the_platform_database_takes_what_its_rules_allow() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    for allowed in [
        // A deleted client gives its names back.
        "update platform.clients set deleted_at = now() where slug = 'a';
         insert into platform.clients (name, slug, tier, external_ref, domain) values ('C', 'a', 'adventurer', 'crm-1', 'a.example')",
        "update platform.clients set epoch = 5 where slug = 'a'; update platform.clients set epoch = 5 where slug = 'a'",
        // The count is the database's, whatever a statement says.
        "update platform.pools set client_count = 0",
        "update platform.pools set client_count = 2 where name = 'p1'",
        "insert into platform.clients (name, slug, tier, hosting, app_connection, limit_overrides)
         values ('C', 'c', 'adventurer', 'dedicated', pg_temp.s(), '{\"hosting\": null}')",
        "insert into platform.clients (name, slug, tier, max_sidekicks, limit_overrides)
         values ('C', 'c', 'adventurer', 5, '{\"max_sidekicks\": 5}')",
        "insert into platform.clients (name, slug, tier) values ('C', 'c', 'champion')",
        "update platform.tiers set max_sidekicks = 3 where name = 'adventurer'",
        "update platform.clients set slug = repeat('a', 63), external_ref = 'A/b', domain = 'a-1.b.example' where slug = 'a'",
        "delete from platform.clients",
        "update platform.pools set position = -1 where name = 'p2'",
    ] {
        run(&mut conn, SETUP).await;
        run(&mut conn, allowed).await;
        let miscounted: i64 = one(
            &mut conn,
            "select count(*) from platform.pools p where p.client_count <>
                 (select count(*) from platform.clients c where c.pool_id = p.id and c.deleted_at is null)",
        )
        .await;
        assert_eq!(miscounted, 0, "{allowed}");
        let follow: i64 = one(
            &mut conn,
            "select count(*) from platform.clients c join platform.tiers t on t.name = c.tier
             where not c.limit_overrides ? 'max_sidekicks' and c.max_sidekicks is distinct from t.max_sidekicks",
        )
        .await;
        assert_eq!(follow, 0, "{allowed}");
        run(&mut conn, "rollback").await;
    }
    Ok(())
}
