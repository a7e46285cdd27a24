#![expect(
    clippy::disallowed_methods,
    reason = "creates and activates clients in both databases"
)]

use secrecy::SecretString;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};

use super::pool::{connect_admin, refused};
use crate::client::{
    ClientDomain, ClientId, ClientRecord, ClientRef, ClientSlug, ClientStatus, Epoch, ExternalRef, Placement,
    PoolId,
};
use crate::directory::{Directory, PlatformDirectory, column, failed, of_client};
use crate::error::{Error, Result};
use crate::plan::{Limits, TierName};
use crate::schema;
use crate::secret::Sealed;

/// A client to be created. Its tier decides whether it shares a pool or has a database of its own.
#[derive(Clone, Debug)]
pub struct NewClient {
    id: ClientId,
    name: String,
    slug: ClientSlug,
    tier: TierName,
    external_ref: Option<ExternalRef>,
    domain: Option<ClientDomain>,
    app_url: Option<SecretString>,
    admin_url: Option<SecretString>,
}

impl NewClient {
    /// A client by its name for people, its slug and its tier. Its id is random.
    pub fn new(name: impl Into<String>, slug: ClientSlug, tier: impl Into<TierName>) -> Self {
        Self {
            id: ClientId::new(),
            name: name.into(),
            slug,
            tier: tier.into(),
            external_ref: None,
            domain: None,
            app_url: None,
            admin_url: None,
        }
    }

    /// An id that the client has already. Defaults to a random one.
    #[must_use]
    pub fn id(mut self, id: ClientId) -> Self {
        self.id = id;
        self
    }

    /// Its name in another system. Defaults to none.
    #[must_use]
    pub fn external_ref(mut self, reference: ExternalRef) -> Self {
        self.external_ref = Some(reference);
        self
    }

    /// A domain of its own. Defaults to none.
    #[must_use]
    pub fn domain(mut self, domain: ClientDomain) -> Self {
        self.domain = Some(domain);
        self
    }

    pub(super) fn client_id(&self) -> ClientId {
        self.id
    }

    /// The URLs of its dedicated database, for the app role and the admin role. A client of a shared tier
    /// has none.
    #[must_use]
    pub fn dedicated(mut self, app_url: impl Into<SecretString>, admin_url: impl Into<SecretString>) -> Self {
        self.app_url = Some(app_url.into());
        self.admin_url = Some(admin_url.into());
        self
    }
}

impl PlatformDirectory {
    /// Creates a client, placed as its tier demands, and activates it.
    ///
    /// The order of commits: the client as provisioning in the platform database, its placement in the pool
    /// database, the client as active. Killed in between, it is provisioning and not served;
    /// [`activate`](Self::activate) goes on from there.
    ///
    /// # Errors
    /// [`Error::NoPoolWithRoom`]; [`Error::Refused`] where a name is taken, or the tier does not exist or
    /// allow it; [`Error::Unreachable`] where its pool database does not answer.
    ///
    /// # Cancel safety
    /// Dropped, the client is not there, or provisioning, or active.
    pub async fn create_client(&self, client: NewClient) -> Result<ClientRecord> {
        self.insert_client(&client).await?;
        self.activate(client.id).await
    }

    /// Notes a client as provisioning.
    pub(super) async fn insert_client(&self, client: &NewClient) -> Result<()> {
        let id = client.id;
        let slug = client.slug.to_string();
        let seal = |url: &Option<SecretString>, column| {
            url.as_ref()
                .map(|url| self.seal(url, of_client(id, column), || format!("client {slug}")))
                .transpose()
        };
        sqlx::query(
            "insert into platform.clients
                 (id, name, slug, external_ref, domain, tier, app_connection, admin_connection)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(&client.name)
        .bind(&slug)
        .bind(client.external_ref.as_ref().map(ExternalRef::as_str))
        .bind(client.domain.as_ref().map(ClientDomain::as_str))
        .bind(client.tier.as_str())
        .bind(seal(&client.app_url, column::CLIENT_APP)?)
        .bind(seal(&client.admin_url, column::CLIENT_ADMIN)?)
        .execute(&self.db)
        .await
        .map_err(|source| {
            match source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
            {
                Some(code) if code == "TN101" => Error::NoPoolWithRoom { slug: slug.clone() },
                _ => refused("creating", format!("client {slug}"), source),
            }
        })
        .map(drop)
    }

    /// Takes back a client that was noted as provisioning, as well as can be.
    pub(super) async fn forget_provisioning(&self, id: ClientId) {
        let _ = sqlx::query("delete from platform.clients where id = $1 and status = 'provisioning'")
            .bind(id)
            .execute(&self.db)
            .await;
    }

    /// Serves a client that is provisioning: places it in its pool database, then says so in the platform
    /// database. Safe to run again.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::NotServed`] where it is suspended or archived;
    /// [`Error::Unreachable`] where its pool database does not answer; [`Error::Refused`] where it is
    /// dedicated and has no connection.
    ///
    /// # Cancel safety
    /// Dropped, the client is still provisioning, or active.
    pub async fn activate(&self, id: ClientId) -> Result<ClientRecord> {
        let unknown = || Error::UnknownClient { client: id.into() };
        let mut record = self.client(&ClientRef::Id(id)).await?.ok_or_else(unknown)?;
        match record.status {
            ClientStatus::Active => return Ok(record),
            ClientStatus::Provisioning => {}
            status => return Err(Error::NotServed { client: id, status }),
        }
        if let Placement::Pool(pool) = record.placement {
            let mut admin = self.pool_admin(pool).await?;
            schema::place(&mut admin, id, "active", record.epoch).await?;
            let _ = admin.close().await;
        }
        sqlx::query(
            "update platform.clients set status = 'active' where id = $1 and status = 'provisioning'",
        )
        .bind(id)
        .execute(&self.db)
        .await
        .map_err(|source| refused("activating", format!("client {id}"), source))?;
        record.status = ClientStatus::Active;
        Ok(record)
    }

    /// Changes the status of a client. On a pool database a client that is not active any more is refused from
    /// then on, whoever remembers what; managers see the rest when their remembered routes end.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where the status does not fit the client;
    /// [`Error::Unreachable`] where its pool database does not answer; to be retried, [`Error::Relocating`] where
    /// it is being relocated, and [`Error::Statement`] where its transactions in flight do not end in some
    /// seconds.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not; or in the pool database alone, where the client is then refused
    /// until this is called again.
    pub async fn set_status(&self, id: ClientId, status: ClientStatus) -> Result<()> {
        self.change(id, "changing the status", |update| {
            update.push("status = ").push_bind(status.as_str());
        })
        .await
    }

    /// Gives a client limits of its own, in place of those it had of its own; what they do not name is its
    /// tier's. They are in force from then on: connections in use for the client end their transactions under
    /// the old ones.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status); [`Error::Refused`] where a limit is negative.
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_limits(&self, id: ClientId, limits: &Limits) -> Result<()> {
        self.change(id, "changing the limits", |update| {
            // That it may be hosted as its tier is not is no limit, though it is kept beside them.
            update
                .push(
                    "limit_overrides = case when limit_overrides ? 'hosting'
                         then jsonb_build_object('hosting', limit_overrides -> 'hosting') else '{}' end || (",
                )
                .push_bind(Json(limits))
                .push(" - 'hosting')");
        })
        .await
    }

    /// A connection to the database of a client, as its admin role, and which it is.
    pub(super) async fn client_admin(&self, id: ClientId) -> Result<(PgConnection, Placement)> {
        let unknown = || Error::UnknownClient { client: id.into() };
        let record = self.client(&ClientRef::Id(id)).await?.ok_or_else(unknown)?;
        if let Placement::Pool(pool) = record.placement {
            return Ok((self.pool_admin(pool).await?, record.placement));
        }
        Ok((self.dedicated_admin(id).await?, record.placement))
    }

    /// A connection to the database of its own of a client, deleted or not, as its admin role.
    pub(super) async fn dedicated_admin(&self, id: ClientId) -> Result<PgConnection> {
        let sealed: Option<Sealed> =
            sqlx::query_scalar("select admin_connection from platform.clients where id = $1")
                .bind(id)
                .fetch_optional(&self.db)
                .await
                .map_err(failed("reading a client"))?
                .flatten();
        let (owner, what) = (|| format!("client {id}"), || column::CLIENT_ADMIN.to_owned());
        let sealed = sealed.ok_or_else(|| Error::MissingCredential {
            owner: owner(),
            what: what(),
        })?;
        let url = self
            .keyring
            .open(&sealed, of_client(id, column::CLIENT_ADMIN))
            .map_err(|source| Error::WrongKey {
                owner: owner(),
                what: what(),
                source,
            })?;
        connect_admin(&url, owner()).await
    }

    /// Changes a client in the platform database and, where it shares one, in its pool database, under a new
    /// epoch. The pool database commits first: from then until the platform database has, routes are refused and
    /// resolved again.
    async fn change(
        &self,
        id: ClientId,
        step: &'static str,
        set: impl FnOnce(&mut QueryBuilder<Postgres>) + Send,
    ) -> Result<()> {
        let mut tx = self.db.begin().await.map_err(failed(step))?;
        let mut update = QueryBuilder::new("update platform.clients set epoch = epoch + 1, ");
        set(&mut update);
        update.push(" where id = ").push_bind(id);
        update.push(" and deleted_at is null returning status, pool_id, epoch");
        let changed: Option<(String, Option<PoolId>, Epoch)> = update
            .build_query_as()
            .fetch_optional(&mut *tx)
            .await
            .map_err(|source| refused(step, format!("client {id}"), source))?;
        let (status, pool, epoch) = changed.ok_or(Error::UnknownClient { client: id.into() })?;
        if let Some(pool) = pool
            && status != ClientStatus::Provisioning.as_str()
        {
            let mut admin = self.pool_admin(pool).await?;
            let suspended = status != ClientStatus::Active.as_str();
            schema::renew(&mut admin, id, epoch, suspended).await?;
            let _ = admin.close().await;
        }
        tx.commit().await.map_err(failed(step))
    }
}
