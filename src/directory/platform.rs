#![expect(
    clippy::disallowed_methods,
    reason = "the statements of the platform database"
)]

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join3;
use secrecy::SecretString;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPoolOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool, Postgres};

use super::connection_url::connect_options;
use super::following::Following;
use super::idle::Idle;
use super::look_ups::LookUps;
use super::{Changes, Directory, Month, PoolRecord, TakeUsage, TakenUsage, feed, tier_rows, usage_rows};
use crate::client::{ClientId, ClientRecord, ClientRef, Placement, PoolId};
use crate::error::{Error, Result};
use crate::plan::{Features, Grace, Hosting, Limit, Limits, Settings, TierCatalog};
use crate::schema;
use crate::secret::{CredentialValidator, KeyProvider, Keys, Sealed};

/// The directory that keeps clients, pools and sealed credentials in a platform database. Cheap to clone.
///
/// Reading is what [`Directory`] asks for; changing is here as well: pools are registered, clients created,
/// activated and given credentials. The database itself refuses what a client's tier does not allow.
#[derive(Clone)]
pub struct PlatformDirectory {
    pub(crate) db: PgPool,
    look_ups: LookUps,
    idle: Idle,
    pub(crate) keys: Keys,
    pub(super) validator: Option<Arc<dyn CredentialValidator>>,
    following: Following,
    /// Who changes are logged under.
    pub(super) actor: Option<Arc<str>>,
}

/// How many connections to the platform database there are at most for look-ups, and for the rest.
const MAX_CONNECTIONS: u32 = 5;

/// How long a connection to the platform database is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

impl PlatformDirectory {
    /// Connects to the platform database. At most: 5 connections for look-ups, 5 for the rest, 2 to hear of changes,
    /// 16 for clients that are being set up and 16 for writes of dual stores, each waited for up to 10 seconds; and 4 to each pool database that
    /// clients are placed in, closed after 30 seconds without use.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the URL cannot be read, [`Error::Unreachable`] where nobody answers.
    pub async fn connect(url: &SecretString, keys: impl KeyProvider + 'static) -> Result<Self> {
        Self::connect_with(url, Keys::of(keys)).await
    }

    pub(crate) async fn connect_with(url: &SecretString, keys: Keys) -> Result<Self> {
        let options = connect_options(url, "the platform")?
            .application_name("tenantry")
            // Poolers refuse to start with it, and nothing here is a float.
            .extra_float_digits(None);
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT);
        let look_ups = LookUps::new(options.clone(), MAX_CONNECTIONS as usize, ACQUIRE_TIMEOUT);
        let idle = Idle::new(options.clone(), ACQUIRE_TIMEOUT);
        let db = pool
            .connect_with(options)
            .await
            .map_err(|source| Error::Unreachable {
                database: "platform database".to_owned(),
                step: "connecting",
                source: source.into(),
            })?;
        Ok(Self {
            db,
            look_ups,
            idle,
            keys,
            validator: None,
            following: Following::default(),
            actor: None,
        })
    }

    /// How its changes are followed. Defaults to [`Following::default`].
    #[must_use]
    pub fn following(mut self, following: Following) -> Self {
        self.following = following;
        self
    }

    /// Brings the platform database to the crate's catalogue. Safe to run again, and by several processes.
    ///
    /// # Errors
    /// [`Error::Migration`] where a migration fails, or where one that was applied has changed.
    ///
    /// # Cancel safety
    /// Each migration commits or not as a whole; call it again to go on.
    pub async fn migrate(&self) -> Result<()> {
        let conn = self.db.acquire().await.map_err(failed("migrating"))?;
        // Detached, so that a cancellation closes the connection that holds the migrator's lock.
        schema::apply_to_platform(&mut conn.detach()).await
    }

    /// Closes the connections and waits for those in use.
    pub async fn close(&self) {
        join3(self.db.close(), self.look_ups.close(), self.idle.close()).await;
    }

    /// The pools, in the order that they are filled in.
    ///
    /// # Errors
    /// [`Error::Platform`] where the database does not answer.
    pub async fn pools(&self) -> Result<Vec<PoolRecord>> {
        let rows: Vec<PoolRow> = sqlx::query_as(
            "select id, name, app_connection, binding, scope_key, scope_key_id, capacity, client_count, active
             from platform.pools order by position",
        )
        .fetch_all(&self.db)
        .await
        .map_err(failed("listing pools"))?;
        rows.into_iter().map(PoolRow::into_record).collect()
    }

    /// The row, if there is one, in one round trip.
    pub(crate) async fn look_up<T>(
        &self,
        query: impl Fn() -> QueryAs<'static, Postgres, T, PgArguments>,
    ) -> sqlx::Result<Option<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.look_ups.fetch(query).await
    }

    /// A connection to the platform database that is held for long, beside those for short work.
    pub(crate) async fn lock_connection(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.idle.locks().acquire().await
    }

    /// A connection to the platform database that holds records of a dual store while they are written.
    pub(crate) async fn key_connection(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.idle.keys().acquire().await
    }

    /// Connections to a pool database by that URL, for short work of its admin role.
    pub(crate) fn admins(&self, pool: PoolId, url: &SecretString) -> Result<PgPool> {
        self.idle.admins(pool, url, ACQUIRE_TIMEOUT)
    }
}

impl fmt::Debug for PlatformDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformDirectory").finish_non_exhaustive()
    }
}

/// What is read of a client: one place, for a look-up and for a list.
macro_rules! select_client {
    ($and:literal) => {
        concat!(
            "c.id, c.name, c.slug, c.external_ref, c.domain, c.status, c.tier, c.hosting, c.pool_id,
                    c.epoch, c.app_connection,
                    platform.limits_of(t.limits, c.limit_overrides, c.max_sidekicks) as limits, c.grace,
                    t.features || c.feature_overrides as features, c.settings,
                    coalesce(c.retention_days, t.retention_days) as retention_days,
                    coalesce(c.grace_days, t.grace_days) as grace_days
             from platform.clients c join platform.tiers t on t.name = c.tier where ",
            $and
        )
    };
}

pub(super) const SELECT_CLIENT: &str = select_client!("");

/// One query each, on a unique index.
macro_rules! client_by {
    ($condition:literal) => {
        concat!("select ", select_client!("c.deleted_at is null and "), $condition)
    };
}

#[async_trait]
impl Directory for PlatformDirectory {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        let row = self
            .look_ups
            .fetch(|| match client.clone() {
                ClientRef::Id(id) => sqlx::query_as(client_by!("c.id = $1")).bind(id),
                ClientRef::Slug(slug) => {
                    sqlx::query_as(client_by!("c.slug = $1")).bind(slug.as_str().to_owned())
                }
                ClientRef::External(reference) => {
                    sqlx::query_as(client_by!("c.external_ref = $1")).bind(reference.as_str().to_owned())
                }
                ClientRef::Domain(domain) => {
                    sqlx::query_as(client_by!("c.domain = $1")).bind(domain.as_str().to_owned())
                }
                ClientRef::Key(key) => sqlx::query_as(client_by!(
                    "c.id = (select k.client_id from platform.client_keys k where k.index_name = $1 and k.key = $2)"
                ))
                .bind(key.index().to_owned())
                .bind(key.key().to_owned()),
            })
            .await
            .map_err(failed("resolving a client"))?;
        row.map(ClientRow::into_record).transpose()
    }

    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>> {
        let row = self
            .look_ups
            .fetch(|| {
                sqlx::query_as(
                    "select id, name, app_connection, binding, scope_key, scope_key_id, capacity, client_count,
                            active
                     from platform.pools where id = $1",
                )
                .bind(pool)
            })
            .await
            .map_err(failed("reading a pool"))?;
        row.map(PoolRow::into_record).transpose()
    }

    async fn changes(&self) -> Result<Option<Changes>> {
        feed::changes(&self.db, &self.following).await.map(Some)
    }

    async fn note_active(&self, clients: &[ClientId]) -> Result<()> {
        self.note_in_use(clients).await
    }

    async fn tiers(&self) -> Result<TierCatalog> {
        tier_rows::offered(&self.db).await
    }

    async fn take_usage(&self, take: TakeUsage<'_>) -> Result<TakenUsage> {
        usage_rows::take(&self.db, take).await
    }

    async fn give_back(&self, client: ClientId, limit: &Limit, month: Month, unused: i64) -> Result<()> {
        usage_rows::give_back(&self.db, client, limit, month, unused).await
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct ClientRow {
    pub(super) id: ClientId,
    name: String,
    slug: String,
    external_ref: Option<String>,
    domain: Option<String>,
    status: String,
    tier: String,
    hosting: String,
    pool_id: Option<PoolId>,
    epoch: i64,
    app_connection: Option<Sealed>,
    limits: Json<Limits>,
    grace: Json<Grace>,
    features: Json<Features>,
    settings: Json<Settings>,
    retention_days: Option<i32>,
    grace_days: i32,
}

impl ClientRow {
    pub(super) fn into_record(self) -> Result<ClientRecord> {
        let id = self.id;
        let placement = match (parsed(id, "hosting", &self.hosting)?, self.pool_id) {
            (Hosting::Dedicated, _) => Placement::Dedicated,
            (Hosting::Shared, Some(pool)) => Placement::Pool(pool),
            // The database's own constraint says that this cannot be.
            (Hosting::Shared, None) => return Err(invalid(id, "placement", "it is shared and has no pool")),
        };
        Ok(ClientRecord {
            id,
            name: self.name,
            slug: parsed(id, "slug", &self.slug)?,
            external_ref: self
                .external_ref
                .map(|text| parsed(id, "external reference", &text))
                .transpose()?,
            domain: self.domain.map(|text| parsed(id, "domain", &text)).transpose()?,
            status: parsed(id, "status", &self.status)?,
            tier: self.tier.as_str().into(),
            limits: self.limits.0,
            grace: self.grace.0,
            features: self.features.0,
            settings: self.settings.0,
            // The database's own constraints say that neither is negative.
            retention_days: self
                .retention_days
                .map(|days| u32::try_from(days).unwrap_or_default()),
            grace_days: u32::try_from(self.grace_days).unwrap_or_default(),
            placement,
            epoch: self.epoch,
            connection: self.app_connection,
        })
    }
}

#[derive(sqlx::FromRow)]
struct PoolRow {
    id: PoolId,
    name: String,
    app_connection: Sealed,
    binding: String,
    scope_key: Sealed,
    scope_key_id: i32,
    capacity: i32,
    client_count: i32,
    active: bool,
}

impl PoolRow {
    fn into_record(self) -> Result<PoolRecord> {
        let invalid = |error: super::UnknownBinding| Error::Invalid {
            owner: format!("pool {}", self.id),
            what: "binding".to_owned(),
            reason: error.to_string(),
        };
        Ok(PoolRecord {
            id: self.id,
            binding: self.binding.parse().map_err(invalid)?,
            name: self.name,
            connection: self.app_connection,
            scope_key: self.scope_key,
            scope_key_id: self.scope_key_id,
            capacity: self.capacity,
            client_count: self.client_count,
            active: self.active,
        })
    }
}

fn parsed<T>(client: ClientId, what: &str, text: &str) -> Result<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| invalid(client, what, &error.to_string()))
}

fn invalid(client: ClientId, what: &str, reason: &str) -> Error {
    Error::Invalid {
        owner: format!("client {client}"),
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

pub(crate) fn failed(step: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Platform {
        step,
        source: source.into(),
    }
}

/// What the platform database refused by a rule of its own, or its failure.
pub(crate) fn refused(step: &'static str, what: String, source: sqlx::Error) -> Error {
    match source.as_database_error() {
        // Class 23: integrity constraints, among them those that its triggers raise.
        Some(error) if error.code().is_some_and(|code| code.starts_with("23")) => Error::Refused {
            what,
            step,
            reason: error.message().to_owned(),
        },
        _ => failed(step)(source),
    }
}
