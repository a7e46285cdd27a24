#![expect(clippy::disallowed_methods, reason = "loads rows into a dedicated database")]

use sqlx::postgres::PgArgumentBuffer;
use sqlx::{PgConnection, Postgres, pool::PoolConnection};
use tracing::Instrument;

use super::array::{element_of, push};
use super::bind::BoxedValue;
use super::counted::Counted;
use super::run::{On, Step, rendered};
use super::send::end;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::Adds;
use super::verb::sealed::Verb;
use super::writer::Writer;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::schema::{Catalogue, Column, Table};
use crate::telemetry;
use crate::tenant::{Patience, TenantTx};

/// Rows in the binary format of COPY. Under row-level security COPY loads nothing, so this is for dedicated
/// databases alone.
#[expect(unnameable_types, reason = "a result of the sealed trait")]
pub struct Copy {
    sql: String,
    bytes: Vec<u8>,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// As many bytes as go into a message.
const MESSAGE: usize = 256 * 1024;

impl Copy {
    /// The rows, if each value is encoded as the very type of its column: COPY converts nothing.
    pub(super) fn of(
        source: &Source<'_>,
        table: &Table,
        columns: &[&Column],
        rows: &[Vec<BoxedValue<'_>>],
        catalogue: &Catalogue,
    ) -> Result<Option<Self>> {
        let Ok(width) = i16::try_from(columns.len()) else {
            return Ok(None);
        };
        let mut buffer = PgArgumentBuffer::default();
        buffer.extend_from_slice(SIGNATURE);
        // Flags, and the length of what else the header could have.
        buffer.extend([0; 8]);
        for row in rows {
            buffer.extend(width.to_be_bytes());
            for (value, column) in row.iter().zip(columns) {
                let info = value.info();
                let is_plain = info.oid().is_some() || catalogue.array_of(column.type_oid).is_some();
                if !is_plain || element_of(&info, column) != Some(column.type_oid) {
                    return Ok(None);
                }
                push(&**value, &mut buffer).map_err(|cause| Error::Encode {
                    client: source.client,
                    column: column.name.clone(),
                    source: cause.into(),
                })?;
            }
        }
        buffer.extend((-1_i16).to_be_bytes());
        let names: Vec<&str> = columns.iter().map(|column| column.sql.as_str()).collect();
        let sql = format!("copy {} ({}) from stdin binary", table.sql, names.join(", "));
        Ok(Some(Self {
            sql,
            bytes: std::mem::take(&mut *buffer),
        }))
    }

    /// Loads all rows or none.
    async fn load(&self, conn: &mut PgConnection) -> sqlx::Result<u64> {
        let mut copy = conn.copy_in_raw(&self.sql).await?;
        for message in self.bytes.chunks(MESSAGE) {
            if let Err(failed) = copy.send(message).await {
                let _ = copy.abort("not sent whole").await;
                return Err(failed);
            }
        }
        copy.finish().await
    }

    /// Loads all rows inside a transaction.
    async fn load_inside(&self, tx: &mut TenantTx) -> sqlx::Result<u64> {
        let mut inside = Inside { tx, in_step: false };
        let conn = inside.tx.connection().map_err(Error::into_sqlx)?;
        let loaded = self.load(conn).await;
        inside.tx.note(&loaded);
        // An answer of the database ends the COPY.
        inside.in_step = matches!(&loaded, Ok(_) | Err(sqlx::Error::Database(_)));
        loaded
    }

    /// Loads all rows inside a transaction, where they are allowed.
    async fn load_counted(
        &self,
        tx: &mut TenantTx,
        table: &str,
        adds: Adds,
        failed: impl Fn(sqlx::Error) -> Error,
    ) -> Result<u64> {
        // Nothing that is loaded may be there already: what is admitted is not too much.
        if let Some(counted) = Counted::of_table(&On::Tx(tx), table).await? {
            counted.admit(tx, adds).await?;
        }
        self.load_inside(tx).await.map_err(failed)
    }
}

impl<V: Verb> TenantQuery<'_, V> {
    /// Writes by COPY, where that does the same and is faster. Returns how many rows, if it did.
    pub(super) async fn send_copy(&mut self) -> Result<Option<u64>> {
        self.on.renew().await?;
        if self.on.db().is_scoped() {
            return Ok(None);
        }
        self.expect_sendable()?;
        let copied = rendered(&self.on, |catalogue| {
            let writer = Writer::new(self.source.client, catalogue, false);
            self.verb.copy(&self.source, &writer)
        });
        let Some(copy) = copied.await? else {
            return Ok(None);
        };
        let counts = self.counts().await?;
        let adds = self.verb.adds().filter(|_| counts);
        let (client, step) = (self.source.client, Step("copy into", &self.source.table));
        let failed = |cause| Error::of_statement(client, step, cause);
        let span = telemetry::statement(client, "copy into", &self.source.table);
        let loading = async {
            match (&mut self.on, adds) {
                (On::Tx(tx), None) => copy.load_inside(tx).await.map_err(failed),
                (On::Tx(tx), Some(adds)) => {
                    Box::pin(copy.load_counted(tx, &self.source.table, adds, failed)).await
                }
                (On::Db(db), Some(adds)) => {
                    let mut tx = db.begin().await?;
                    let counted = copy.load_counted(&mut tx, &self.source.table, adds, failed);
                    let loaded = Box::pin(counted).await;
                    end(tx, loaded).await
                }
                (On::Db(db), None) => {
                    let Database::Dedicated(database) = &db.tenant.database else {
                        return Err(Error::Closed);
                    };
                    let pool = database.pool().await?;
                    let conn = pool.acquire().await.map_err(failed)?;
                    let mut conn = Loading(Some(conn));
                    let loaded = copy.load(conn.connection()?).await.map_err(failed);
                    if loaded.is_ok() {
                        drop(conn.0.take());
                    }
                    loaded
                }
            }
        };
        let loaded = loading.instrument(span).await;
        // Where the client is by now, it may be another thing.
        if loaded.is_err() && self.on.follow(&loaded, &mut Patience::default()).await? {
            return Ok(None);
        }
        loaded.map(Some)
    }
}

/// A connection that is closed unless its COPY was done: it would answer the next statement with the end of
/// this one.
struct Loading(Option<PoolConnection<Postgres>>);

impl Loading {
    fn connection(&mut self) -> Result<&mut PgConnection> {
        self.0.as_deref_mut().ok_or(Error::Closed)
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            drop(conn.detach());
        }
    }
}

/// A transaction that is over unless its COPY was done: its end would be taken for the answer to the next
/// statement, and the commit for one that succeeded.
struct Inside<'a> {
    tx: &'a mut TenantTx,
    in_step: bool,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if !self.in_step {
            self.tx.abandon();
        }
    }
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copy")
            .field("sql", &self.sql)
            .finish_non_exhaustive()
    }
}
