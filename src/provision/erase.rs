//! Erasing a client: its rows, its own indexes, its credentials and its connections.
//!
//! The phases, each of which can be done again: the client is noted as being erased and as deleted, which frees its
//! names; its pool database is told to refuse it for ever; what there is gets counted and noted; its own indexes are
//! dropped; its rows are deleted, children first; and last its credentials and connections, with a note that it is
//! done.

mod journal;
pub(crate) mod removal;

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use self::journal::{Erasure, Found};
use super::TableRows;
use super::portable::reach::Reach;
use super::portable::session;
use crate::client::{ClientId, Placement};
use crate::directory::PlatformDirectory;
use crate::error::Result;
use crate::schema::{self, Manifest};

/// When and how a client is erased.
#[derive(Clone, Debug)]
pub struct EraseOptions {
    after: Option<Duration>,
    batch: u32,
    reach: Reach,
}

impl Default for EraseOptions {
    fn default() -> Self {
        Self {
            after: None,
            batch: 10_000,
            reach: Reach::default(),
        }
    }
}

impl EraseOptions {
    /// How long the client must have been archived, or deleted. Defaults to the retention of its plan; to 30 days
    /// where that has none.
    #[must_use]
    pub fn after(mut self, retention: Duration) -> Self {
        self.after = Some(retention);
        self
    }

    /// How many rows of a pool database are deleted in one transaction, at least one. Defaults to 10,000.
    #[must_use]
    pub fn batch(mut self, rows: u32) -> Self {
        self.batch = rows.max(1);
        self
    }

    /// Tables, as `schema.name`, that are not the client's, though they are neither shared nor the ledger of the
    /// host's migrations. Defaults to none.
    #[must_use]
    pub fn leave_out<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.reach.leave_out(tables);
        self
    }

    /// How long transactions in flight are waited for, and locks. Defaults to 10 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.reach.lock_timeout = timeout;
        self
    }
}

/// What [`erase_client`](PlatformDirectory::erase_client) removed.
///
/// Not removed, and to be seen to by who must: backups and write-ahead logs until they expire, files that were
/// exported, the audit log of the platform database, which has the client's former names and no secrets, and the
/// client's row there, which is deleted and keeps its id, name and settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EraseReport {
    /// The client.
    pub client: ClientId,
    /// How many rows each of its tables had before any was removed; none has one now. Those without rows are named,
    /// too.
    pub tables: Vec<TableRows>,
    /// Its own indexes on vectors.
    pub vector_indexes: Vec<String>,
    /// How many of its credentials were removed, besides the connections to its own database.
    pub credentials: u64,
    /// Its own database, by name: it has no rows of the client any more, and can be dropped.
    pub database_to_drop: Option<String>,
}

impl PlatformDirectory {
    /// Removes all that is a client's: its rows, its own indexes, its credentials and the connections to its own
    /// database. The client is deleted then, and its names are free. It must be archived or deleted, and have been so
    /// for [`after`](EraseOptions::after).
    ///
    /// On a pool database the client is refused from the beginning on and for ever, whoever remembers what; rows are
    /// deleted in batches, children first, and tables that refer to themselves or to each other in a circle in one
    /// statement. Nobody waits for that. A dedicated database is emptied but for shared tables and the ledger of the
    /// host's migrations, and named for being dropped: processes that still have connections to it could write.
    ///
    /// Which tables those are is read from the database, as [`export_client`](Self::export_client) has it. Once it
    /// has begun it is not undone. Called again, it goes on where it was interrupted, or tells again what it removed.
    ///
    /// # Errors
    /// [`Error::UnknownClient`](crate::Error::UnknownClient); [`Error::Portable`](crate::Error::Portable) where the
    /// client is not archived or deleted for long enough, a table is not classified, or a trigger of the host keeps
    /// rows; [`Error::Relocating`](crate::Error::Relocating);
    /// [`Error::MissingCredential`](crate::Error::MissingCredential), [`Error::WrongKey`](crate::Error::WrongKey) and
    /// [`Error::Unreachable`](crate::Error::Unreachable) where the admin role cannot connect; to be retried,
    /// [`Error::Busy`](crate::Error::Busy) where an index is built in its database, and
    /// [`Error::Statement`](crate::Error::Statement) where transactions in flight do not end in time.
    ///
    /// # Cancel safety
    /// Dropped, some of it was removed. Call it again.
    pub async fn erase_client(&self, client: ClientId, options: &EraseOptions) -> Result<EraseReport> {
        let erasure = self.begin_erasure(client, options.after).await?;
        // Of one that was finished nothing is left to be removed: it is told what was.
        let found = self.remove_rows(&erasure, options).await?;
        self.finish_erasure(client).await?;
        Ok(EraseReport {
            client,
            tables: found.tables,
            vector_indexes: found.vector_indexes,
            credentials: found.credentials,
            database_to_drop: found.database,
        })
    }

    async fn remove_rows(&self, erasure: &Erasure, options: &EraseOptions) -> Result<Found> {
        let client = erasure.client;
        let placement = erasure.pool.map_or(Placement::Dedicated, Placement::Pool);
        let connected = match erasure.pool {
            Some(pool) => self.pool_admin(pool).await,
            None if erasure.has_database => self.dedicated_admin(client).await,
            None => return self.note_found(client, Found::default()).await,
        };
        let mut admin = match connected {
            // Its own database was dropped already.
            Err(error) if erasure.pool.is_none() && error.sqlstate().as_deref() == Some("3D000") => {
                return self.note_found(client, Found::default()).await;
            }
            connected => connected?,
        };
        if erasure.pool.is_some() {
            session::prepare(&mut admin, client, options.reach.lock_timeout).await?;
            schema::entomb(&mut admin, client, erasure.epoch).await?;
        }
        session::begin(&mut admin, client, options.reach.lock_timeout, "").await?;
        let manifest = Manifest::read(&mut admin, client, placement, &options.reach.left_out).await?;
        removal::lock(&mut admin, &manifest).await?;
        let counted = removal::count(&mut admin, &manifest).await?;
        let found = self.note_found(client, counted).await?;
        self.remove(&mut admin, &manifest, options).await?;
        let _ = admin.close().await;
        Ok(found)
    }

    async fn remove(
        &self,
        admin: &mut PgConnection,
        manifest: &Manifest,
        options: &EraseOptions,
    ) -> Result<()> {
        let client = manifest.client;
        let step = "removing its rows";
        if !manifest.shared {
            removal::empty(admin, manifest).await?;
            return removal::commit(admin, client, step).await;
        }
        removal::commit(admin, client, step).await?;
        removal::drop_own_indexes(admin, manifest).await?;
        removal::delete(admin, manifest, options.batch).await?;
        removal::expect_none(admin, manifest).await
    }
}
