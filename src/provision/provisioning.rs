#![expect(
    clippy::disallowed_methods,
    reason = "keeps the journal of clients that are being set up"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, Postgres};

use super::client::NewClient;
use super::client_setup::ClientSetup;
use super::database_provisioner::{DatabaseProvisioner, HookError};
use super::erase::{EraseOptions, EraseReport};
use super::pool::connect_admin;
use crate::client::{ClientId, ClientRecord, ClientRef, ClientStatus, Placement};
use crate::directory::{Directory, PlatformDirectory, column, failed, of_client};
use crate::error::{Error, Result};
use crate::routing::ClientConnectionManager;
use crate::schema;
use crate::secret::Sealed;

/// Sets clients up: a place in a pool or a database of its own, the kernel and the host's tables, and what the host
/// has set up in them. One per process; cheap to clone.
///
/// The order of commits: the client as provisioning in the platform database; its database, where it has its own,
/// and the connections to it in the platform database; kernel and host migrations there, or its place in the pool
/// database; each set-up in the client's data; the client as active in the platform database. Killed anywhere, it is
/// provisioning and not served, and [`resume`](Self::resume) goes on from there.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory, manager: tenantry::ClientConnectionManager, admin: String)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use tenantry::{NewClient, Provisioning, ServerDatabases};
///
/// static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");
///
/// let provisioning =
///     Provisioning::new(platform, manager, &HOST).databases(ServerDatabases::new(admin).extensions(["vector"]));
/// let vast = provisioning.provision(NewClient::new("Vast", "vast".parse()?, "champion")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Provisioning {
    pub(super) platform: PlatformDirectory,
    manager: ClientConnectionManager,
    pub(super) host: &'static Migrator,
    pub(super) databases: Option<Arc<dyn DatabaseProvisioner>>,
    setups: Vec<Arc<dyn ClientSetup>>,
    approval: Option<Arc<dyn Approval>>,
}

/// Says whether a client may be set up, before anything is done for it.
#[async_trait]
pub trait Approval: Send + Sync + std::fmt::Debug {
    /// Approves of a client by its slug and tier.
    ///
    /// # Errors
    /// Why it may not; [`Error::Hook`] carries it.
    async fn approve(&self, client: &NewClient) -> Result<(), HookError>;
}

/// A client whose set-up has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[non_exhaustive]
pub struct UnfinishedProvision {
    /// The client.
    #[sqlx(rename = "client_id")]
    pub client: ClientId,
    /// The last step that was done.
    pub step: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it ended the last time, if it ended by itself.
    pub failure: Option<String>,
}

impl Provisioning {
    /// With the host's migrations for dedicated databases; those of pools are there already.
    pub fn new(
        platform: PlatformDirectory,
        manager: ClientConnectionManager,
        host: &'static Migrator,
    ) -> Self {
        Self {
            platform,
            manager,
            host,
            databases: None,
            setups: Vec::new(),
            approval: None,
        }
    }

    /// What makes the databases of dedicated clients. Defaults to none: a client of a dedicated tier then comes with
    /// the URLs of its database.
    #[must_use]
    pub fn databases(mut self, databases: impl DatabaseProvisioner + 'static) -> Self {
        self.databases = Some(Arc::new(databases));
        self
    }

    /// One more set-up, after those before it. Defaults to none.
    #[must_use]
    pub fn setup(mut self, setup: impl ClientSetup + 'static) -> Self {
        self.setups.push(Arc::new(setup));
        self
    }

    /// Who says whether a client may be set up. Defaults to nobody: all may.
    #[must_use]
    pub fn approval(mut self, approval: impl Approval + 'static) -> Self {
        self.approval = Some(Arc::new(approval));
        self
    }

    /// Creates a client and sets it up. Returns it as it is served.
    ///
    /// # Errors
    /// [`Error::Hook`] where it was not approved of, or a part of the host's own failed; [`Error::NoPoolWithRoom`];
    /// [`Error::Refused`] where a name is taken; else as [`resume`](Self::resume), which goes on from there: the
    /// client is then provisioning, and listed as [`unfinished`](Self::unfinished).
    ///
    /// # Cancel safety
    /// Dropped, the client was not created, or is provisioning.
    pub async fn provision(&self, client: NewClient) -> Result<ClientRecord> {
        if let Some(approval) = &self.approval {
            let refused = approval.approve(&client).await;
            refused.map_err(|source| Error::Hook {
                client: client.id.unwrap_or_else(|| uuid::Uuid::nil().into()),
                hook: format!("approval of {}", client.slug),
                source: source.into(),
            })?;
        }
        let mut writing = self.platform.write("creating").await?;
        let id = match self.take_stock(&mut writing, &client).await? {
            Some(taken) => taken,
            None => self.platform.insert_client(&mut writing, &client).await?,
        };
        sqlx::query("insert into platform.provisions (client_id) values ($1)")
            .bind(id)
            .execute(writing.conn()?)
            .await
            .map_err(failed("creating"))?;
        writing.commit().await?;
        self.resume(id).await
    }

    /// Goes on with the set-up of a client that is provisioning, from where it ended. One that is active is returned
    /// as it is.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::NotServed`] where it is suspended or archived; [`Error::Busy`] where
    /// another process is setting it up; [`Error::MissingCredential`] where it is dedicated, comes with no URLs, and
    /// nothing makes databases; [`Error::Unreachable`] and [`Error::Migration`] of its database; [`Error::Hook`].
    ///
    /// # Cancel safety
    /// Dropped, it is still provisioning; call it again.
    pub async fn resume(&self, id: ClientId) -> Result<ClientRecord> {
        let alone = self.alone(id).await?;
        let outcome = self.go_on(id).await;
        if let Err(failure) = &outcome {
            self.note_failure(id, failure).await;
        }
        alone.end().await;
        outcome
    }

    /// Gives a client up whose set-up has not ended: whatever there is of it is removed, and its names are free.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where it is not provisioning; [`Error::Busy`] where another
    /// process is setting it up; else as [`remove`](Self::remove).
    ///
    /// # Cancel safety
    /// Dropped, some of it was removed. Once it is deleted, [`remove`](Self::remove) goes on.
    pub async fn abandon(&self, id: ClientId) -> Result<()> {
        let alone = self.alone(id).await?;
        let unknown = || Error::UnknownClient { client: id.into() };
        let record = self.platform.client(&ClientRef::Id(id)).await?;
        if record.ok_or_else(unknown)?.status != ClientStatus::Provisioning {
            return Err(Error::Refused {
                what: format!("client {id}"),
                step: "abandoning",
                reason: "it was set up: archive or delete it, and remove it then".to_owned(),
            });
        }
        self.platform.delete_client(id).await?;
        self.remove(id, &EraseOptions::default().after(Duration::ZERO))
            .await?;
        alone.end().await;
        Ok(())
    }

    /// Erases a client as [`erase_client`](PlatformDirectory::erase_client) does, and its own database with it, where
    /// something makes databases.
    ///
    /// # Errors
    /// As [`erase_client`](PlatformDirectory::erase_client); [`Error::Hook`] where its database could not be removed.
    ///
    /// # Cancel safety
    /// Dropped, some of it was removed. Call it again.
    pub async fn remove(&self, id: ClientId, options: &EraseOptions) -> Result<EraseReport> {
        let erased = self.platform.erase_client(id, options).await?;
        if let Some(databases) = &self.databases {
            databases.remove(id).await.map_err(|source| Error::Hook {
                client: id,
                hook: "removing its database".to_owned(),
                source: source.into(),
            })?;
        }
        Ok(erased)
    }

    /// The clients whose set-up has begun and not ended, the oldest first, 1,000 at most.
    ///
    /// # Errors
    /// [`Error::Platform`] where the database does not answer.
    pub async fn unfinished(&self) -> Result<Vec<UnfinishedProvision>> {
        sqlx::query_as(
            "select p.client_id, p.step, p.attempts, p.failure
             from platform.provisions p join platform.clients c on c.id = p.client_id
             where c.status = 'provisioning' and c.deleted_at is null
             order by p.started_at, p.client_id limit 1000",
        )
        .fetch_all(&self.platform.db)
        .await
        .map_err(failed("listing unfinished clients"))
    }

    /// A session that holds the client's lock: it ends with the process.
    async fn alone(&self, id: ClientId) -> Result<Alone> {
        const STEP: &str = "setting a client up";
        let conn = self.platform.lock_connection().await.map_err(failed(STEP))?;
        let mut alone = Alone { conn: Some(conn), id };
        if alone
            .says("select pg_try_advisory_lock(hashtextextended($1, 1413828180))")
            .await
            .map_err(failed(STEP))?
        {
            return Ok(alone);
        }
        Err(Error::Busy {
            client: id,
            what: "its set-up, which another process is at",
            waited: Duration::ZERO,
        })
    }

    async fn go_on(&self, id: ClientId) -> Result<ClientRecord> {
        let unknown = || Error::UnknownClient { client: id.into() };
        let record = self
            .platform
            .client(&ClientRef::Id(id))
            .await?
            .ok_or_else(unknown)?;
        match record.status {
            ClientStatus::Active => return Ok(record),
            ClientStatus::Provisioning => {}
            status => return Err(Error::NotServed { client: id, status }),
        }
        self.note_attempt(id).await?;
        match record.placement {
            Placement::Pool(pool) => {
                self.platform.place(id, pool, record.epoch).await?;
                self.note(id, "placed").await?;
            }
            Placement::Dedicated => {
                self.own_database(id, record.connection.is_some()).await?;
                self.note(id, "database").await?;
                self.own_schema(id).await?;
                self.note(id, "schema").await?;
            }
        }
        self.set_up(id).await?;
        let record = self.platform.activate(id).await?;
        let mut writing = self.platform.write("activating").await?;
        sqlx::query("delete from platform.provisions where client_id = $1")
            .bind(id)
            .execute(writing.conn()?)
            .await
            .map_err(failed("activating"))?;
        writing.commit().await?;
        Ok(record)
    }

    /// Makes the database of the client, unless its connections are known.
    async fn own_database(&self, id: ClientId, known: bool) -> Result<()> {
        if known {
            return Ok(());
        }
        let missing = || Error::MissingCredential {
            owner: format!("client {id}"),
            what: column::CLIENT_APP.to_owned(),
        };
        let databases = self.databases.as_ref().ok_or_else(missing)?;
        let urls = databases.create(id).await.map_err(|source| Error::Hook {
            client: id,
            hook: "creating its database".to_owned(),
            source: source.into(),
        })?;
        self.platform.set_dedicated(id, &urls.app, &urls.admin).await
    }

    /// The kernel and the host's tables in the client's own database.
    async fn own_schema(&self, id: ClientId) -> Result<()> {
        let (mut admin, _) = self.platform.client_admin(id).await?;
        let app_role = self.app_role(id).await?;
        schema::apply_to_dedicated(&mut admin, &app_role, id, self.host).await?;
        let _ = admin.close().await;
        Ok(())
    }

    /// Whom the manager connects to the client's own database as.
    async fn app_role(&self, id: ClientId) -> Result<String> {
        let record = self.platform.client(&ClientRef::Id(id)).await?;
        let sealed: Option<Sealed> = record.and_then(|record| record.connection);
        let owner = || format!("client {id}");
        let sealed = sealed.ok_or_else(|| Error::MissingCredential {
            owner: owner(),
            what: column::CLIENT_APP.to_owned(),
        })?;
        let url = self
            .platform
            .open(&sealed, of_client(id, column::CLIENT_APP), owner)
            .await?;
        let options = crate::directory::connect_options(&url, &owner())?;
        Ok(options.get_username().to_owned())
    }

    /// Each set-up once, in the client's own data.
    async fn set_up(&self, id: ClientId) -> Result<()> {
        if self.setups.is_empty() {
            return Ok(());
        }
        let db = self.manager.setting_up(id).await?;
        for setup in &self.setups {
            let name = setup.name();
            let mut tx = db.begin().await?;
            let first: bool = sqlx::query_scalar("select tenantry.take_step($1)")
                .bind(name)
                .fetch_one(tx.connection()?)
                .await
                .map_err(|source| Error::of_statement(id, format!("set-up {name}"), source))?;
            if !first {
                tx.rollback().await?;
                continue;
            }
            setup.set_up(&mut tx).await.map_err(|source| Error::Hook {
                client: id,
                hook: format!("set-up {name}"),
                source: source.into(),
            })?;
            tx.commit().await?;
            self.note(id, name).await?;
        }
        Ok(())
    }

    async fn note_attempt(&self, id: ClientId) -> Result<()> {
        self.journal(
            id,
            "insert into platform.provisions (client_id, attempts) values ($1, 1)
             on conflict (client_id) do update
             set attempts = provisions.attempts + 1, failure = $2, updated_at = now()",
            None,
        )
        .await
    }

    async fn note(&self, id: ClientId, step: &str) -> Result<()> {
        let sql = "update platform.provisions set step = $2, updated_at = now() where client_id = $1";
        self.journal(id, sql, Some(step)).await
    }

    /// What is noted for people must not hide what failed.
    async fn note_failure(&self, id: ClientId, failure: &Error) {
        let sql = "update platform.provisions set failure = left($2, 1000), updated_at = now() where client_id = $1";
        if let Err(error) = self.journal(id, sql, Some(&failure.to_string())).await {
            tracing::warn!(client = %id, %error, "why a client was not set up could not be noted");
        }
    }

    async fn journal(&self, id: ClientId, sql: &'static str, text: Option<&str>) -> Result<()> {
        sqlx::query(sql)
            .bind(id)
            .bind(text)
            .execute(&self.platform.db)
            .await
            .map(drop)
            .map_err(failed("noting how far a client is"))
    }
}

/// Whoever sets a client up, with nobody else at it. Dropped before its end, its connection closes: given back, it
/// could still hold the lock.
struct Alone {
    // `None` only after it was given back.
    conn: Option<PoolConnection<Postgres>>,
    id: ClientId,
}

impl Alone {
    /// Lets others at it. Where that cannot be said, the connection closes.
    async fn end(mut self) {
        let unlocked = self.says("select pg_advisory_unlock(hashtextextended($1, 1413828180))");
        if matches!(unlocked.await, Ok(true)) {
            drop(self.conn.take());
        }
    }

    async fn says(&mut self, sql: &'static str) -> sqlx::Result<bool> {
        let conn = self.conn.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::query_scalar(sql)
            .bind(format!("provision {}", self.id))
            .fetch_one(conn)
            .await
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}

/// A connection to a database as the admin role that was made for it.
pub(super) async fn admin_of(urls: &super::DedicatedUrls, client: ClientId) -> Result<PgConnection> {
    connect_admin(&urls.admin, format!("database of client {client}")).await
}
