#![expect(
    clippy::disallowed_methods,
    reason = "notes what the schemas of databases are known to be"
)]

use sqlx::PgConnection;
use uuid::Uuid;

use super::platform::{PlatformDirectory, failed};
use crate::client::{ClientId, PoolId};
use crate::error::Result;
use crate::schema::SchemaState;

/// Whose schema it is: of a pool database, or of the database of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FleetOwner {
    /// A pool database.
    Pool(PoolId),
    /// The dedicated database of that client.
    Client(ClientId),
}

impl FleetOwner {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Pool(_) => "pool",
            Self::Client(_) => "dedicated",
        }
    }

    pub(crate) const fn as_uuid(self) -> Uuid {
        match self {
            Self::Pool(id) => id.as_uuid(),
            Self::Client(id) => id.as_uuid(),
        }
    }
}

impl PlatformDirectory {
    /// Notes how far the schema of a database is, after the database was brought there.
    pub(crate) async fn note_schema(&self, of: FleetOwner, state: &SchemaState) -> Result<()> {
        const STEP: &str = "noting the schema of a database";
        let mut writing = self.write(STEP).await?;
        write_schema(writing.conn()?, of, state, None)
            .await
            .map_err(failed(STEP))?;
        writing.commit().await
    }
}

/// The same, in the transaction of more, and why it got no further.
pub(crate) async fn write_schema(
    platform: &mut PgConnection,
    of: FleetOwner,
    state: &SchemaState,
    failure: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into platform.known_schemas as k
             (id, kind, host_version, host_checksum, kernel_version, kernel_checksum, shape, failure)
         values ($1, $2, $3, encode($4, 'hex'), $5, encode($6, 'hex'), $7, left($8, 1000))
         on conflict (id) do update set
             kind = excluded.kind, host_version = excluded.host_version, host_checksum = excluded.host_checksum,
             kernel_version = excluded.kernel_version, kernel_checksum = excluded.kernel_checksum,
             shape = excluded.shape, failure = excluded.failure, updated_at = now()",
    )
    .bind(of.as_uuid())
    .bind(of.kind())
    .bind(state.host_version)
    .bind(&state.host_checksum)
    .bind(state.kernel_version)
    .bind(&state.kernel_checksum)
    .bind(&state.shape)
    .bind(failure)
    .execute(platform)
    .await
    .map(drop)
}
