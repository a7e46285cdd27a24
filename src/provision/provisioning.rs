#![expect(
    clippy::disallowed_methods,
    reason = "keeps the journal of clients that are being set up"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::alone::Alone;
use super::client::NewClient;
use super::client_setup::ClientSetup;
use super::database_provisioner::{DatabaseProvisioner, DedicatedUrls, HookError};
use super::erase::{EraseOptions, EraseReport};
use super::pool::connect_admin;
use crate::client::{ClientId, ClientRecord, ClientRef, ClientStatus, Placement};
use crate::directory::{
    Directory, FleetOwner, PlatformDirectory, column, connect_options, failed, of_client,
};
use crate::error::{Error, Result};
use crate::routing::ClientConnectionManager;
use crate::schema;

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
        // With the first attempt, which begins as soon as it is committed.
        sqlx::query("insert into platform.provisions (client_id, attempts) values ($1, 1)")
            .bind(id)
            .execute(writing.conn()?)
            .await
            .map_err(failed("creating"))?;
        writing.commit().await?;
        let mut alone = Alone::with(&self.platform, id).await?;
        let outcome = self.go_on(&mut alone).await;
        self.end(alone, outcome).await
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
        let mut alone = Alone::with(&self.platform, id).await?;
        let outcome = self.attempt(&mut alone).await;
        self.end(alone, outcome).await
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
        let alone = Alone::with(&self.platform, id).await?;
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

    /// One more attempt at a client that was left.
    async fn attempt(&self, alone: &mut Alone) -> Result<ClientRecord> {
        let record = self.unfinished_client(alone.id).await?;
        if record.status == ClientStatus::Active {
            return Ok(record);
        }
        alone.note_attempt().await?;
        self.go_on(alone).await
    }

    async fn end(&self, alone: Alone, outcome: Result<ClientRecord>) -> Result<ClientRecord> {
        if let Err(failure) = &outcome {
            self.note_failure(alone.id, failure).await;
        }
        alone.end().await;
        outcome
    }

    async fn go_on(&self, alone: &mut Alone) -> Result<ClientRecord> {
        let id = alone.id;
        loop {
            let mut record = self.unfinished_client(id).await?;
            if record.status == ClientStatus::Active {
                return Ok(record);
            }
            match record.placement {
                Placement::Pool(pool) => {
                    self.platform.place(id, pool, record.epoch).await?;
                    alone.note("placed").await?;
                }
                Placement::Dedicated => {
                    if record.connection.is_none() {
                        self.own_database(id).await?;
                        record = self.unfinished_client(id).await?;
                    }
                    alone.note("database").await?;
                    self.own_schema(&record).await?;
                    alone.note("schema").await?;
                }
            }
            self.set_up(alone).await?;
            if self.finish(&mut record).await? {
                return Ok(record);
            }
        }
    }

    async fn unfinished_client(&self, id: ClientId) -> Result<ClientRecord> {
        let record = self.platform.client(&ClientRef::Id(id)).await?;
        let record = record.ok_or_else(|| Error::UnknownClient { client: id.into() })?;
        match record.status {
            ClientStatus::Active | ClientStatus::Provisioning => Ok(record),
            status => Err(Error::NotServed { client: id, status }),
        }
    }

    /// Has the client be served, and its journal end with that; unless it changed since it was read.
    async fn finish(&self, record: &mut ClientRecord) -> Result<bool> {
        const STEP: &str = "activating";
        let mut writing = self.platform.write(STEP).await?;
        if !self.platform.serve(&mut writing, record).await? {
            return Ok(false);
        }
        sqlx::query("delete from platform.provisions where client_id = $1")
            .bind(record.id)
            .execute(writing.conn()?)
            .await
            .map_err(failed(STEP))?;
        writing.commit().await?;
        Ok(true)
    }

    /// Whom clients are asked of.
    pub(crate) fn manager(&self) -> &ClientConnectionManager {
        &self.manager
    }

    /// A database for a client that has none of its own yet, with the kernel and the host's tables.
    pub(crate) async fn database_for(&self, id: ClientId) -> Result<DedicatedUrls> {
        let urls = self.make_database(id).await?;
        let app_role = connect_options(&urls.app, &format!("client {id}"))?;
        let mut admin = admin_of(&urls, id).await?;
        schema::apply_to_dedicated(&mut admin, app_role.get_username(), id, self.host).await?;
        let _ = admin.close().await;
        Ok(urls)
    }

    async fn make_database(&self, id: ClientId) -> Result<DedicatedUrls> {
        let missing = || Error::MissingCredential {
            owner: format!("client {id}"),
            what: column::CLIENT_APP.to_owned(),
        };
        let databases = self.databases.as_ref().ok_or_else(missing)?;
        databases.create(id).await.map_err(|source| Error::Hook {
            client: id,
            hook: "creating its database".to_owned(),
            source: source.into(),
        })
    }

    /// Makes the database of the client.
    async fn own_database(&self, id: ClientId) -> Result<()> {
        let urls = self.make_database(id).await?;
        self.platform.set_dedicated(id, &urls.app, &urls.admin).await
    }

    /// The kernel and the host's tables in the client's own database.
    async fn own_schema(&self, record: &ClientRecord) -> Result<()> {
        let (id, app_role) = (record.id, self.app_role(record).await?);
        let mut admin = self.platform.dedicated_admin(id).await?;
        schema::apply_to_dedicated(&mut admin, &app_role, id, self.host).await?;
        self.platform
            .know_schema(FleetOwner::Client(id), &mut admin)
            .await?;
        let _ = admin.close().await;
        Ok(())
    }

    /// Whom the manager connects to the client's own database as.
    async fn app_role(&self, record: &ClientRecord) -> Result<String> {
        let id = record.id;
        let owner = || format!("client {id}");
        let sealed = record
            .connection
            .as_ref()
            .ok_or_else(|| Error::MissingCredential {
                owner: owner(),
                what: column::CLIENT_APP.to_owned(),
            })?;
        let url = self
            .platform
            .open(sealed, of_client(id, column::CLIENT_APP), owner)
            .await?;
        let options = connect_options(&url, &owner())?;
        Ok(options.get_username().to_owned())
    }

    /// Each set-up once, in the client's own data.
    async fn set_up(&self, alone: &mut Alone) -> Result<()> {
        let id = alone.id;
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
            alone.note(name).await?;
        }
        Ok(())
    }

    /// What is noted for people must not hide what failed. Not on the connection that was alone: it may be what did.
    async fn note_failure(&self, id: ClientId, failure: &Error) {
        let sql = "update platform.provisions set failure = left($2, 1000), updated_at = now() where client_id = $1";
        let noted = sqlx::query(sql)
            .bind(id)
            .bind(failure.to_string())
            .execute(&self.platform.db)
            .await;
        if let Err(error) = noted {
            tracing::warn!(client = %id, %error, "why a client was not set up could not be noted");
        }
    }
}

/// A connection to a database as the admin role that was made for it.
pub(super) async fn admin_of(urls: &super::DedicatedUrls, client: ClientId) -> Result<PgConnection> {
    connect_admin(&urls.admin, format!("database of client {client}")).await
}
