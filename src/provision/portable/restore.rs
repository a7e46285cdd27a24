use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::io::AsyncRead;

use super::file::{FileReader, Section};
use super::heading::{End, Heading, TableEnd, TableRows};
use super::reach::Reach;
use super::sequences;
use super::session;
use super::staged;
use super::target::{Target, targets};
use crate::client::{ClientId, ClientRecord, ClientRef, ClientStatus, Placement};
use crate::directory::{Directory, PlatformDirectory};
use crate::error::{Error, PortableError, Result, is_connection_failure};
use crate::provision::NewClient;
use crate::schema::{self, ContentHash, Lifted, Loading, Manifest};

/// Whom a file is restored into.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RestoreInto {
    /// A client to be created.
    New(NewClient),
    /// A client that is there, is active or provisioning, and has no rows.
    Existing(ClientId),
}

impl From<NewClient> for RestoreInto {
    fn from(client: NewClient) -> Self {
        Self::New(client)
    }
}

impl From<ClientId> for RestoreInto {
    fn from(client: ClientId) -> Self {
        Self::Existing(client)
    }
}

/// How a file is restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    pub(super) reach: Reach,
}

impl RestoreOptions {
    /// Tables of the database to restore into, as `schema.name`, that the file need not have, besides those that were
    /// left out of it. Defaults to none.
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

/// What [`restore_client`](PlatformDirectory::restore_client) loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The client that has the rows now.
    pub client: ClientId,
    /// The client that the file was exported from.
    pub exported_from: ClientId,
    /// When the snapshot was taken that the rows are of, by the clock of its server, with its offset.
    pub taken_at: String,
    /// The tables in the order of the file, also those without rows.
    pub tables: Vec<TableRows>,
}

impl PlatformDirectory {
    /// Loads the rows of a file into a client that has none: one that is created for it and then activated, or one
    /// that is there. It may be the client of the file or another, hosted the same way or not. All rows are there
    /// afterwards, or none: they are loaded in one transaction that commits after the last section of the file was
    /// read, every digest was right, and every table has the rows that were exported, by their number and, where the
    /// file has it, their hash.
    ///
    /// Both databases have the same tables with the same columns, but for `client_id`, which rows get where the table
    /// has it, and columns that are computed. Sequences go on from where they were there, and never go back. Own
    /// indexes on vectors are not restored: see [`promote_vectors`](Self::promote_vectors). A table that refers to one
    /// that comes later in the file waits in a temporary table, and tables that refer to each other in a circle are
    /// filled by one statement. Triggers of the host run: what they change makes the hashes differ, and then nothing
    /// is restored. Values that name a client in another column than `client_id` are restored as they were.
    ///
    /// On a pool database nobody but the client itself is kept waiting; on a dedicated one its tables are
    /// locked, against reading as well, and foreign keys and indexes are taken off them and put back as
    /// they were in the same transaction, which checks all rows at once; where the role does not own the tables, each
    /// row is checked. So it is on a pool database, unless the admin role was granted to set
    /// `session_replication_role`: then no trigger runs, and foreign keys are checked for all rows at once. What follows
    /// the file's end is not read.
    ///
    /// # Errors
    /// [`Error::Portable`] where the file is damaged or cannot be read, the tables differ, the client has rows, or what
    /// was loaded is not what was exported; [`Error::UnknownClient`]; [`Error::NotServed`] where it is neither active
    /// nor provisioning; [`Error::Relocating`]; [`Error::Constraint`] and [`Error::Statement`] where the database
    /// refuses rows, or the client's transactions in flight do not end in time; [`Error::CommitUnknown`]; and for one
    /// to be created those of [`create_client`](Self::create_client). After each but `CommitUnknown` nothing was
    /// restored, and a client that was created for it is gone; only where activating it fails, it is provisioning with
    /// all rows, and [`activate`](Self::activate) goes on.
    ///
    /// # Cancel safety
    /// Dropped, all rows were restored or none. A client that was to be created can be left provisioning, not served,
    /// with all rows or none.
    pub async fn restore_client<R>(
        &self,
        into: impl Into<RestoreInto> + Send,
        from: R,
        options: &RestoreOptions,
    ) -> Result<RestoreReport>
    where
        R: AsyncRead + Unpin + Send,
    {
        match into.into() {
            RestoreInto::Existing(client) => {
                let unknown = || Error::UnknownClient {
                    client: client.into(),
                };
                let record = self.client(&ClientRef::Id(client)).await?.ok_or_else(unknown)?;
                match record.status {
                    ClientStatus::Active | ClientStatus::Provisioning => {}
                    status => return Err(Error::NotServed { client, status }),
                }
                self.restore_into(&record, from, options).await
            }
            RestoreInto::New(new) => {
                let client = new.id.unwrap_or_else(ClientId::new);
                // Before anything is created for it.
                let file = FileReader::begin(from, client).await?;
                self.create_provisioning(&new.id(client)).await?;
                let restored = self.restore_new(client, file, options).await;
                match &restored {
                    Ok(_) | Err(Error::CommitUnknown { .. }) => {}
                    Err(_) => self.forget_provisioning(client).await,
                }
                let report = restored?;
                self.activate(client).await?;
                Ok(report)
            }
        }
    }

    async fn restore_new<R: AsyncRead + Unpin + Send>(
        &self,
        client: ClientId,
        file: FileReader<R>,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        let unknown = || Error::UnknownClient {
            client: client.into(),
        };
        let record = self.client(&ClientRef::Id(client)).await?.ok_or_else(unknown)?;
        self.load_file(&record, file, options).await
    }

    async fn restore_into<R: AsyncRead + Unpin + Send>(
        &self,
        record: &ClientRecord,
        from: R,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        let file = FileReader::begin(from, record.id).await?;
        self.load_file(record, file, options).await
    }

    async fn load_file<R: AsyncRead + Unpin + Send>(
        &self,
        record: &ClientRecord,
        mut file: FileReader<R>,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        let client = record.id;
        let (Section::Heading, _) = file.section().await? else {
            return Err(file.damaged("it has no heading"));
        };
        let heading: Heading = file.json()?;
        let left_out = [&options.reach.left_out[..], &heading.left_out[..]].concat();

        let (mut admin, placement) = self.client_admin(client).await?;
        session::begin(&mut admin, client, options.reach.lock_timeout, "").await?;
        let before = Manifest::read(&mut admin, client, placement, &left_out).await?;
        // What cannot be restored into keeps nobody waiting.
        targets(&heading, &before)?;
        expect_empty(&mut admin, &before).await?;
        hold(&mut admin, record, &before).await?;
        expect_empty(&mut admin, &before).await?;
        let lifted = Lifted::lift(&mut admin, &before).await?;
        // A table that refers to nothing any more waits for nothing.
        let manifest = Manifest::read(&mut admin, client, placement, &left_out).await?;
        let targets = targets(&heading, &manifest)?;
        let contents = load(&mut admin, &manifest, &targets, &mut file).await?;
        staged::unstage(&mut admin, client, &targets).await?;
        let step = "checking the constraints that were deferred";
        session::execute(
            &mut admin,
            client,
            step,
            "set constraints all immediate".to_owned(),
        )
        .await?;
        lifted.put_back(&mut admin).await?;
        verify(&mut admin, &manifest, &targets, &contents).await?;
        sequences::advance(&mut admin, &manifest, &targets).await?;
        commit(&mut admin, client).await?;
        let _ = admin.close().await;
        Ok(RestoreReport {
            client,
            exported_from: heading.client.id,
            taken_at: heading.taken_at.clone(),
            tables: (targets.iter().zip(&contents))
                .map(|(target, content)| TableRows {
                    table: target.here.qualified(),
                    rows: content.rows,
                })
                .collect(),
        })
    }
}

/// Keeps everybody from the rows of the client until the end of the transaction: on a pool database the client, on its
/// own everyone, since foreign keys and indexes of its tables go and come back.
async fn hold(admin: &mut PgConnection, record: &ClientRecord, manifest: &Manifest) -> Result<()> {
    if let Placement::Pool(_) = record.placement {
        return schema::hold(admin, record.id, record.epoch).await.map(drop);
    }
    if manifest.tables.is_empty() {
        return Ok(());
    }
    let tables: Vec<&str> = (manifest.tables.iter().map(|table| table.sql.as_str())).collect();
    let sql = format!("lock table {} in access exclusive mode", tables.join(", "));
    session::execute(admin, record.id, "locking its tables", sql)
        .await
        .map(drop)
}

async fn expect_empty(admin: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    for table in &manifest.tables {
        let sql = format!("select exists (select from {})", manifest.rows_of(table));
        if session::is_so(admin, manifest.client, "looking for rows of the client", sql).await? {
            return Err(Error::Portable {
                client: manifest.client,
                source: PortableError::NotEmpty {
                    table: table.qualified(),
                },
            });
        }
    }
    Ok(())
}

/// Loads the sections up to the last. Returns what each table is to have.
async fn load<R: AsyncRead + Unpin + Send>(
    admin: &mut PgConnection,
    manifest: &Manifest,
    targets: &[Target<'_>],
    file: &mut FileReader<R>,
) -> Result<Vec<ContentHash>> {
    let client = manifest.client;
    let step = "deferring constraints";
    session::execute(admin, client, step, "set constraints all deferred".to_owned()).await?;
    let mut contents = Vec::with_capacity(targets.len());
    for (number, target) in targets.iter().enumerate() {
        let columns: Vec<&str> = (target.columns.iter().map(|column| column.sql.as_str())).collect();
        let mut loading = if target.staged {
            staged::create(admin, client, number, target).await?;
            Loading::begin(admin, client, &staged::name(number), &columns, None).await?
        } else {
            let owner = target.here.has_client().then_some(client);
            Loading::begin(admin, client, &target.here.sql, &columns, owner).await?
        };
        loop {
            let (kind, of) = file.section().await?;
            if u32::try_from(number) != Ok(of) {
                return Err(file.damaged("a section is of another table"));
            }
            match kind {
                Section::Rows => {
                    let sent = loading.send(&file.content).await?;
                    sent.map_err(|_| file.damaged("what should be rows are none"))?;
                }
                Section::TableEnd => break,
                Section::Heading | Section::End => {
                    return Err(file.damaged("a section is not where it belongs"));
                }
            }
        }
        let TableEnd { content } = file.json()?;
        if loading.finish().await? != content.rows {
            return Err(file.damaged("a table does not have as many rows as it should"));
        }
        contents.push(content);
    }
    let (Section::End, _) = file.section().await? else {
        return Err(file.damaged("it has more tables than its heading says"));
    };
    let end: End = file.json()?;
    let rows: u64 = contents.iter().map(|content| content.rows).sum();
    if usize::try_from(end.tables) != Ok(targets.len()) || end.rows != rows {
        return Err(file.damaged("it does not have as many rows as it should"));
    }
    Ok(contents)
}

/// What is in the tables is what was exported, whatever defaults, triggers and policies did.
async fn verify(
    admin: &mut PgConnection,
    manifest: &Manifest,
    targets: &[Target<'_>],
    contents: &[ContentHash],
) -> Result<()> {
    session::spell_out_names(admin, manifest.client).await?;
    for (target, exported) in targets.iter().zip(contents) {
        let columns = target.columns.iter().copied();
        let hashed = exported.hash.is_some();
        let loaded = ContentHash::of(admin, manifest, target.here, columns, hashed).await?;
        if loaded != *exported {
            let reason = if loaded.rows == exported.rows {
                "the same number of rows, with other values".to_owned()
            } else {
                format!("{} rows, and not {}", loaded.rows, exported.rows)
            };
            return Err(Error::Portable {
                client: manifest.client,
                source: PortableError::ContentDiffers {
                    table: target.here.qualified(),
                    reason,
                },
            });
        }
    }
    Ok(())
}

async fn commit(admin: &mut PgConnection, client: ClientId) -> Result<()> {
    session::commit(admin).await.map_err(|source| {
        if is_connection_failure(&source) {
            let source = source.into();
            return Error::CommitUnknown { client, source };
        }
        Error::of_statement(client, "committing the rows", source)
    })
}
