#![expect(
    clippy::disallowed_methods,
    reason = "reads a client's rows as the admin role"
)]

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWrite;

use super::file::{FileWriter, Section};
use super::heading::{End, Heading, TableEnd, TableRows, Whose};
use super::reach::Reach;
use super::session;
use crate::client::{ClientId, ClientRecord, ClientRef, Placement};
use crate::directory::{Directory, PlatformDirectory};
use crate::error::{Error, PortableError, Result};
use crate::schema::{self, ContentHash, HostTable, Manifest, RowHash, Unloading};

/// What of a client is exported, and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    pub(super) reach: Reach,
    hashed: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            reach: Reach::default(),
            hashed: true,
        }
    }
}

impl ExportOptions {
    /// Tables, as `schema.name`, that are not the client's, though they are neither shared nor the ledger of the
    /// host's migrations; or whose rows can be made anew. Defaults to none.
    #[must_use]
    pub fn leave_out<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.reach.leave_out(tables);
        self
    }

    /// Whether the file has a hash of each table's rows, which a restore then compares with that of what its server has
    /// after loading; without, it compares their number. It is computed of the rows on their way, but where columns are
    /// arrays, composites or ranges of the host's own types: their tables are read twice. Defaults to `true`.
    #[must_use]
    pub fn content_hash(mut self, hashed: bool) -> Self {
        self.hashed = hashed;
        self
    }

    /// How long a change of a table's definition is waited for. Defaults to 10 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.reach.lock_timeout = timeout;
        self
    }
}

/// What [`export_client`](PlatformDirectory::export_client) wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// The client.
    pub client: ClientId,
    /// Its tables in the order of the file, also those without rows.
    pub tables: Vec<TableRows>,
    /// How many bytes the file has.
    pub bytes: u64,
    /// The last digest of the file, in hexadecimal: SHA-256 over everything in it but its digests.
    pub digest: String,
}

impl PlatformDirectory {
    /// Writes all rows of a client as a file, from one snapshot of its database: what was committed when it was taken,
    /// and nothing later. Nobody waits meanwhile, but changes of the tables' definitions. The writer is flushed and
    /// not shut down. Memory is bounded by the longest row, or 1 MiB.
    ///
    /// Which tables those are is read from the database: on a pool database each table with a `client_id`; on a
    /// dedicated one every table of the host's. Left out are shared tables, the ledger of the host's migrations, those
    /// of extensions, and what [`leave_out`](ExportOptions::leave_out) names; any other table stops the export, so
    /// that none is forgotten. The file has no `client_id`, no columns that are computed, no large objects, no
    /// credentials, and nothing of the platform database but the client's names.
    ///
    /// The file holds the client's rows **in clear**, and its digests tell damage, not forgery: keep it as you keep
    /// the database. To seal or compress it, hand over a writer that does.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Portable`] where a table is not classified, a dedicated database has rows of
    /// another client, or writing fails; [`Error::Moved`] where the client moved meanwhile;
    /// [`Error::MissingCredential`], [`Error::WrongKey`] and [`Error::Unreachable`] where the admin role cannot
    /// connect; [`Error::Statement`] where its rights do not suffice.
    ///
    /// # Cancel safety
    /// Dropped, what was written has no end, and is refused by [`restore_client`](Self::restore_client).
    pub async fn export_client<W>(
        &self,
        client: ClientId,
        to: W,
        options: &ExportOptions,
    ) -> Result<ExportReport>
    where
        W: AsyncWrite + Unpin + Send,
    {
        let unknown = || Error::UnknownClient {
            client: client.into(),
        };
        let record = self.client(&ClientRef::Id(client)).await?.ok_or_else(unknown)?;
        let (mut admin, placement) = self.client_admin(client).await?;
        let manifest = begin(&mut admin, client, placement, options).await?;
        let report = write(&mut admin, &record, &manifest, to, options).await;
        // On a failure the rest of a COPY would be waited for.
        if report.is_ok() {
            let _ = admin.close().await;
        }
        report
    }
}

/// Begins the transaction whose snapshot the rows are of, and reads which tables there are.
///
/// The tables are locked before the snapshot is taken: one that is rewritten or truncated in between would look empty.
async fn begin(
    admin: &mut PgConnection,
    client: ClientId,
    placement: Placement,
    options: &ExportOptions,
) -> Result<Manifest> {
    const TURNS: u32 = 3;
    let run = |sql| (client, "beginning the snapshot of its rows", sql);
    for _ in 0..TURNS {
        session::begin(admin, client, options.reach.lock_timeout, "read only").await?;
        let before = Manifest::read(admin, client, placement, &options.reach.left_out).await?;
        if let Some(table) = before.not_there.first() {
            return Err(Error::Portable {
                client,
                source: PortableError::UnknownTable { table: table.clone() },
            });
        }
        let mut sql = "commit; begin isolation level repeatable read, read only".to_owned();
        let tables: Vec<&str> = before.tables.iter().map(|table| table.sql.as_str()).collect();
        if !tables.is_empty() {
            sql = format!("{sql}; lock table {} in access share mode", tables.join(", "));
        }
        let (client, step, sql) = run(sql);
        session::execute(admin, client, step, sql).await?;
        let manifest = Manifest::read(admin, client, placement, &options.reach.left_out).await?;
        let locked = |table: &HostTable| before.tables.iter().any(|known| known.oid == table.oid);
        if manifest.tables.iter().all(locked) {
            if manifest.shared {
                schema::expect_here(admin, client).await?;
            }
            session::spell_out_names(admin, client).await?;
            return Ok(manifest);
        }
        session::execute(admin, client, step, "rollback".to_owned()).await?;
    }
    Err(Error::Busy {
        client,
        what: "the tables of its database to stay the same",
        waited: options.reach.lock_timeout * TURNS,
    })
}

async fn write<W>(
    admin: &mut PgConnection,
    record: &ClientRecord,
    manifest: &Manifest,
    to: W,
    options: &ExportOptions,
) -> Result<ExportReport>
where
    W: AsyncWrite + Unpin + Send,
{
    let client = record.id;
    let (server_version, taken_at): (String, String) =
        sqlx::query_as("select current_setting('server_version'), now()::text")
            .fetch_one(&mut *admin)
            .await
            .map_err(|source| Error::of_statement(client, "reading the version of its server", source))?;
    let heading = Heading {
        crate_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_version,
        taken_at,
        client: Whose::of(record),
        left_out: options.reach.left_out.clone(),
        tables: Heading::tables_of(manifest),
    };
    let mut file = FileWriter::begin(to, client).await?;
    file.json(Section::Heading, 0, &heading).await?;

    let mut tables = Vec::with_capacity(manifest.tables.len());
    let alike = RowHash::is_that_of(admin)
        .await
        .map_err(|source| Error::of_statement(client, "asking its server for a hash", source))?;
    for (number, table) in (0..).zip(&manifest.tables) {
        let on_its_way = options.hashed && alike && table.hashed_as_sent();
        let by_server = options.hashed && !on_its_way;
        let mut content = ContentHash::of(admin, manifest, table, table.columns(), by_server).await?;
        let hash = on_its_way.then(RowHash::default);
        let mut unloading = Unloading::begin(admin, manifest, table, hash).await?;
        while let Some(rows) = unloading.next().await? {
            file.section(Section::Rows, number, rows).await?;
        }
        let ContentHash { rows, hash } = unloading.content();
        if rows != content.rows {
            return Err(Error::Portable {
                client,
                source: PortableError::ContentDiffers {
                    table: table.qualified(),
                    reason: format!("{rows} rows of {}", content.rows),
                },
            });
        }
        content.hash = content.hash.or(hash);
        file.json(Section::TableEnd, number, &TableEnd { content })
            .await?;
        tables.push(TableRows {
            table: table.qualified(),
            rows,
        });
    }
    let end = End {
        tables: u32::try_from(tables.len()).unwrap_or(u32::MAX),
        rows: tables.iter().map(|table| table.rows).sum(),
    };
    let digest = file.json(Section::End, end.tables, &end).await?;
    file.flush().await?;
    Ok(ExportReport {
        client,
        tables,
        bytes: file.bytes,
        digest: hex::encode(digest),
    })
}
