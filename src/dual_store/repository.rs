use std::sync::Arc;

use async_trait::async_trait;

use super::record::Record;
use crate::error::RepositoryError;

/// A store of records by key: what a host's own code is written against, and what a
/// [`DualStore`](crate::DualStore) has two of.
///
/// Each call is atomic: a record is there as a whole, or not. What was acknowledged is there for every later read, in
/// any process.
#[async_trait]
pub trait Repository: Send + Sync + 'static {
    /// What is stored.
    type Record: Record;

    /// Adds a record.
    ///
    /// # Errors
    /// [`RepositoryError::Exists`] where its key is there already.
    async fn create(&self, record: &Self::Record) -> Result<(), RepositoryError>;

    /// The record of that key.
    ///
    /// # Errors
    /// [`RepositoryError`] where the store cannot tell, and where what it has is no record.
    async fn get(&self, key: &str) -> Result<Option<Self::Record>, RepositoryError>;

    /// Up to so many records, those after that key, in an order of the keys that never changes. Fewer than were asked
    /// for are the last.
    ///
    /// # Errors
    /// As [`get`](Self::get): a record that cannot be read is not left out.
    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Self::Record>, RepositoryError>;

    /// Puts the record in the place of the one of its key, every field of it.
    ///
    /// # Errors
    /// [`RepositoryError::Missing`] where there is none.
    async fn update(&self, record: &Self::Record) -> Result<(), RepositoryError>;

    /// Removes the record of that key.
    ///
    /// # Errors
    /// [`RepositoryError::Missing`] where there is none.
    async fn delete(&self, key: &str) -> Result<(), RepositoryError>;

    /// The records of those keys that are there, in any order. By default one after the other.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Self::Record>, RepositoryError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(self.get(key).await?);
        }
        Ok(found)
    }

    /// Has the store hold these records, whether they are there or not; no two have the same key. By default one after
    /// the other, so that some may be there after an error. A store that can takes all or none.
    ///
    /// # Errors
    /// [`RepositoryError`] where one of them is not taken.
    async fn put_many(&self, records: &[Self::Record]) -> Result<(), RepositoryError> {
        for record in records {
            match self.update(record).await {
                Err(RepositoryError::Missing { .. }) => self.create(record).await?,
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<T: Repository + ?Sized> Repository for Arc<T> {
    type Record = T::Record;

    async fn create(&self, record: &Self::Record) -> Result<(), RepositoryError> {
        (**self).create(record).await
    }

    async fn get(&self, key: &str) -> Result<Option<Self::Record>, RepositoryError> {
        (**self).get(key).await
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Self::Record>, RepositoryError> {
        (**self).list(after, limit).await
    }

    async fn update(&self, record: &Self::Record) -> Result<(), RepositoryError> {
        (**self).update(record).await
    }

    async fn delete(&self, key: &str) -> Result<(), RepositoryError> {
        (**self).delete(key).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Self::Record>, RepositoryError> {
        (**self).get_many(keys).await
    }

    async fn put_many(&self, records: &[Self::Record]) -> Result<(), RepositoryError> {
        (**self).put_many(records).await
    }
}
