#![expect(clippy::disallowed_methods, reason = "reads what is installed in a database")]

use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::{PgConnection, Row as _};

/// How far the schema of a pool or dedicated database is, as the database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchemaState {
    pub(crate) host_version: Option<i64>,
    /// `None` where it is not known what is applied.
    pub(crate) host_checksum: Option<Vec<u8>>,
    pub(crate) kernel_version: Option<i64>,
    pub(crate) kernel_checksum: Option<Vec<u8>>,
    pub(crate) shape: Option<String>,
}

impl SchemaState {
    /// What the installation of a database says, which has a kernel.
    pub(crate) async fn read(admin: &mut PgConnection) -> sqlx::Result<Self> {
        let (host_version, host_checksum): (Option<i64>, Option<Vec<u8>>) =
            sqlx::query_as("select host_version, host_checksum from tenantry.installation")
                .persistent(false)
                .fetch_one(&mut *admin)
                .await?;
        let kernel: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select version, checksum from tenantry.migrations order by version")
                .persistent(false)
                .fetch_all(&mut *admin)
                .await?;
        Ok(Self {
            host_version,
            host_checksum,
            kernel_version: kernel.last().map(|(version, _)| *version),
            kernel_checksum: Some(fingerprint(
                kernel
                    .iter()
                    .map(|(version, checksum)| (*version, checksum.as_slice())),
            )),
            shape: Some(shape(admin).await?),
        })
    }
}

/// SHA-256 over versions and checksums of migrations, which come in order.
pub(crate) fn fingerprint<'a>(migrations: impl IntoIterator<Item = (i64, &'a [u8])>) -> Vec<u8> {
    let mut digest = Sha256::new();
    for (version, checksum) in migrations {
        digest.update(version.to_be_bytes());
        digest.update(checksum);
    }
    digest.finalize().to_vec()
}

/// That of a database where all of them are applied.
pub(crate) fn fingerprint_of(migrator: &Migrator) -> Vec<u8> {
    let up = migrator
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration());
    fingerprint(up.map(|migration| (migration.version, &*migration.checksum)))
}

/// A hash of the host's tables, views, functions, keys, indexes and policies. What the crate itself makes and removes
/// while a database is served does not count.
pub(crate) async fn shape(conn: &mut PgConnection) -> sqlx::Result<String> {
    // Names are told in full, whatever a migration left the session with. One message, one transaction.
    const ALONE: &str = concat!(
        "set local search_path = pg_catalog, pg_temp;\n",
        include_str!("shape.sql"),
    );
    sqlx::raw_sql(ALONE).fetch_one(conn).await?.try_get(0)
}

/// The newest of the host's migrations that the database says it has. `None` where it says none, or has no kernel
/// that could.
pub(crate) async fn host_version(app: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    let says: bool = sqlx::query_scalar("select to_regprocedure('tenantry.host_version()') is not null")
        .persistent(false)
        .fetch_one(&mut *app)
        .await?;
    if !says {
        return Ok(None);
    }
    sqlx::query_scalar("select tenantry.host_version()")
        .persistent(false)
        .fetch_one(app)
        .await
}
