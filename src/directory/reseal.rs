#![expect(clippy::disallowed_methods, reason = "seals the platform database anew")]

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::platform::{PlatformDirectory, failed};
use super::sealed_column::{SEALED_COLUMNS, SealedColumn};
use crate::error::{Error, Result};
use crate::secret::{Sealed, SealedFor, SecretError};

/// How sealed values are sealed anew with the newest key.
#[derive(Clone, Copy, Debug)]
pub struct ResealOptions {
    batch: u32,
    max_named: usize,
}

impl Default for ResealOptions {
    fn default() -> Self {
        Self {
            batch: 100,
            max_named: 100,
        }
    }
}

impl ResealOptions {
    /// How many values are sealed anew in one transaction. Zero counts as one. Defaults to 100.
    #[must_use]
    pub fn batch(mut self, values: u32) -> Self {
        self.batch = values.max(1);
        self
    }

    /// How many of the values that do not open are named at most. Defaults to 100.
    #[must_use]
    pub fn max_named(mut self, values: usize) -> Self {
        self.max_named = values;
        self
    }
}

/// What sealing anew came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resealed {
    /// The key that all of them are sealed with now.
    pub key_id: u32,
    /// How many this call sealed anew.
    pub resealed: u64,
    /// How many did not open and stay as they are.
    pub unopened: u64,
    /// Those of them that are named, in the order that they were met.
    pub named: Vec<Unopened>,
    /// How many are left with another key: those that did not open, and those that somebody else had locked.
    pub left: u64,
}

/// A value that does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unopened {
    /// The client or pool that it belongs to.
    pub owner: Uuid,
    /// What it was to be sealed for, such as `pools.app_connection`.
    pub column: String,
    /// Why it does not open.
    pub reason: SecretError,
}

/// Where a walk through a column has come to.
struct Place(Uuid, String, String);

type Row = (Uuid, String, String, Sealed);

impl PlatformDirectory {
    /// Seals anew, with the newest key of the [`KeyProvider`](crate::KeyProvider), all that is sealed with another:
    /// in batches, each a transaction of its own. Values are served meanwhile, and what a value says does not
    /// change: no open connection is given up for it. Several may do it at once and share the work.
    ///
    /// A key may be taken from the providers of all processes once [`sealed_by_key`](Self::sealed_by_key) has none
    /// of it left, and no process still seals with it.
    ///
    /// Each row that is sealed anew is in the audit log, and told to every process as a changed client or pool.
    ///
    /// # Errors
    /// [`Error::WrongKey`] where the keys cannot be had; [`Error::Invalid`] where the platform database has a sealed
    /// column that this version does not know; [`Error::Platform`].
    ///
    /// # Cancel safety
    /// Dropped, the batch in progress is undone and those before it are done; call it again to go on.
    pub async fn reseal(&self, options: ResealOptions) -> Result<Resealed> {
        let key_id = self.keys.newest().await.map_err(no_key)?;
        // Before rows are locked: a provider may be slow.
        for held in self.sealed_by_key().await?.into_keys().chain([key_id]) {
            match self.keys.fetch(held).await {
                Ok(()) => {}
                Err(SecretError::UnknownKey { .. }) if held != key_id => {}
                Err(error) => return Err(no_key(error)),
            }
        }
        let mut done = Resealed {
            key_id,
            resealed: 0,
            unopened: 0,
            named: Vec::new(),
            left: 0,
        };
        for column in &SEALED_COLUMNS {
            let mut place = Some(Place(Uuid::nil(), String::new(), String::new()));
            while let Some(from) = place {
                place = self.reseal_batch(column, &from, &options, &mut done).await?;
            }
        }
        let left = self.sealed_by_key().await?;
        done.left = left
            .into_iter()
            .filter(|(held, _)| *held != key_id)
            .map(|(_, values)| values)
            .sum();
        tracing::info!(
            key_id,
            resealed = done.resealed,
            unopened = done.unopened,
            left = done.left,
            "sealed values were sealed anew"
        );
        Ok(done)
    }

    /// How many sealed values each key has, by its id. A key that is not in it is needed by no value.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the platform database has a sealed column that this version does not know;
    /// [`Error::Platform`].
    pub async fn sealed_by_key(&self) -> Result<BTreeMap<u32, u64>> {
        let step = "counting sealed values";
        // One snapshot: a value that moves from column to column meanwhile is counted once.
        let mut reading = self.snapshot(step).await?;
        let columns: Vec<String> = sqlx::query_scalar(
            "select c.relname || '.' || a.attname
             from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
             where a.atttypid = 'platform.sealed'::regtype and not a.attisdropped
               and c.relkind in ('r', 'p') and c.relnamespace = 'platform'::regnamespace",
        )
        .fetch_all(reading.conn()?)
        .await
        .map_err(failed(step))?;
        let known: BTreeSet<&str> = SEALED_COLUMNS.iter().map(|column| column.name).collect();
        if let Some(unknown) = columns.iter().find(|column| !known.contains(column.as_str())) {
            return Err(Error::Invalid {
                owner: "the platform database".to_owned(),
                what: format!("sealed column {unknown}"),
                reason: "this version does not know it, and cannot tell which keys it needs".to_owned(),
            });
        }
        let mut counts = BTreeMap::new();
        for column in &SEALED_COLUMNS {
            let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(column.count)
                .fetch_all(reading.conn()?)
                .await
                .map_err(failed(step))?;
            for (key_id, values) in rows {
                let key_id = <[u8; 4]>::try_from(key_id).map(u32::from_be_bytes);
                // The column's own check sees to the four bytes.
                *counts.entry(key_id.unwrap_or_default()).or_default() += values.unsigned_abs();
            }
        }
        reading.commit().await?;
        Ok(counts)
    }

    /// Seals the next values of a column anew. Says from where to go on.
    async fn reseal_batch(
        &self,
        column: &SealedColumn,
        from: &Place,
        options: &ResealOptions,
        done: &mut Resealed,
    ) -> Result<Option<Place>> {
        let step = "sealing anew";
        let mut writing = self.write(step).await?;
        if column.places {
            sqlx::query("select platform.lock_placement()")
                .execute(writing.conn()?)
                .await
                .map_err(failed(step))?;
        }
        let rows: Vec<Row> = sqlx::query_as(column.next)
            .bind(from.0)
            .bind(&from.1)
            .bind(&from.2)
            .bind(done.key_id.to_be_bytes())
            .bind(i64::from(options.batch))
            .fetch_all(writing.conn()?)
            .await
            .map_err(failed(step))?;
        let last = rows
            .last()
            .map(|(owner, provider, kind, _)| Place(*owner, provider.clone(), kind.clone()));
        let mut stored = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut unopened, mut named) = (0, Vec::new());
        for (owner, provider, kind, sealed) in rows {
            let name = column.sealed_for(&provider, &kind);
            let for_ = SealedFor { owner, column: &name };
            let opened = match self.keys.open(&sealed, for_).await {
                Ok(opened) => opened,
                Err(error @ SecretError::Unavailable { .. }) => return Err(no_key(error)),
                Err(reason) => {
                    unopened += 1;
                    named.push(Unopened {
                        owner,
                        column: name,
                        reason,
                    });
                    continue;
                }
            };
            let sealed = self.keys.seal_with(done.key_id, &opened, for_).await;
            stored.3.push(sealed.map_err(no_key)?);
            stored.0.push(owner);
            stored.1.push(provider);
            stored.2.push(kind);
        }
        let resealed = stored.0.len() as u64;
        if resealed > 0 {
            sqlx::query(column.store)
                .bind(stored.0)
                .bind(stored.1)
                .bind(stored.2)
                .bind(stored.3)
                .execute(writing.conn()?)
                .await
                .map_err(failed(step))?;
        }
        writing.commit().await?;
        done.resealed += resealed;
        done.unopened += unopened;
        named.truncate(options.max_named.saturating_sub(done.named.len()));
        done.named.append(&mut named);
        Ok(last)
    }
}

fn no_key(source: SecretError) -> Error {
    Error::WrongKey {
        owner: "the platform database".to_owned(),
        what: "sealed values".to_owned(),
        source,
    }
}
