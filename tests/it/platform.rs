//! The platform database refuses what does not fit, counts exactly, and shows no secret.

mod audit;
mod clients;
mod credentials;
mod disclosure;
mod migrations;
mod rules;

use secrecy::{SecretBox, SecretString};
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{Error, Keyring, PlatformDirectory};

use crate::sql::connect;

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

async fn platform_connection(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}

fn keyring(byte: u8) -> Keyring {
    Keyring::new(1, SecretBox::new(Box::new([byte; 32])))
}

async fn directory(fixture: &Fixture, keyring: Keyring) -> Result<PlatformDirectory, Error> {
    let url = SecretString::from(fixture.admin_url(&fixture.database("platform")));
    PlatformDirectory::connect(&url, keyring).await
}
