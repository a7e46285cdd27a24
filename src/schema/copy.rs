use std::fmt;

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::PgConnection;
use sqlx::postgres::PgCopyIn;

use super::binary_rows::{self, HEADER, NoRows, TRAILER};
use super::{ContentHash, HostTable, Manifest, RowHash};
use crate::client::ClientId;
use crate::error::{Error, Result};

/// As many bytes of rows as are handed on at once, but for a row that is longer.
const CHUNK: usize = 256 * 1024;

/// The rows of a client on their way out of a table, as [`binary_rows`] describes them.
pub(crate) struct Unloading<'c> {
    stream: BoxStream<'c, sqlx::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
    /// How much of the buffer was handed out already.
    given: usize,
    fields: i16,
    ended: bool,
    rows: u64,
    hash: Option<RowHash>,
    client: ClientId,
    table: String,
}

impl<'c> Unloading<'c> {
    /// Begins to read the rows, without `client_id` and what is computed, in the snapshot of the transaction. The
    /// connection is of no other use before all of them are read. They are hashed on their way where there is a hash to
    /// add theirs to.
    pub(crate) async fn begin(
        conn: &'c mut PgConnection,
        manifest: &Manifest,
        table: &HostTable,
        hash: Option<RowHash>,
    ) -> Result<Self> {
        let values: Vec<String> = table
            .columns()
            .map(|column| {
                if column.as_text {
                    format!("{}::pg_catalog.text", column.sql)
                } else {
                    column.sql.clone()
                }
            })
            .collect();
        let (values, rows, fields) = (values.join(", "), manifest.rows_of(table), values.len());
        let sql = format!("select {values} from {rows}");
        let unloading = Self::of_query(conn, manifest.client, table.qualified(), &sql, fields).await?;
        Ok(Self { hash, ..unloading })
    }

    /// Begins to read what a query of so many columns answers. The table is named in errors.
    pub(crate) async fn of_query(
        conn: &'c mut PgConnection,
        client: ClientId,
        table: String,
        query: &str,
        columns: usize,
    ) -> Result<Self> {
        let sql = format!("copy ({query}) to stdout (format binary)");
        let stream = conn
            .copy_out_raw(&sql)
            .await
            .map_err(|source| Error::of_statement(client, format!("copying the rows of {table}"), source))?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(CHUNK + CHUNK / 4),
            given: 0,
            fields: fields(columns),
            ended: false,
            rows: 0,
            hash: None,
            client,
            table,
        })
    }

    /// What the rows were that were handed out.
    pub(crate) fn content(&self) -> ContentHash {
        ContentHash {
            rows: self.rows,
            hash: self.hash.map(|hash| hash.to_string()),
        }
    }

    /// The next rows, whole ones.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>> {
        let failed = |source| {
            let step = format!("copying the rows of {}", self.table);
            Error::of_statement(self.client, step, source)
        };
        let broken = |_: NoRows| failed(sqlx::Error::Protocol("no rows of a binary COPY".to_owned()));
        self.buffer.drain(..self.given);
        self.given = 0;
        loop {
            while self.buffer.len() < CHUNK && !self.ended {
                match self.stream.next().await.transpose().map_err(failed)? {
                    Some(message) if message.starts_with(HEADER) && self.buffer.is_empty() => {
                        self.buffer.extend_from_slice(&message[HEADER.len()..]);
                    }
                    Some(message) => self.buffer.extend_from_slice(&message),
                    None => self.ended = true,
                }
            }
            let whole = binary_rows::whole(&self.buffer, self.fields).map_err(broken)?;
            if whole.rows > 0 {
                self.given = whole.end;
                self.rows += whole.rows;
                let rows = &self.buffer[..whole.end];
                if let Some(hash) = &mut self.hash {
                    hash.add(rows, self.fields).map_err(broken)?;
                }
                return Ok(Some(rows));
            }
            if self.ended {
                // The trailer says that these were all.
                return if whole.last && self.buffer.len() == TRAILER.len() {
                    Ok(None)
                } else {
                    Err(broken(NoRows))
                };
            }
            // A row that is longer than a chunk.
            if let Some(message) = self.stream.next().await.transpose().map_err(failed)? {
                self.buffer.extend_from_slice(&message);
            } else {
                self.ended = true;
            }
        }
    }
}

impl fmt::Debug for Unloading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unloading")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// Rows on their way into a table. Dropped before [`finish`](Self::finish), the connection is of no more use.
pub(crate) struct Loading<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    /// Whose id is put before the other fields.
    owner: Option<ClientId>,
    fields: i16,
    rows: u64,
    buffer: Vec<u8>,
    client: ClientId,
    table: String,
}

impl<'c> Loading<'c> {
    /// Begins to load rows of those columns, quoted, into a table, quoted. The rows get the id of their owner where
    /// the table has one.
    pub(crate) async fn begin(
        conn: &'c mut PgConnection,
        client: ClientId,
        table: &str,
        columns: &[&str],
        owner: Option<ClientId>,
    ) -> Result<Self> {
        let fields = fields(columns.len());
        let names: Vec<&str> = owner
            .map(|_| "client_id")
            .into_iter()
            .chain(columns.iter().copied())
            .collect();
        let names = if names.is_empty() {
            String::new()
        } else {
            format!("({})", names.join(", "))
        };
        let sql = format!("copy {table} {names} from stdin (format binary)");
        let table = table.to_owned();
        let failed = |source| Error::of_statement(client, format!("loading the rows of {table}"), source);
        let mut copy = conn.copy_in_raw(&sql).await.map_err(failed)?;
        copy.send(HEADER.as_slice()).await.map_err(failed)?;
        Ok(Self {
            copy,
            owner,
            fields,
            rows: 0,
            buffer: Vec::new(),
            client,
            table,
        })
    }

    /// Loads whole rows; says whether they were.
    pub(crate) async fn send(&mut self, rows: &[u8]) -> Result<Result<(), NoRows>> {
        let counted = match self.owner {
            Some(owner) => {
                self.buffer.clear();
                binary_rows::with_client(rows, self.fields, owner.as_uuid(), &mut self.buffer)
            }
            None => binary_rows::count(rows, self.fields),
        };
        let Ok(counted) = counted else {
            return Ok(Err(NoRows));
        };
        let sent = match self.owner {
            Some(_) => self.copy.send(self.buffer.as_slice()).await,
            None => self.copy.send(rows).await,
        };
        match sent {
            Ok(_) => {
                self.rows += counted;
                Ok(Ok(()))
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    /// How many rows were sent.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the loading. Returns how many rows were sent, which are as many as the server has.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        self.copy
            .send(TRAILER.as_slice())
            .await
            .map_err(|source| Error::of_statement(self.client, "loading rows", source))?;
        let step = format!("loading the rows of {}", self.table);
        let (client, sent) = (self.client, self.rows);
        // A trigger can leave some out.
        self.copy
            .finish()
            .await
            .map(|_| sent)
            .map_err(|source| Error::of_statement(client, step, source))
    }

    fn failed(&self, source: sqlx::Error) -> Error {
        let step = format!("loading the rows of {}", self.table);
        Error::of_statement(self.client, step, source)
    }
}

impl fmt::Debug for Loading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// PostgreSQL has fewer columns.
fn fields(columns: usize) -> i16 {
    i16::try_from(columns).unwrap_or(i16::MAX)
}
