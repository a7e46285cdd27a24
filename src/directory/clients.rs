#![expect(
    clippy::disallowed_methods,
    reason = "lists and changes the clients of the platform database"
)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::platform::{ClientRow, SELECT_CLIENT, failed, refused};
use super::{Directory, PlatformDirectory};
use crate::client::{
    ClientDomain, ClientId, ClientKey, ClientRecord, ClientRef, ClientSlug, ClientStatus, ExternalRef, PoolId,
};
use crate::error::{Error, Result};
use crate::plan::{Hosting, TierName};

/// Which clients are listed. All that live, where it says nothing else.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    status: Option<ClientStatus>,
    tier: Option<TierName>,
    hosting: Option<Hosting>,
    pool: Option<PoolId>,
    named: Option<String>,
    deleted: bool,
}

impl ClientFilter {
    /// Those of that status.
    #[must_use]
    pub fn status(mut self, status: ClientStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Those of that tier.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<TierName>) -> Self {
        self.tier = Some(tier.into());
        self
    }

    /// Those hosted so.
    #[must_use]
    pub fn hosting(mut self, hosting: Hosting) -> Self {
        self.hosting = Some(hosting);
        self
    }

    /// Those placed in that pool.
    #[must_use]
    pub fn pool(mut self, pool: PoolId) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Those whose name or slug contains the text, in any case.
    #[must_use]
    pub fn named(mut self, text: impl Into<String>) -> Self {
        self.named = Some(text.into());
        self
    }

    /// Those that were deleted, and not those that live.
    #[must_use]
    pub fn deleted(mut self) -> Self {
        self.deleted = true;
        self
    }
}

/// Some of the clients that were asked for, in the order that they were created in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientPage {
    /// The clients.
    pub clients: Vec<ClientRecord>,
    /// Where the next page begins; `None` where this was the last.
    pub next: Option<ClientCursor>,
}

/// A place in a list of clients, as text to be handed out and parsed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCursor {
    /// In microseconds since 1970.
    created_at: i64,
    id: ClientId,
}

impl std::fmt::Display for ClientCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.created_at.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_uuid().as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl std::str::FromStr for ClientCursor {
    type Err = InvalidClientCursor;

    fn from_str(text: &str) -> Result<Self, InvalidClientCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidClientCursor)?;
        let bytes: [u8; 24] = bytes.try_into().map_err(|_| InvalidClientCursor)?;
        let (created_at, id) = bytes.split_first_chunk::<8>().ok_or(InvalidClientCursor)?;
        Ok(Self {
            created_at: i64::from_be_bytes(*created_at),
            id: Uuid::from_slice(id).map_err(|_| InvalidClientCursor)?.into(),
        })
    }
}

/// A text that is no [`ClientCursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a list of clients")]
pub struct InvalidClientCursor;

/// The names of a client, to be changed. What it does not name stays.
#[derive(Clone, Debug, Default)]
#[expect(clippy::option_option, reason = "to leave a name and to clear it are two")]
pub struct ClientUpdate {
    name: Option<String>,
    slug: Option<ClientSlug>,
    external_ref: Option<Option<ExternalRef>>,
    domain: Option<Option<ClientDomain>>,
}

impl ClientUpdate {
    /// Another name for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Another slug. The one it had leads to nobody from then on.
    #[must_use]
    pub fn slug(mut self, slug: ClientSlug) -> Self {
        self.slug = Some(slug);
        self
    }

    /// Another name in another system, or none.
    #[must_use]
    pub fn external_ref(mut self, reference: Option<ExternalRef>) -> Self {
        self.external_ref = Some(reference);
        self
    }

    /// Another domain of its own, or none.
    #[must_use]
    pub fn domain(mut self, domain: Option<ClientDomain>) -> Self {
        self.domain = Some(domain);
        self
    }
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    created_micros: i64,
    #[sqlx(flatten)]
    client: ClientRow,
}

impl PlatformDirectory {
    /// So many clients at most, from that place on; from the first where it is `None`. Between 1 and 1,000 at once:
    /// more are as 1,000.
    ///
    /// # Errors
    /// [`Error::Platform`] where the database does not answer.
    pub async fn clients(
        &self,
        filter: &ClientFilter,
        after: Option<ClientCursor>,
        limit: u16,
    ) -> Result<ClientPage> {
        let limit = i64::from(limit.clamp(1, 1_000));
        let mut query = QueryBuilder::<Postgres>::new(
            "select (extract(epoch from c.created_at) * 1000000)::bigint as created_micros, ",
        );
        query.push(SELECT_CLIENT);
        query.push(if filter.deleted {
            "c.deleted_at is not null"
        } else {
            "c.deleted_at is null"
        });
        if let Some(status) = filter.status {
            query.push(" and c.status = ").push_bind(status.as_str());
        }
        if let Some(tier) = &filter.tier {
            query.push(" and c.tier = ").push_bind(tier.as_str().to_owned());
        }
        if let Some(hosting) = filter.hosting {
            query.push(" and c.hosting = ").push_bind(hosting.as_str());
        }
        if let Some(pool) = filter.pool {
            query.push(" and c.pool_id = ").push_bind(pool);
        }
        if let Some(text) = &filter.named {
            query
                .push(" and strpos(lower(c.name || ' ' || c.slug), lower(")
                .push_bind(text.clone())
                .push(")) > 0");
        }
        if let Some(after) = after {
            query
                .push(" and (c.created_at, c.id) > ('epoch'::timestamptz + interval '1 microsecond' * ")
                .push_bind(after.created_at)
                .push(", ")
                .push_bind(after.id)
                .push(")");
        }
        query
            .push(" order by c.created_at, c.id limit ")
            .push_bind(limit + 1);
        let mut rows: Vec<ListedRow> = query
            .build_query_as()
            .fetch_all(&self.db)
            .await
            .map_err(failed("listing clients"))?;
        let more = i64::try_from(rows.len()).is_ok_and(|found| found > limit);
        if more {
            rows.pop();
        }
        let next = rows.last().filter(|_| more).map(|row| ClientCursor {
            created_at: row.created_micros,
            id: row.client.id,
        });
        let clients = rows.into_iter().map(|row| row.client.into_record());
        Ok(ClientPage {
            clients: clients.collect::<Result<_>>()?,
            next,
        })
    }

    /// Changes the names of a client. Its route and its data stay where they are. Returns it as it is then.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where a name is taken.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not.
    pub async fn update_client(&self, id: ClientId, update: &ClientUpdate) -> Result<ClientRecord> {
        const STEP: &str = "renaming";
        let mut writing = self.write(STEP).await?;
        let (external_ref, domain) = (&update.external_ref, &update.domain);
        let changed = sqlx::query(
            "update platform.clients
             set name = coalesce($2, name), slug = coalesce($3, slug),
                 external_ref = case when $4 then $5 else external_ref end,
                 domain = case when $6 then $7 else domain end
             where id = $1 and deleted_at is null",
        )
        .bind(id)
        .bind(update.name.as_deref())
        .bind(update.slug.as_ref().map(ClientSlug::as_str))
        .bind(external_ref.is_some())
        .bind(
            external_ref
                .as_ref()
                .and_then(Option::as_ref)
                .map(ExternalRef::as_str),
        )
        .bind(domain.is_some())
        .bind(domain.as_ref().and_then(Option::as_ref).map(ClientDomain::as_str))
        .execute(writing.conn()?)
        .await
        .map_err(|source| refused(STEP, format!("client {id}"), source))?;
        let unknown = || Error::UnknownClient { client: id.into() };
        if changed.rows_affected() == 0 {
            return Err(unknown());
        }
        writing.commit().await?;
        self.client(&ClientRef::Id(id)).await?.ok_or_else(unknown)
    }

    /// Has the key lead to the client. One that led to a client that was deleted since is taken over.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where the key leads to another client.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not.
    pub async fn add_key(&self, id: ClientId, key: &ClientKey) -> Result<()> {
        const STEP: &str = "adding a key";
        let mut writing = self.write(STEP).await?;
        let owner: Option<ClientId> = sqlx::query_scalar(
            "insert into platform.client_keys as k (index_name, key, client_id)
             select $2, $3, c.id from platform.clients c where c.id = $1 and c.deleted_at is null
             on conflict (index_name, key) do update set client_id = case
                 when exists (select from platform.clients o where o.id = k.client_id and o.deleted_at is null)
                 then k.client_id else excluded.client_id end
             returning k.client_id",
        )
        .bind(id)
        .bind(key.index())
        .bind(key.key())
        .fetch_optional(writing.conn()?)
        .await
        .map_err(|source| refused(STEP, format!("client {id}"), source))?;
        match owner {
            None => Err(Error::UnknownClient { client: id.into() }),
            Some(owner) if owner != id => Err(Error::Refused {
                what: format!("client {id}"),
                step: STEP,
                reason: format!("{key} leads to another client"),
            }),
            Some(_) => writing.commit().await,
        }
    }

    /// Has the key lead to nobody, where it led to the client. Says whether it did.
    ///
    /// # Errors
    /// [`Error::Platform`] where the database does not answer.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not.
    pub async fn remove_key(&self, id: ClientId, key: &ClientKey) -> Result<bool> {
        const STEP: &str = "removing a key";
        let mut writing = self.write(STEP).await?;
        let removed = sqlx::query(
            "delete from platform.client_keys where client_id = $1 and index_name = $2 and key = $3",
        )
        .bind(id)
        .bind(key.index())
        .bind(key.key())
        .execute(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        writing.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    /// The keys that lead to the client, in order.
    ///
    /// # Errors
    /// [`Error::Platform`] where the database does not answer.
    pub async fn keys(&self, id: ClientId) -> Result<Vec<ClientKey>> {
        let keys: Vec<(String, String)> = sqlx::query_as(
            "select index_name, key from platform.client_keys where client_id = $1 order by index_name, key",
        )
        .bind(id)
        .fetch_all(&self.db)
        .await
        .map_err(failed("reading keys"))?;
        let parsed = keys.iter().map(|(index, key)| {
            ClientKey::new(index, key).map_err(|error| Error::Invalid {
                owner: format!("client {id}"),
                what: "key".to_owned(),
                reason: error.to_string(),
            })
        });
        parsed.collect()
    }
}
