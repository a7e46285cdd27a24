#![expect(clippy::disallowed_methods, reason = "registers a pool in both databases")]

use secrecy::SecretString;
use sqlx::{Connection, PgConnection};

use crate::client::PoolId;
use crate::directory::{Binding, PlatformDirectory, column, connect_options, failed, of_pool};
use crate::error::{Error, Result};
use crate::schema;
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
        let registered = sqlx::query(
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
        .execute(&self.db)
        .await;
        match registered {
            Ok(_) => Ok(id),
            Err(source) => Err(refused("registering", owner(), source)),
        }
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
        let before: Option<i32> = sqlx::query_scalar(
            "with before as (select scope_key_id from platform.pools where id = $1 for update)
             update platform.pools p set scope_key = $2, scope_key_id = $3 from before
             where p.id = $1 returning before.scope_key_id",
        )
        .bind(pool)
        .bind(sealed)
        .bind(key.id)
        .fetch_optional(&self.db)
        .await
        .map_err(failed("rotating a scope key"))?;
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
        let changed = sqlx::query("update platform.pools set active = $2 where id = $1")
            .bind(pool)
            .bind(active)
            .execute(&self.db)
            .await
            .map_err(failed("changing a pool"))?;
        match changed.rows_affected() {
            0 => Err(Error::Refused {
                what: format!("pool {pool}"),
                step: "changing",
                reason: "there is no such pool".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// A connection to the pool database as its admin role.
    pub(super) async fn pool_admin(&self, pool: PoolId) -> Result<PgConnection> {
        let owner = format!("pool {pool}");
        let sealed: Option<Sealed> =
            sqlx::query_scalar("select admin_connection from platform.pools where id = $1")
                .bind(pool)
                .fetch_optional(&self.db)
                .await
                .map_err(failed("reading a pool"))?
                .flatten();
        let sealed = sealed.ok_or_else(|| Error::MissingCredential {
            owner: owner.clone(),
            what: column::POOL_ADMIN.to_owned(),
        })?;
        let for_ = of_pool(pool, column::POOL_ADMIN);
        let url = self.open(&sealed, for_, || owner.clone()).await?;
        connect_admin(&url, owner).await
    }
}

/// What the platform database refused by a rule of its own, or its failure.
pub(super) fn refused(step: &'static str, what: String, source: sqlx::Error) -> Error {
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
