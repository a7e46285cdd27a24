#![expect(clippy::disallowed_methods, reason = "prepares the databases of a fixture")]

mod databases;
mod templates;

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{SecretBox, SecretString};
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use self::databases::{Databases, drop_databases};
use self::templates::Templates;
use super::proxy::DelayProxy;
use super::server::{PgServer, ServerSource};
use super::{FixtureError, ServerError};
use crate::schema::{apply_to_dedicated, apply_to_pool};
use crate::{
    ClientConnectionManager, ClientId, ClientRecord, ClientSlug, Keyring, ManagerOptions, NewClient, NewPool,
    PlatformDirectory, PoolId,
};

/// A platform database, a pool database and as many dedicated ones as are asked for, on the shared test
/// server: real roles, real row-level security, the host's own tables. No two fixtures share a database.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tenantry::testing::Fixture;
///
/// static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");
///
/// let fixture = Fixture::start(&HOST).await?;
/// let acme = fixture.shared_client("acme").await?;
/// let vast = fixture.dedicated_client("vast").await?;
/// let manager = fixture.manager().await?;
/// manager.tenant(acme.id).await?.insert("agents").set("slug", "guide").set("name", "Guide").execute().await?;
/// fixture.close().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Fixture {
    server: PgServer,
    host: &'static Migrator,
    name: String,
    databases: Mutex<Vec<String>>,
    keyring: Keyring,
    keyring_text: SecretString,
    platform: PlatformDirectory,
    pool: PoolId,
    proxy: Option<Arc<DelayProxy>>,
}

/// The roles of every fixture: they belong to the server, the databases to the fixture.
const ADMIN: &str = "tenantry_fixture_admin";
const APP: &str = "tenantry_fixture_app";

/// What every password and key of a fixture begins with: found in any output, it was told by whoever wrote that.
const PLANTED: &str = "plantedsecret";

const VECTOR: &str = "create extension if not exists vector";

impl Fixture {
    /// A platform database and one pool database that takes 1,000 clients, with the host's tables.
    ///
    /// # Errors
    /// [`FixtureError`] with the step that failed.
    ///
    /// # Cancel safety
    /// Dropped, databases can be left on a server of `DATABASE_URL`; a private server takes them with it.
    pub async fn start(host: &'static Migrator) -> Result<Self, FixtureError> {
        Self::on(PgServer::shared().await?, host, 1_000, None).await
    }

    /// As [`start`](Self::start), with every connection of the app role through a [`DelayProxy`].
    ///
    /// # Errors
    /// [`FixtureError`] with the step that failed.
    pub async fn start_proxied(host: &'static Migrator) -> Result<Self, FixtureError> {
        let server = PgServer::shared().await?;
        let proxy = DelayProxy::start(&server.connect_options("postgres"))
            .await
            .map_err(FixtureError::Proxy)?;
        Self::on(server, host, 1_000, Some(Arc::new(proxy))).await
    }

    /// As [`start`](Self::start), on that server, with a pool of that capacity, and through that proxy.
    ///
    /// # Errors
    /// [`FixtureError`] with the step that failed.
    pub async fn on(
        server: PgServer,
        host: &'static Migrator,
        capacity: i32,
        proxy: Option<Arc<DelayProxy>>,
    ) -> Result<Self, FixtureError> {
        let name = format!("tenantry_{}", &Uuid::new_v4().simple().to_string()[..12]);
        let templates = Templates::prepare(&server, host).await?;
        let platform_database = format!("{name}_platform");
        let mut databases = Databases {
            server: &server,
            created: Vec::new(),
        };
        databases
            .create(&platform_database, Some(&templates.platform))
            .await?;

        let mut key: [u8; 32] = Sha256::digest(&name).into();
        key[..PLANTED.len()].copy_from_slice(PLANTED.as_bytes());
        let keyring_text = SecretString::from(format!("1:{}", hex::encode(key)));
        let keyring = Keyring::new(1, SecretBox::new(Box::new(key)));
        let url = SecretString::from(server.url_as(ADMIN, &password(&server, ADMIN), &platform_database));
        let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
        let created = std::mem::take(&mut databases.created);
        let mut fixture = Self {
            server,
            host,
            name,
            databases: Mutex::new(created),
            keyring,
            keyring_text,
            platform,
            pool: PoolId::new(),
            proxy,
        };
        fixture.pool = fixture.add_pool("pool-1", capacity).await?;
        Ok(fixture)
    }

    /// Registers one more pool database, filled after those before it.
    ///
    /// # Errors
    /// [`FixtureError`] with the step that failed.
    pub async fn add_pool(&self, name: &str, capacity: i32) -> Result<PoolId, FixtureError> {
        let templates = Templates::prepare(&self.server, self.host).await?;
        let database = self.create(name, Some(&templates.pool)).await?;
        // The privileges of a database itself are not copied from its template.
        let mut admin = PgConnection::connect_with(&self.admin_options(&database)).await?;
        apply_to_pool(&mut admin, APP, self.host).await?;
        admin.close().await?;
        let pool = NewPool::new(name, self.app_url(&database), self.admin_url(&database)).capacity(capacity);
        Ok(self.platform.register_pool(pool).await?)
    }

    /// A client of the tier adventurer, in the pool database.
    ///
    /// # Errors
    /// [`FixtureError`] where the slug is none or taken, or the pool is full.
    pub async fn shared_client(&self, slug: &str) -> Result<ClientRecord, FixtureError> {
        let client = NewClient::new(slug, parse(slug)?, "adventurer");
        Ok(self.platform.create_client(client).await?)
    }

    /// A database for that client alone, with the host's tables and no rows. Returns its name.
    ///
    /// # Errors
    /// [`FixtureError`] with the step that failed.
    pub async fn dedicated_database(&self, name: &str, client: ClientId) -> Result<String, FixtureError> {
        let database = self.create(name, None).await?;
        let mut superuser = PgConnection::connect_with(&self.server.connect_options(&database)).await?;
        sqlx::raw_sql(VECTOR).execute(&mut superuser).await?;
        superuser.close().await?;
        let mut admin = PgConnection::connect_with(&self.admin_options(&database)).await?;
        apply_to_dedicated(&mut admin, APP, client, self.host).await?;
        admin.close().await?;
        Ok(database)
    }

    /// A client of the tier champion, with a database of its own that has the host's tables, `client_id`
    /// included.
    ///
    /// # Errors
    /// [`FixtureError`] where the slug is none or taken.
    pub async fn dedicated_client(&self, slug: &str) -> Result<ClientRecord, FixtureError> {
        let id = ClientId::new();
        let database = self.dedicated_database(slug, id).await?;
        self.dedicated_client_on(id, slug, &database).await
    }

    /// A client of the tier champion, on an empty database that the statements are run in as its admin role:
    /// one that an older system made, without the kernel and without `client_id`.
    ///
    /// # Errors
    /// [`FixtureError`] where the slug is none or taken, or a statement fails. The app role is
    /// [`app_role`](Self::app_role).
    pub async fn legacy_client(
        &self,
        slug: &str,
        schema: &'static str,
    ) -> Result<ClientRecord, FixtureError> {
        let database = self.create(slug, None).await?;
        let mut admin = PgConnection::connect_with(&self.admin_options(&database)).await?;
        sqlx::raw_sql(schema).execute(&mut admin).await?;
        admin.close().await?;
        self.dedicated_client_on(ClientId::new(), slug, &database).await
    }

    async fn dedicated_client_on(
        &self,
        id: ClientId,
        slug: &str,
        database: &str,
    ) -> Result<ClientRecord, FixtureError> {
        let client = NewClient::new(slug, parse(slug)?, "champion")
            .id(id)
            .dedicated(self.app_url(database), self.admin_url(database));
        Ok(self.platform.create_client(client).await?)
    }

    /// A manager of its own over these databases. Close it before the fixture.
    ///
    /// # Errors
    /// [`FixtureError`] where the platform database does not answer.
    pub async fn manager(&self) -> Result<ClientConnectionManager, FixtureError> {
        Ok(ClientConnectionManager::connect(self.manager_options()).await?)
    }

    /// The options of such a manager, to be changed.
    pub fn manager_options(&self) -> ManagerOptions {
        let database = format!("{}_platform", self.name);
        let url = self
            .server
            .url_as(ADMIN, &password(&self.server, ADMIN), &database);
        ManagerOptions::new(url, self.keyring.clone())
    }

    /// The directory over the platform database.
    pub fn platform(&self) -> &PlatformDirectory {
        &self.platform
    }

    /// The keys that its credentials are sealed with; there is one, of the id 1.
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// The same keys as text, for [`Keyring::from_text`]: for another process.
    pub fn keyring_text(&self) -> SecretString {
        self.keyring_text.clone()
    }

    /// The server that the databases are on.
    pub fn server(&self) -> &PgServer {
        &self.server
    }

    /// The proxy that the app role connects through, if there is one.
    pub fn proxy(&self) -> Option<&DelayProxy> {
        self.proxy.as_deref()
    }

    /// The first pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// The role that managers connect to pool and dedicated databases as.
    pub const fn app_role(&self) -> &'static str {
        APP
    }

    /// The role that owns every database.
    pub const fn admin_role(&self) -> &'static str {
        ADMIN
    }

    /// The name of the platform database (`platform`), of a pool database by the pool's name (the first is
    /// `pool-1`), or of a dedicated one by the client's slug.
    pub fn database(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// How the app role connects to a database, past any proxy: what an attacker has.
    pub fn app_options(&self, database: &str) -> PgConnectOptions {
        self.server
            .connect_options(database)
            .username(APP)
            .password(&password(&self.server, APP))
    }

    /// How the admin role connects to a database.
    pub fn admin_options(&self, database: &str) -> PgConnectOptions {
        self.server
            .connect_options(database)
            .username(ADMIN)
            .password(&password(&self.server, ADMIN))
    }

    /// The URL of the app role, through the proxy where there is one.
    pub fn app_url(&self, database: &str) -> String {
        let password = password(&self.server, APP);
        match &self.proxy {
            Some(proxy) => proxy.url_as(APP, &password, database),
            None => self.server.url_as(APP, &password, database),
        }
    }

    /// The URL of the admin role.
    pub fn admin_url(&self, database: &str) -> String {
        self.server
            .url_as(ADMIN, &password(&self.server, ADMIN), database)
    }

    /// Drops the databases, ending the connections to them.
    pub async fn close(self) {
        self.platform.close().await;
        let databases = std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner));
        drop_databases(&self.server, databases).await;
    }

    async fn create(&self, name: &str, template: Option<&str>) -> Result<String, FixtureError> {
        let database = self.database(name);
        let mut databases = Databases {
            server: &self.server,
            created: Vec::new(),
        };
        databases.create(&database, template).await?;
        self.databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(database.clone());
        Ok(database)
    }
}

impl Drop for Fixture {
    /// Drops the databases in a thread of its own. On a server that outlives the process it waits for that.
    fn drop(&mut self) {
        let databases = std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner));
        if databases.is_empty() {
            return;
        }
        let server = self.server.clone();
        let outlives_us = server.source() == ServerSource::DatabaseUrl;
        let thread = std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                runtime.block_on(drop_databases(&server, databases));
            }
        });
        if outlives_us {
            let _ = thread.join();
        }
    }
}

/// The password of a fixture's role: known to those who can connect to the server as its superuser.
fn password(server: &PgServer, role: &str) -> String {
    let digest = Sha256::digest(format!("{role}:{}", server.url("postgres")));
    format!("{PLANTED}{}", hex::encode(&digest[..16]))
}

fn parse(slug: &str) -> Result<ClientSlug, FixtureError> {
    slug.parse().map_err(FixtureError::Slug)
}

impl From<ServerError> for FixtureError {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}
