#![expect(clippy::disallowed_methods, reason = "installs kernels and host migrations")]

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::PgConnection;
use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::migrations_lock::lock_migrations;
use super::state::fingerprint_of;
use crate::client::{ClientId, Epoch};
use crate::error::{Error, Result};
use crate::secret::ScopeKey;

/// Where the kernel's migrations are noted in a pool or dedicated database.
pub(crate) const KERNEL_LEDGER: &str = "tenantry.migrations";

/// How long a process waits for another that migrates the same database.
const LOCK_WAIT: Duration = Duration::from_mins(10);

/// What [`apply_to_pool`] or [`apply_to_dedicated`] left in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installed {
    /// The newest of the host's migrations, `None` where it has none.
    pub host_version: Option<i64>,
    /// SHA-256 over versions and checksums of the host's migrations, in order; down migrations do not count.
    pub host_checksum: Vec<u8>,
}

/// Brings a pool database to the crate's kernel and the host's schema. Safe to run again, and by several
/// processes at once: they wait for each other, for ten minutes at most. [`Fleet`](crate::Fleet) does it for all.
///
/// `admin` is a connection as the admin role, which owns the database; `app_role` is the role that the
/// manager will connect as. The extension `vector` must be creatable by the admin role where the host's
/// migrations create it. The host's migrations call `select tenantry.protect('table')` for each tenant table
/// and `select tenantry.share('table')` for each table that all clients read.
///
/// # Errors
/// [`Error::Migration`] where a migration fails, or where one that was applied has changed or is missing
/// (drift); the migrations before it stay applied, and the connection can be used again.
///
/// # Cancel safety
/// Each migration commits or not as a whole; call it again to go on. Close the connection after a
/// cancellation: it holds the migrator's lock.
pub async fn apply_to_pool(admin: &mut PgConnection, app_role: &str, host: &Migrator) -> Result<Installed> {
    let database = name_of(admin, "pool").await?;
    let kernel = pool_kernel();
    run(&kernel, admin)
        .await
        .map_err(|source| failed(&database, "kernel", source))?;
    sqlx::query("select tenantry.configure($1)")
        .bind(app_role)
        .execute(&mut *admin)
        .await
        .map_err(|source| failed(&database, "kernel", source.into()))?;
    apply_host(admin, &database, host).await
}

/// Brings a dedicated database to the crate's twin kernel and the host's schema, for its one client.
///
/// # Errors
/// As [`apply_to_pool`]; also where the database belongs to another client.
///
/// # Cancel safety
/// As [`apply_to_pool`].
pub async fn apply_to_dedicated(
    admin: &mut PgConnection,
    app_role: &str,
    client: ClientId,
    host: &Migrator,
) -> Result<Installed> {
    let database = name_of(admin, "dedicated").await?;
    let kernel = dedicated_kernel();
    run(&kernel, admin)
        .await
        .map_err(|source| failed(&database, "kernel", source))?;
    sqlx::query("select tenantry.configure($1, $2)")
        .bind(app_role)
        .bind(client)
        .execute(&mut *admin)
        .await
        .map_err(|source| failed(&database, "kernel", source.into()))?;
    apply_host(admin, &database, host).await
}

/// Versions and checksums of the crate's catalogue in the platform database, in order.
pub(crate) fn platform_migrations() -> Vec<(i64, Vec<u8>)> {
    let migrations = sqlx::migrate!("migrations/platform").migrations.into_owned();
    let of = |migration: sqlx::migrate::Migration| (migration.version, migration.checksum.into_owned());
    migrations.into_iter().map(of).collect()
}

/// Brings the platform database to the crate's catalogue.
pub(crate) async fn apply_to_platform(conn: &mut PgConnection) -> Result<()> {
    let catalogue = kernel(
        sqlx::migrate!("migrations/platform").migrations.into_owned(),
        "platform.migrations",
        "platform",
    );
    run(&catalogue, conn)
        .await
        .map_err(|source| failed("platform database", "platform", source))
}

/// Gives the kernel of a pool database a key to verify tickets with.
pub(crate) async fn install_scope_key(admin: &mut PgConnection, key: &ScopeKey) -> Result<()> {
    sqlx::query("select tenantry.install_key($1, $2)")
        .bind(key.id)
        .bind(key.key.expose_secret().as_slice())
        .execute(&mut *admin)
        .await
        .map(drop)
        .map_err(|source| Error::Unreachable {
            database: "pool database".to_owned(),
            step: "installing its scope key",
            source: source.into(),
        })
}

/// Takes from the kernel of a pool database the keys before that one.
pub(crate) async fn retire_scope_keys(admin: &mut PgConnection, before: i32) -> Result<()> {
    sqlx::query("select tenantry.retire_keys($1)")
        .bind(before)
        .execute(&mut *admin)
        .await
        .map(drop)
        .map_err(|source| Error::Unreachable {
            database: "pool database".to_owned(),
            step: "retiring its scope keys",
            source: source.into(),
        })
}

/// The id that the next scope key of a pool database takes.
pub(crate) async fn next_scope_key_id(admin: &mut PgConnection) -> Result<i32> {
    sqlx::query_scalar("select coalesce(max(key_id), 0) + 1 from tenantry.scope_keys")
        .fetch_one(admin)
        .await
        .map_err(|source| Error::Unreachable {
            database: "pool database".to_owned(),
            step: "reading its scope keys",
            source: source.into(),
        })
}

/// Makes a client served by this pool database under the epoch, with the lock that waits for its
/// transactions in flight.
pub(crate) async fn place(
    admin: &mut PgConnection,
    client: ClientId,
    state: &str,
    epoch: Epoch,
) -> Result<()> {
    sqlx::query("select tenantry.place($1, $2, $3)")
        .bind(client)
        .bind(state)
        .bind(epoch)
        .execute(admin)
        .await
        .map(drop)
        .map_err(|source| Error::of_statement(client, "placing the client in its pool database", source))
}

/// Makes every session of the client be bound again, under that epoch. Waits for its transactions in flight, for
/// some seconds and in turns: the statements of the client wait behind whoever waits for them.
pub(crate) async fn renew(
    admin: &mut PgConnection,
    client: ClientId,
    epoch: Epoch,
    suspended: bool,
) -> Result<()> {
    const TURNS: u32 = 10;
    let mut turn = 1;
    loop {
        let renewed = sqlx::query(
            "select pg_catalog.set_config('lock_timeout', '300ms', true), tenantry.renew($1, $2, $3)",
        )
        .bind(client)
        .bind(epoch)
        .bind(suspended)
        .execute(&mut *admin)
        .await
        .map_err(|source| Error::of_statement(client, "changing the client in its pool database", source));
        match renewed {
            Err(failed) if turn < TURNS && failed.sqlstate().as_deref() == Some("55P03") => {
                tokio::time::sleep(Duration::from_millis(50) * turn).await;
                turn += 1;
            }
            renewed => return renewed.map(drop),
        }
    }
}

async fn apply_host(admin: &mut PgConnection, database: &str, host: &Migrator) -> Result<Installed> {
    run(host, admin)
        .await
        .map_err(|source| failed(database, "host", source))?;
    let installed = Installed {
        host_version: host.iter().map(|migration| migration.version).max(),
        host_checksum: fingerprint_of(host),
    };
    sqlx::query("update tenantry.installation set host_version = $1, host_checksum = $2")
        .bind(installed.host_version)
        .bind(&installed.host_checksum)
        .execute(admin)
        .await
        .map_err(|source| failed(database, "host", source.into()))?;
    Ok(installed)
}

/// Where it fails, sqlx leaves the migrator's lock taken: other processes would wait for as long as the
/// connection is open.
async fn run(migrator: &Migrator, conn: &mut PgConnection) -> Result<(), MigrateError> {
    // Taken in turns first: sqlx's own is a session's second, and waits for nobody.
    lock_migrations(conn, LOCK_WAIT).await?;
    let outcome = migrator.run_direct(None, conn, false).await;
    if outcome.is_err() {
        let _ = conn.unlock().await;
    }
    let _ = conn.unlock().await;
    outcome
}

/// The kernel of a pool database.
pub(crate) fn pool_kernel() -> Migrator {
    kernel(
        sqlx::migrate!("migrations/pool").migrations.into_owned(),
        KERNEL_LEDGER,
        "tenantry",
    )
}

/// The kernel of a dedicated database.
pub(crate) fn dedicated_kernel() -> Migrator {
    kernel(
        sqlx::migrate!("migrations/dedicated").migrations.into_owned(),
        KERNEL_LEDGER,
        "tenantry",
    )
}

/// The crate's own migrations keep their ledger beside what they create, apart from the host's.
fn kernel(migrations: Vec<sqlx::migrate::Migration>, ledger: &'static str, schema: &'static str) -> Migrator {
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(ledger);
    migrator.create_schema(schema);
    migrator
}

async fn name_of(conn: &mut PgConnection, kind: &str) -> Result<String> {
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(conn)
        .await
        .map_err(|source| Error::Unreachable {
            database: format!("{kind} database"),
            step: "migrating it",
            source: source.into(),
        })?;
    Ok(format!("{kind} database {name}"))
}

fn failed(database: &str, set: &'static str, source: MigrateError) -> Error {
    Error::Migration {
        database: database.to_owned(),
        set,
        source: source.into(),
    }
}
