#![expect(clippy::disallowed_methods, reason = "registers a pool in both databases")]

use secrecy::SecretString;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres};

use crate::client::{ClientId, Epoch, PoolId};
use crate::directory::{
    Binding, FleetOwner, PlatformDirectory, column, connect_options, failed, of_pool, refused, write_schema,
};
use crate::error::{Error, Result};
use crate::schema::{self, SchemaState};
use crate::secret::{ScopeKey, Sealed};

/// A pool database to take clients: its name, its connections and its capacity.
///
/// The database has the kernel and the host's tables already; see
/// [`apply_to_pool`](crate::schema::apply_to_pool).
#[derive(Clone, Debug)]
pub struct NewPool {
    name: String,
    app_url: SecretString,
    admin_url: SecretString,
    binding: Binding,
    capacity: i32,
}

impl NewPool {
    /// A pool by its name, and the URLs of its app role and its admin role. Its capacity defaults to 1,000
    /// clients.
    pub fn new(
        name: impl Into<String>,
        app_url: impl Into<SecretString>,
        admin_url: impl Into<SecretString>,
    ) -> Self {
        Self {
            name: name.into(),
            app_url: app_url.into(),
            admin_url: admin_url.into(),
            binding: Binding::Session,
            capacity: 1_000,
        }
    }

    /// How statements are bound to their client; [`Binding::Transaction`] where the URL of the app role leads
    /// through a transaction pooler. Defaults to [`Binding::Session`].
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }

    /// How many clients it takes. Defaults to 1,000.
    #[must_use]
    pub fn capacity(mut self, clients: i32) -> Self {
        self.capacity = clients;
        self
    }
}

impl PlatformDirectory {
    /// Registers a pool: makes its scope key, gives it to the kernel, and stores key and connections sealed.
    /// Pools are filled in the order that they were registered in.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where the pool database does not answer or has no kernel;
    /// [`Error::Refused`] where the name is taken or the capacity is not positive.
    ///
    /// # Cancel safety
    /// The key is committed in the pool database before the pool is in the platform database. Dropped in
    /// between, a key is left that nobody uses; register again.
    pub async fn register_pool(&self, pool: NewPool) -> Result<PoolId> {
        let id = PoolId::new();
        let owner = || format!("pool {}", pool.name);
        let mut admin = connect_admin(&pool.admin_url, owner()).await?;
        let key = new_scope_key(&mut admin, &owner).await?;
        let state = state_of(&mut admin, owner()).await?;
        let _ = admin.close().await;

        let app = self
            .seal(&pool.app_url, of_pool(id, column::POOL_APP), owner)
            .await?;
        let admin = self
            .seal(&pool.admin_url, of_pool(id, column::POOL_ADMIN), owner)
            .await?;
        let scope_key = self
            .seal(&key.to_text(), of_pool(id, column::POOL_SCOPE_KEY), owner)
            .await?;
        let mut writing = self.write("registering").await?;
        sqlx::query(
            "insert into platform.pools (id, name, app_connection, admin_connection, scope_key, scope_key_id, capacity, binding)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(&pool.name)
        .bind(app)
        .bind(admin)
        .bind(scope_key)
        .bind(key.id)
        .bind(pool.capacity)
        .bind(pool.binding.as_str())
        .execute(writing.conn()?)
        .await
        .map_err(|source| refused("registering", owner(), source))?;
        write_schema(writing.conn()?, FleetOwner::Pool(id), &state, None)
            .await
            .map_err(failed("registering"))?;
        writing.commit().await?;
        Ok(id)
    }

    /// Gives the pool other connections to the same database: after a change of a password, or of its address. The
    /// clients in it are served over them from then on; what is under way ends over the old ones.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such pool.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not.
    pub async fn set_pool_connections(
        &self,
        pool: PoolId,
        app_url: &SecretString,
        admin_url: &SecretString,
    ) -> Result<()> {
        let owner = || format!("pool {pool}");
        let app = self.seal(app_url, of_pool(pool, column::POOL_APP), owner).await?;
        let admin = self
            .seal(admin_url, of_pool(pool, column::POOL_ADMIN), owner)
            .await?;
        let update =
            sqlx::query("update platform.pools set app_connection = $2, admin_connection = $3 where id = $1");
        self.change_pool(pool, update.bind(pool).bind(app).bind(admin))
            .await
    }

    /// Gives the pool a new scope key. The key before it stays valid until the next rotation, and the one before
    /// that is valid no more: rotate twice where a key is known to others. Nothing is refused meanwhile: a
    /// process whose key is valid no more reads it again.
    ///
    /// # Errors
    /// [`Error::MissingCredential`] and [`Error::WrongKey`] where the admin role's connection is not in order;
    /// [`Error::Unreachable`] where the pool database does not answer.
    ///
    /// # Cancel safety
    /// In the order of commits: the kernel has the new key, the platform database has it, the kernel forgets the
    /// oldest. Dropped in between, all keys in use are valid; call it again.
    pub async fn rotate_scope_key(&self, pool: PoolId) -> Result<()> {
        let owner = || format!("pool {pool}");
        let mut admin = self.pool_admin(pool).await?;
        let key = new_scope_key(&mut admin, &owner).await?;
        let for_ = of_pool(pool, column::POOL_SCOPE_KEY);
        let sealed = self.seal(&key.to_text(), for_, owner).await?;
        let mut writing = self.write("rotating a scope key").await?;
        let before: Option<i32> = sqlx::query_scalar(
            "with before as (select scope_key_id from platform.pools where id = $1 for update)
             update platform.pools p set scope_key = $2, scope_key_id = $3 from before
             where p.id = $1 returning before.scope_key_id",
        )
        .bind(pool)
        .bind(sealed)
        .bind(key.id)
        .fetch_optional(writing.conn()?)
        .await
        .map_err(failed("rotating a scope key"))?;
        writing.commit().await?;
        if let Some(before) = before {
            schema::retire_scope_keys(&mut admin, before).await?;
        }
        let _ = admin.close().await;
        Ok(())
    }

    /// Whether new clients are placed in the pool. One that is not active serves the clients it has.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such pool.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not.
    pub async fn set_pool_active(&self, pool: PoolId, active: bool) -> Result<()> {
        let update = sqlx::query("update platform.pools set active = $2 where id = $1");
        self.change_pool(pool, update.bind(pool).bind(active)).await
    }

    async fn change_pool(&self, pool: PoolId, update: Query<'_, Postgres, PgArguments>) -> Result<()> {
        const STEP: &str = "changing a pool";
        let mut writing = self.write(STEP).await?;
        let changed = update.execute(writing.conn()?).await.map_err(failed(STEP))?;
        if changed.rows_affected() == 0 {
            return Err(Error::Refused {
                what: format!("pool {pool}"),
                step: "changing",
                reason: "there is no such pool".to_owned(),
            });
        }
        writing.commit().await
    }

    /// Notes what the schema of a database is.
    pub(super) async fn know_schema(&self, of: FleetOwner, admin: &mut PgConnection) -> Result<()> {
        let state = state_of(admin, format!("{} database {}", of.kind(), of.as_uuid())).await?;
        self.note_schema(of, &state).await
    }

    /// Places a client in the pool database, as being served there under that epoch.
    pub(super) async fn place(&self, client: ClientId, pool: PoolId, epoch: Epoch) -> Result<()> {
        let url = self.pool_admin_url(pool).await?;
        let conn = self.admins(pool, &url)?.acquire().await;
        let mut conn = conn.map_err(|source| Error::Unreachable {
            database: format!("pool {pool}"),
            step: "connecting as the admin role",
            source: source.into(),
        })?;
        schema::place(&mut conn, client, "active", epoch).await
    }

    /// A connection to the pool database as its admin role.
    pub(crate) async fn pool_admin(&self, pool: PoolId) -> Result<PgConnection> {
        let url = self.pool_admin_url(pool).await?;
        connect_admin(&url, format!("pool {pool}")).await
    }

    /// The URL of the admin role of a pool database.
    pub(crate) async fn pool_admin_url(&self, pool: PoolId) -> Result<SecretString> {
        let owner = format!("pool {pool}");
        let sealed: Option<(Option<Sealed>,)> = self
            .look_up(|| {
                sqlx::query_as("select admin_connection from platform.pools where id = $1").bind(pool)
            })
            .await
            .map_err(failed("reading a pool"))?;
        let sealed = sealed.and_then(|(sealed,)| sealed);
        let sealed = sealed.ok_or_else(|| Error::MissingCredential {
            owner: owner.clone(),
            what: column::POOL_ADMIN.to_owned(),
        })?;
        let for_ = of_pool(pool, column::POOL_ADMIN);
        self.open(&sealed, for_, || owner.clone()).await
    }
}

/// A scope key that the kernel has and nobody uses yet.
async fn new_scope_key(admin: &mut PgConnection, owner: &(impl Fn() -> String + Sync)) -> Result<ScopeKey> {
    let key_id = schema::next_scope_key_id(&mut *admin).await?;
    let key = ScopeKey::generate(key_id).map_err(|source| Error::WrongKey {
        owner: owner(),
        what: column::POOL_SCOPE_KEY.to_owned(),
        source,
    })?;
    schema::install_scope_key(admin, &key).await?;
    Ok(key)
}

async fn state_of(admin: &mut PgConnection, database: String) -> Result<SchemaState> {
    SchemaState::read(admin)
        .await
        .map_err(|source| Error::Unreachable {
            database,
            step: "reading its schema",
            source: source.into(),
        })
}

pub(super) async fn connect_admin(url: &SecretString, owner: String) -> Result<PgConnection> {
    let options = connect_options(url, &owner)?;
    PgConnection::connect_with(&options.application_name("tenantry"))
        .await
        .map_err(|source| Error::Unreachable {
            database: owner,
            step: "connecting as the admin role",
            source: source.into(),
        })
}
