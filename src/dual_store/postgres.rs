use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::FromRow;
use sqlx::postgres::PgRow;

use super::record::Record;
use super::repository::Repository;
use crate::error::{Error, ErrorKind, RepositoryError};
use crate::query::Order;
use crate::tenant::TenantDb;

/// The records of a client in a table, one a row, by a column of type text that is unique among the client's.
///
/// The struct serializes a field for every column that it has, also where it is none: a field that serde skips is left
/// as it was by an update.
///
/// ```no_run
/// # use std::borrow::Cow;
/// # use tenantry::{PostgresRepository, Record, TenantDb};
/// #[derive(Clone, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
/// struct Role {
///     slug: String,
///     name: String,
/// }
///
/// impl Record for Role {
///     fn key(&self) -> Cow<'_, str> {
///         Cow::Borrowed(&self.slug)
///     }
/// }
///
/// fn roles(acme: TenantDb) -> PostgresRepository<Role> {
///     PostgresRepository::new(acme, "roles", "slug")
/// }
/// ```
pub struct PostgresRepository<R> {
    db: TenantDb,
    table: String,
    key: String,
    record: PhantomData<fn() -> R>,
}

impl<R> PostgresRepository<R> {
    /// Of that table, by that column. The handle follows its client to wherever it moves.
    pub fn new(db: TenantDb, table: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            db,
            table: table.into(),
            key: key.into(),
            record: PhantomData,
        }
    }

    fn missing(key: &str) -> RepositoryError {
        RepositoryError::Missing { key: key.to_owned() }
    }

    /// Whether anything was written, the error says: PostgreSQL undoes what it refuses.
    fn failed(&self, key: &str) -> impl Fn(Error) -> RepositoryError {
        let place = format!("table {} by {key}", self.table);
        move |error| match &error {
            Error::Statement { source, .. }
                if matches!(
                    **source,
                    sqlx::Error::ColumnDecode { .. }
                        | sqlx::Error::Decode(_)
                        | sqlx::Error::ColumnNotFound(_)
                ) =>
            {
                RepositoryError::Damaged {
                    place: place.clone(),
                    reason: error.to_string(),
                }
            }
            Error::Statement { source, .. } if source.as_database_error().is_none() => {
                RepositoryError::unknown(error)
            }
            _ if error.kind() == ErrorKind::Ambiguous => RepositoryError::unknown(error),
            _ => RepositoryError::Refused {
                source: Arc::new(error),
            },
        }
    }
}

#[async_trait]
impl<R> Repository for PostgresRepository<R>
where
    R: Record + for<'r> FromRow<'r, PgRow> + Unpin,
{
    type Record = R;

    async fn create(&self, record: &R) -> Result<(), RepositoryError> {
        let key = record.key().into_owned();
        let inserted = self
            .db
            .insert(&*self.table)
            .record(record)
            .on_conflict_do_nothing([&*self.key])
            .execute()
            .await
            .map_err(self.failed(&key))?;
        match inserted {
            0 => Err(RepositoryError::Exists { key }),
            _ => Ok(()),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<R>, RepositoryError> {
        let query = self.db.query(&*self.table).eq(&*self.key, key.to_owned());
        query.fetch_optional().await.map_err(self.failed(key))
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<R>, RepositoryError> {
        let mut query = self.db.query(&*self.table);
        if let Some(after) = after {
            query = query.gt(&*self.key, after.to_owned());
        }
        let query = query.order_by(&*self.key, Order::Asc).limit(limit);
        query.fetch_all().await.map_err(self.failed("a list"))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<R>, RepositoryError> {
        let query = self.db.query(&*self.table).is_in(&*self.key, keys.to_vec());
        query.fetch_all().await.map_err(self.failed("many"))
    }

    /// One statement, and so one transaction: all or none.
    async fn put_many(&self, records: &[R]) -> Result<(), RepositoryError> {
        let Some(first) = records.first() else {
            return Ok(());
        };
        let columns = match serde_json::to_value(first).map_err(RepositoryError::refused)? {
            serde_json::Value::Object(fields) => fields.into_iter().map(|(name, _)| name),
            _ => return Err(RepositoryError::refused(NoObject)),
        };
        let columns: Vec<String> = columns.filter(|name| *name != self.key).collect();
        let insert = self.db.insert(&*self.table).records(records);
        let insert = if columns.is_empty() {
            insert.on_conflict_do_nothing([&*self.key])
        } else {
            insert.on_conflict_update([&*self.key], columns)
        };
        insert.execute().await.map(drop).map_err(self.failed("many"))
    }

    async fn update(&self, record: &R) -> Result<(), RepositoryError> {
        let key = record.key().into_owned();
        let query = self
            .db
            .update(&*self.table)
            .record(record)
            .eq(&*self.key, key.clone());
        match query.execute().await.map_err(self.failed(&key))? {
            0 => Err(Self::missing(&key)),
            _ => Ok(()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), RepositoryError> {
        let query = self.db.delete(&*self.table).eq(&*self.key, key.to_owned());
        match query.execute().await.map_err(self.failed(key))? {
            0 => Err(Self::missing(key)),
            _ => Ok(()),
        }
    }
}

/// What serde makes of a record has no columns.
#[derive(Debug, thiserror::Error)]
#[error("the record is no object")]
struct NoObject;

impl<R> fmt::Debug for PostgresRepository<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresRepository")
            .field("db", &self.db)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
