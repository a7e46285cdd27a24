//! The platform database refuses what does not fit, counts exactly, and shows no secret.
#![expect(clippy::disallowed_methods, reason = "attacks the platform database in SQL")]

use std::error::Error as _;
use std::fmt::Debug;

use futures_util::future::join_all;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{
    ClientId, ClientRef, ClientStatus, Directory as _, Error, ErrorKind, Hosting, Keyring, ManagerOptions,
    NewClient, NewPool, Placement, PlatformDirectory, SecretError,
};
use uuid::Uuid;

use crate::sql::{Refusal, connect, one, refused, rows, run};
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Bytes that pass for a sealed value, a shared client A in the pool P1, a dedicated one B, a free pool P2,
/// and an empty one that takes nobody.
const SETUP: &str = "
    begin;
    update platform.pools set active = false;
    create temporary table it (a uuid, b uuid, p1 uuid, p2 uuid, closed uuid) on commit drop;
    create function pg_temp.s() returns bytea language sql return decode('5401' || repeat('ab', 60), 'hex');
    create function pg_temp.a() returns uuid language sql return (select id from platform.clients where slug = 'a');
    create function pg_temp.b() returns uuid language sql return (select id from platform.clients where slug = 'b');
    create function pg_temp.pool(name text) returns uuid language sql return (select p.id from platform.pools p where p.name = $1);
    insert into platform.pools (name, app_connection, scope_key, scope_key_id, capacity) values
        ('p1', pg_temp.s(), pg_temp.s(), 1, 2), ('p2', pg_temp.s(), pg_temp.s(), 1, 2);
    insert into platform.pools (name, app_connection, scope_key, scope_key_id, capacity, active) values
        ('closed', pg_temp.s(), pg_temp.s(), 1, 2, false);
    insert into platform.clients (name, slug, tier, external_ref, domain) values
        ('A', 'a', 'adventurer', 'crm-1', 'a.example');
    insert into platform.clients (name, slug, tier, app_connection, status) values
        ('B', 'b', 'champion', pg_temp.s(), 'active');";

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
        "clients_settings_object",
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
];

async fn platform_connection(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}

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

#[tokio::test]
async fn a_sealed_column_takes_no_clear_text() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let sealed: Vec<(String, String)> = rows(
        &mut conn,
        "select c.oid::regclass::text, a.attname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
         where a.atttypid = 'platform.sealed'::regtype and c.relkind = 'r' order by 1, 2",
    )
    .await;
    assert_eq!(sealed.len(), 6, "{sealed:?}");
    // No other column could hold one.
    let other: i64 = one(
        &mut conn,
        "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'platform'::regnamespace and c.relkind = 'r' and c.relname <> 'migrations'
           and a.atttypid = 'bytea'::regtype",
    )
    .await;
    assert_eq!(other, 0);
    let long = "x".repeat(60);
    for (table, column) in sealed {
        for clear in [
            format!("convert_to('postgres://app:hunter2@db.example/acme?{long}', 'UTF8')"),
            "'\\x5401'".to_owned(),
            "decode('5401' || repeat('ab', 43), 'hex')".to_owned(),
            "decode('5402' || repeat('ab', 60), 'hex')".to_owned(),
        ] {
            run(&mut conn, SETUP).await;
            run(
                &mut conn,
                "insert into platform.client_credentials (client_id, provider, sealed) values (pg_temp.b(), 'p', pg_temp.s())",
            )
            .await;
            let refusal = refused(&mut conn, &format!("update {table} set {column} = {clear}")).await;
            assert_eq!(
                (&*refusal.code, refusal.constraint.as_deref()),
                ("23514", Some("sealed_format")),
                "{table}.{column} = {clear}"
            );
            run(&mut conn, "rollback").await;
        }
    }
    Ok(())
}

// Placing.

#[tokio::test]
async fn pools_fill_in_order_and_exactly_under_concurrency() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.set_pool_active(fixture.pool(), false).await?;
    // All on one database: where the rows go is not what is counted.
    let database = fixture.database("pool-1");
    let capacities = [1, 20, 3, 25, 8];
    let mut pools = Vec::new();
    for (number, capacity) in capacities.into_iter().enumerate() {
        let pool = NewPool::new(
            format!("small-{number}"),
            fixture.app_url(&database),
            fixture.admin_url(&database),
        );
        pools.push(platform.register_pool(pool.capacity(capacity)).await?);
    }
    // 57 have room, 64 ask.
    let created = join_all((0..64).map(|number| {
        let slug = format!("client-{number}").parse().unwrap();
        platform.create_client(NewClient::new("Client", slug, "adventurer"))
    }))
    .await;
    let full = created
        .iter()
        .filter(
            |created| matches!(created, Err(Error::NoPoolWithRoom { slug }) if slug.starts_with("client-")),
        )
        .count();
    assert_eq!(full, 7);
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 57);

    let mut conn = platform_connection(&fixture).await;
    let counts: Vec<(Uuid, i32, i64)> = rows(
        &mut conn,
        "select p.id, p.client_count, (select count(*) from platform.clients c where c.pool_id = p.id)
         from platform.pools p where p.name like 'small-%' order by p.position",
    )
    .await;
    let expected: Vec<_> = pools
        .iter()
        .zip(capacities)
        .map(|(pool, capacity)| (pool.as_uuid(), capacity, i64::from(capacity)))
        .collect();
    assert_eq!(counts, expected);
    // In the order that the log has them, no client went to a later pool while an earlier one had room.
    let placed: Vec<(Uuid,)> = rows(
        &mut conn,
        "select (after ->> 'pool_id')::uuid from platform.audit_log where action = 'clients.insert' order by id",
    )
    .await;
    let in_order: Vec<_> = expected
        .iter()
        .flat_map(|(pool, _, count)| std::iter::repeat_n((*pool,), usize::try_from(*count).unwrap()))
        .collect();
    assert_eq!(placed, in_order);
    // All who were placed are served, and nobody else is there.
    let served: i64 = one(
        &mut conn,
        "select count(*) from platform.clients where status = 'active'",
    )
    .await;
    assert_eq!(served, 57);
    Ok(())
}

#[tokio::test]
async fn a_client_is_refused_where_a_name_is_taken_or_the_tier_is_none() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    fixture.shared_client("acme").await?;
    for (client, constraint) in [
        (
            NewClient::new("Acme", "acme".parse()?, "adventurer"),
            "clients_slug_key",
        ),
        (
            NewClient::new("Bolt", "bolt".parse()?, "emperor"),
            "there is no tier emperor",
        ),
        (
            NewClient::new(" ", "bolt".parse()?, "adventurer"),
            "clients_name_not_blank",
        ),
        (
            NewClient::new("Bolt", "bolt".parse()?, "adventurer").dedicated("postgres://a", "postgres://b"),
            "clients_shared_has_no_connection",
        ),
        // Without a connection there is nothing to serve it from.
        (
            NewClient::new("Vast", "vast".parse()?, "champion"),
            "clients_dedicated_has_connection",
        ),
    ] {
        let error = platform.create_client(client).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { reason, .. } if reason.contains(constraint)),
            "{constraint}: {error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Database);
    }
    let vast = platform.client(&ClientRef::Slug("vast".parse()?)).await?.unwrap();
    assert_eq!(
        (vast.status, vast.placement, vast.hosting()),
        (
            ClientStatus::Provisioning,
            Placement::Dedicated,
            Hosting::Dedicated
        )
    );
    Ok(())
}

// The log.

#[tokio::test]
async fn a_change_and_its_log_commit_together_and_the_log_has_no_secret() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let client = fixture.dedicated_client("vast").await?;
    let platform = fixture.platform();
    platform
        .set_credential(client.id, "openai", "api_key", &"sk-planted".into())
        .await?;
    platform.set_status(client.id, ClientStatus::Suspended).await?;
    let logged: Vec<(
        String,
        String,
        Option<serde_json::Value>,
        Option<serde_json::Value>,
    )> = sqlx::query_as(
        "select action, actor, before, after from platform.audit_log where client_id = $1 order by id",
    )
    .bind(client.id)
    .fetch_all(&mut conn)
    .await?;
    let actions: Vec<_> = logged.iter().map(|(action, ..)| action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "clients.insert",
            "clients.update",
            "client_credentials.insert",
            "clients.update"
        ]
    );
    let after = logged[0].3.as_ref().unwrap();
    assert_eq!(after["app_connection"], "sealed");
    assert_eq!(after["admin_connection"], "sealed");
    assert_eq!(after["slug"], "vast");
    assert_eq!(logged[2].3.as_ref().unwrap()["sealed"], "sealed");
    let id = client.id.to_string();
    assert_eq!(
        logged[3].2.as_ref().unwrap(),
        &serde_json::json!({"id": id, "slug": "vast", "status": "active", "epoch": 1})
    );
    assert_eq!(
        logged[3].3.as_ref().unwrap(),
        &serde_json::json!({"id": id, "slug": "vast", "status": "suspended", "epoch": 2})
    );
    assert!(logged.iter().all(|(_, actor, ..)| actor == fixture.admin_role()));

    // In the same transaction: seen inside it, by the name that it gave itself, and gone with it.
    let newest = "select actor || ' ' || action from platform.audit_log order by id desc limit 1";
    let before: i64 = one(&mut conn, "select count(*) from platform.audit_log").await;
    run(
        &mut conn,
        "begin; set local platform.actor = 'ada@example'; update platform.tiers set position = 9 where name = 'paragon'",
    )
    .await;
    assert_eq!(one::<String>(&mut conn, newest).await, "ada@example tiers.update");
    run(&mut conn, "rollback").await;
    assert_eq!(
        one::<i64>(&mut conn, "select count(*) from platform.audit_log").await,
        before
    );
    // What changes nothing is not logged.
    run(
        &mut conn,
        "update platform.tiers set position = position; update platform.pools set client_count = 7",
    )
    .await;
    assert_eq!(
        one::<i64>(&mut conn, "select count(*) from platform.audit_log").await,
        before
    );
    Ok(())
}

// Secrets.

fn keyring(byte: u8) -> Keyring {
    Keyring::new(1, SecretBox::new(Box::new([byte; 32])))
}

async fn directory(fixture: &Fixture, keyring: Keyring) -> Result<PlatformDirectory, Error> {
    let url = SecretString::from(fixture.admin_url(&fixture.database("platform")));
    PlatformDirectory::connect(&url, keyring).await
}

#[tokio::test]
async fn a_credential_opens_for_its_client_and_nobody_else() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    let missing = platform.credential(acme, "openai", "api_key").await.unwrap_err();
    assert!(
        matches!(&missing, Error::MissingCredential { owner, what }
                 if *owner == format!("client {acme}") && what == "api_key of openai"),
        "{missing:?}"
    );
    for secret in ["sk-one", "sk-two"] {
        platform
            .set_credential(acme, "openai", "api_key", &secret.into())
            .await?;
        let opened = platform.credential(acme, "openai", "api_key").await?;
        assert_eq!(opened.expose_secret(), secret);
    }
    for (client, provider, kind) in [
        (bolt, "openai", "api_key"),
        (acme, "anthropic", "api_key"),
        (acme, "openai", "org"),
    ] {
        let missing = platform.credential(client, provider, kind).await.unwrap_err();
        assert!(matches!(missing, Error::MissingCredential { .. }), "{missing:?}");
        assert_eq!(missing.kind(), ErrorKind::Installation);
    }
    let unknown = ClientId::new();
    let error = platform
        .set_credential(unknown, "openai", "api_key", &"x".into())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::UnknownClient { client } if client == ClientRef::Id(unknown)),
        "{unknown}"
    );

    Ok(())
}

#[tokio::test]
async fn a_credential_opens_with_its_key_in_its_place_alone() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    platform
        .set_credential(acme, "openai", "api_key", &"sk-one".into())
        .await?;
    // Another key of the same id, and a keyring without that id.
    let other_key = directory(&fixture, keyring(9)).await?;
    let error = other_key.credential(acme, "openai", "api_key").await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::WrongKey {
                source: SecretError::Refused { key_id: 1 },
                ..
            }
        ),
        "{error:?}"
    );
    let newer = Keyring::new(2, SecretBox::new(Box::new([9; 32])));
    let error = directory(&fixture, newer)
        .await?
        .credential(acme, "openai", "api_key")
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::WrongKey {
                source: SecretError::UnknownKey { key_id: 1 },
                ..
            }
        ),
        "{error:?}"
    );

    // Copied in SQL to another client, provider or kind it does not open there.
    let mut conn = platform_connection(&fixture).await;
    for (client, provider, kind) in [
        (bolt, "openai", "api_key"),
        (acme, "anthropic", "api_key"),
        (acme, "openai", "org"),
    ] {
        sqlx::query(
            "insert into platform.client_credentials (client_id, provider, kind, sealed)
             select $1, $2, $3, sealed from platform.client_credentials where client_id = $4 and provider = 'openai'
                and kind = 'api_key'",
        )
        .bind(client)
        .bind(provider)
        .bind(kind)
        .bind(acme)
        .execute(&mut conn)
        .await?;
        let error = platform.credential(client, provider, kind).await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::WrongKey {
                    source: SecretError::Refused { .. },
                    ..
                }
            ),
            "{client} {provider} {kind}: {error:?}"
        );
    }
    // A deleted client has no secrets.
    run(
        &mut conn,
        &format!("update platform.clients set deleted_at = now() where id = '{acme}'"),
    )
    .await;
    let gone = platform.credential(acme, "openai", "api_key").await.unwrap_err();
    assert!(matches!(gone, Error::MissingCredential { .. }), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_connection_copied_to_another_row_or_column_does_not_open() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (vast, huge) = (
        fixture.dedicated_client("vast").await?.id,
        fixture.dedicated_client("huge").await?.id,
    );
    let acme = fixture.shared_client("acme").await?.id;
    let mut conn = platform_connection(&fixture).await;
    for (swap, client) in [
        (
            format!(
                "update platform.clients set app_connection =
                     (select app_connection from platform.clients where id = '{vast}') where id = '{huge}'"
            ),
            huge,
        ),
        (
            format!("update platform.clients set app_connection = admin_connection where id = '{vast}'"),
            vast,
        ),
        (
            "update platform.pools set app_connection = admin_connection".to_owned(),
            acme,
        ),
        (
            "update platform.pools set scope_key = app_connection".to_owned(),
            acme,
        ),
        (
            "update platform.pools set app_connection = scope_key".to_owned(),
            acme,
        ),
    ] {
        run(&mut conn, &swap).await;
        let manager = fixture.manager().await?;
        let error = manager.tenant(client).await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::WrongKey {
                    source: SecretError::Refused { .. },
                    ..
                }
            ),
            "{swap}: {error:?}"
        );
        manager.close().await;
    }
    Ok(())
}

/// Debug and Display of a value that can be shown both ways, and of what caused it.
fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.extend([inner.to_string(), format!("{inner:?}")]);
        cause = inner.source();
    }
    text
}

/// How many rows of the database show the text: as it is, or as the bytes of it.
async fn rows_with(conn: &mut PgConnection, secret: &str) -> i64 {
    let tables: Vec<(String,)> = rows(
        conn,
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
           and n.nspname !~ '^pg_toast'",
    )
    .await;
    assert!(tables.len() >= 6, "{tables:?}");
    let mut found = 0;
    for (table,) in tables {
        found += one::<i64>(
            conn,
            &format!(
                "select count(*) from {table} t where strpos(t::text, '{secret}') > 0
                     or strpos(t::text, encode(convert_to('{secret}', 'UTF8'), 'hex')) > 0
                     or strpos(t::text, encode(convert_to('{secret}', 'UTF8'), 'base64')) > 0"
            ),
        )
        .await;
    }
    found
}

/// Looks for a secret that belongs to the client, and makes sure that it would be found.
async fn stored_nowhere(fixture: &Fixture, acme: ClientId, secret: &str) {
    let mut conn = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    assert_eq!(rows_with(&mut conn, secret).await, 0);
    let mut pool = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    assert_eq!(rows_with(&mut pool, secret).await, 0);
    // It would have been found: as text, and as bytes.
    for planted in [
        format!(
            "update platform.clients set settings = jsonb_build_object('password', '{secret}') where id = '{acme}'"
        ),
        format!(
            "update platform.client_credentials
             set sealed = decode('5401' || repeat('ab', 44), 'hex') || convert_to('{secret}', 'UTF8')"
        ),
    ] {
        run(&mut conn, &format!("begin; {planted}")).await;
        assert!(rows_with(&mut conn, secret).await > 0, "{planted}");
        run(&mut conn, "rollback").await;
    }
}

#[tokio::test]
async fn no_secret_is_shown_or_stored_in_clear() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let secret = format!("planted{}", Uuid::new_v4().simple());
    // Refused at once: a port that nobody listens on is tried again until the pool's patience ends.
    let nowhere = format!("postgres://app:{secret}@localhost/nowhere?host=/nowhere");
    let platform = fixture.platform();
    let acme = fixture.shared_client("acme").await?.id;
    let mut texts: Vec<String> = Vec::new();
    let mut debug = |value: &dyn Debug| texts.push(format!("{value:?} {value:#?}"));

    platform
        .set_credential(acme, "openai", "api_key", &secret.as_str().into())
        .await?;
    debug(&platform.credential(acme, "openai", "api_key").await?);
    let new_client =
        NewClient::new("Vast", "vast".parse()?, "champion").dedicated(nowhere.clone(), nowhere.clone());
    debug(&new_client);
    let record = platform.create_client(new_client.clone()).await?;
    debug(&record);
    debug(&platform.client(&ClientRef::Id(record.id)).await?);
    let new_pool = NewPool::new(
        "lost",
        nowhere.clone(),
        fixture.admin_url(&fixture.database("pool-1")),
    );
    debug(&new_pool);
    let lost = platform.register_pool(new_pool.clone()).await?;
    debug(&platform.pool(lost).await?);
    debug(platform);
    platform.set_pool_active(fixture.pool(), false).await?;
    let lost_client = fixture.shared_client("lost").await?;

    let secret_key = *b"planted key of thirty-two bytes!";
    let planted_key = Keyring::new(1, SecretBox::new(Box::new(secret_key)));
    let options = ManagerOptions::new(nowhere.clone(), planted_key.clone());
    debug(&options);
    debug(&planted_key);
    let manager = fixture.manager().await?;
    let db = manager.tenant(record.id).await?;
    debug(&db);
    debug(&manager);

    let mut errors = vec![
        tenantry::ClientConnectionManager::connect(options)
            .await
            .unwrap_err(),
        db.query("agents").count().await.unwrap_err(),
        db.begin().await.unwrap_err(),
        manager.tenant(lost_client.id).await.unwrap_err(),
        platform.create_client(new_client).await.unwrap_err(),
        platform.register_pool(new_pool).await.unwrap_err(),
        platform
            .set_credential(acme, "no provider", "api_key", &secret.as_str().into())
            .await
            .unwrap_err(),
        directory(&fixture, planted_key)
            .await?
            .credential(acme, "openai", "api_key")
            .await
            .unwrap_err(),
    ];
    // URLs that cannot be read.
    for url in [format!("postgres://app:{secret}@db:port/x"), secret.clone()] {
        let options = ManagerOptions::new(url.clone(), keyring(1));
        errors.push(
            tenantry::ClientConnectionManager::connect(options)
                .await
                .unwrap_err(),
        );
        let pool = NewPool::new("unreadable", fixture.app_url("x"), url.clone());
        errors.push(platform.register_pool(pool).await.unwrap_err());
        let slug = format!("c{}", &Uuid::new_v4().simple().to_string()[..8]);
        let client = NewClient::new("Bad", slug.parse()?, "champion").dedicated(url.clone(), url);
        let client = platform.create_client(client).await?;
        errors.push(manager.tenant(client.id).await.unwrap_err());
    }
    let invalid = errors
        .iter()
        .filter(|error| matches!(error, Error::Invalid { .. }))
        .count();
    assert_eq!(invalid, 6, "{errors:#?}");
    texts.extend(errors.iter().map(shown));
    for text in &texts {
        assert!(!text.contains(&secret), "{text}");
        assert!(
            !text.contains("planted key") && !text.contains("112, 108, 97, 110"),
            "{text}"
        );
    }

    stored_nowhere(&fixture, acme, &secret).await;
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn migrating_the_platform_again_and_at_once_changes_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let count = "select count(*) from platform.migrations";
    let before: i64 = one(&mut conn, count).await;
    for outcome in join_all((0..3).map(|_| fixture.platform().migrate())).await {
        outcome?;
    }
    assert_eq!(one::<i64>(&mut conn, count).await, before);

    // On an empty database, by several processes.
    let empty = fixture.database("empty");
    let mut superuser = connect(fixture.server().connect_options("postgres")).await;
    run(
        &mut superuser,
        &format!("create database \"{empty}\" owner {}", fixture.admin_role()),
    )
    .await;
    let url = SecretString::from(fixture.admin_url(&empty));
    let directories = join_all((0..3).map(|_| PlatformDirectory::connect(&url, keyring(1)))).await;
    let directories: Vec<_> = directories.into_iter().collect::<Result<_, _>>()?;
    for outcome in join_all(directories.iter().map(PlatformDirectory::migrate)).await {
        outcome?;
    }
    let mut fresh = connect(fixture.admin_options(&empty)).await;
    assert_eq!(one::<i64>(&mut fresh, count).await, before);

    // A migration that was changed after it was applied is drift.
    run(
        &mut fresh,
        "update platform.migrations set checksum = '\\x00' where version = 3",
    )
    .await;
    let error = directories[0].migrate().await.unwrap_err();
    assert!(
        matches!(&error, Error::Migration { set: "platform", .. }),
        "{error:?}"
    );
    // And keeps nobody else waiting.
    let error = directories[1].migrate().await.unwrap_err();
    assert!(matches!(&error, Error::Migration { .. }), "{error:?}");
    for directory in &directories {
        directory.close().await;
    }
    drop(fresh);
    run(&mut superuser, &format!("drop database \"{empty}\" with (force)")).await;
    Ok(())
}
