#![expect(
    clippy::disallowed_methods,
    reason = "creates and activates clients in both databases"
)]

use secrecy::SecretString;
use sqlx::PgConnection;

use super::pool::connect_admin;
use crate::client::{
    ClientDomain, ClientId, ClientRecord, ClientRef, ClientSlug, ClientStatus, ExternalRef, Placement,
};
use crate::directory::{Directory, PlatformDirectory, Writing, column, failed, of_client, refused};
use crate::error::{Error, Result};
use crate::plan::TierName;
use crate::secret::Sealed;

/// A client to be created. Its tier decides whether it shares a pool or has a database of its own.
#[derive(Clone, Debug)]
pub struct NewClient {
    pub(super) id: Option<ClientId>,
    pub(super) name: String,
    pub(super) slug: ClientSlug,
    pub(super) tier: TierName,
    external_ref: Option<ExternalRef>,
    domain: Option<ClientDomain>,
    app_url: Option<SecretString>,
    admin_url: Option<SecretString>,
}

impl NewClient {
    /// A client by its name for people, its slug and its tier. Its id is random.
    pub fn new(name: impl Into<String>, slug: ClientSlug, tier: impl Into<TierName>) -> Self {
        Self {
            id: None,
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
        self.id = Some(id);
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

    /// Its name in host names and paths.
    pub fn slug(&self) -> &ClientSlug {
        &self.slug
    }

    /// Its tier.
    pub fn tier(&self) -> &TierName {
        &self.tier
    }

    /// Whether it may become the client that a database in stock waits for.
    pub(super) fn may_take_stock(&self) -> bool {
        self.id.is_none() && self.app_url.is_none()
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
        let id = self.create_provisioning(&client).await?;
        self.activate(id).await
    }

    /// Notes a client as provisioning, placed as its tier demands.
    pub(super) async fn create_provisioning(&self, client: &NewClient) -> Result<ClientId> {
        let mut writing = self.write("creating").await?;
        let id = self.insert_client(&mut writing, client).await?;
        writing.commit().await?;
        Ok(id)
    }

    /// The client as provisioning, placed as its tier demands.
    pub(super) async fn insert_client(&self, writing: &mut Writing, client: &NewClient) -> Result<ClientId> {
        let id = client.id.unwrap_or_else(ClientId::new);
        let slug = client.slug.as_str();
        let seal = async |url: &Option<SecretString>, column| match url {
            Some(url) => {
                let sealed = self.seal(url, of_client(id, column), || format!("client {slug}"));
                sealed.await.map(Some)
            }
            None => Ok(None),
        };
        let app = seal(&client.app_url, column::CLIENT_APP).await?;
        let admin = seal(&client.admin_url, column::CLIENT_ADMIN).await?;
        sqlx::query(
            "insert into platform.clients
                 (id, name, slug, external_ref, domain, tier, app_connection, admin_connection)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(&client.name)
        .bind(slug)
        .bind(client.external_ref.as_ref().map(ExternalRef::as_str))
        .bind(client.domain.as_ref().map(ClientDomain::as_str))
        .bind(client.tier.as_str())
        .bind(app)
        .bind(admin)
        .execute(writing.conn()?)
        .await
        .map_err(|source| {
            match source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
            {
                Some(code) if code == "TN101" => Error::NoPoolWithRoom {
                    slug: slug.to_owned(),
                },
                _ => refused("creating", format!("client {slug}"), source),
            }
        })?;
        Ok(id)
    }

    /// Takes back a client that was noted as provisioning, as well as can be.
    pub(super) async fn forget_provisioning(&self, id: ClientId) {
        let Ok(mut writing) = self.write("taking back").await else {
            return;
        };
        let Ok(conn) = writing.conn() else { return };
        let removed = sqlx::query("delete from platform.clients where id = $1 and status = 'provisioning'")
            .bind(id)
            .execute(conn)
            .await;
        if removed.is_ok() {
            let _ = writing.commit().await;
        }
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
        loop {
            let mut record = self.client(&ClientRef::Id(id)).await?.ok_or_else(unknown)?;
            match record.status {
                ClientStatus::Active => return Ok(record),
                ClientStatus::Provisioning => {}
                status => return Err(Error::NotServed { client: id, status }),
            }
            if let Placement::Pool(pool) = record.placement {
                self.place(id, pool, record.epoch).await?;
            }
            let mut writing = self.write("activating").await?;
            if self.serve(&mut writing, &mut record).await? {
                writing.commit().await?;
                return Ok(record);
            }
        }
    }

    /// Has the client be active, unless it changed since it was read: its place is then of an epoch that nobody is
    /// admitted under.
    pub(super) async fn serve(&self, writing: &mut Writing, record: &mut ClientRecord) -> Result<bool> {
        let served = sqlx::query(
            "update platform.clients set status = 'active'
             where id = $1 and status = 'provisioning' and epoch = $2 and deleted_at is null",
        )
        .bind(record.id)
        .bind(record.epoch)
        .execute(writing.conn()?)
        .await
        .map_err(|source| refused("activating", format!("client {}", record.id), source))?;
        record.status = ClientStatus::Active;
        Ok(served.rows_affected() == 1)
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
    pub(crate) async fn dedicated_admin(&self, id: ClientId) -> Result<PgConnection> {
        let url = self.dedicated_admin_url(id).await?;
        connect_admin(&url, format!("client {id}")).await
    }

    /// The URL of the admin role of the database of its own of a client, deleted or not.
    pub(crate) async fn dedicated_admin_url(&self, id: ClientId) -> Result<SecretString> {
        let sealed: Option<Sealed> =
            sqlx::query_scalar("select admin_connection from platform.clients where id = $1")
                .bind(id)
                .fetch_optional(&self.db)
                .await
                .map_err(failed("reading a client"))?
                .flatten();
        let owner = || format!("client {id}");
        let sealed = sealed.ok_or_else(|| Error::MissingCredential {
            owner: owner(),
            what: column::CLIENT_ADMIN.to_owned(),
        })?;
        self.open(&sealed, of_client(id, column::CLIENT_ADMIN), owner)
            .await
    }
}
