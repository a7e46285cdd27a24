use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use serde_json::json;
use tenantry::{Binding, NewPool, PlatformDirectory, PoolId, PoolRecord};

use crate::failure::{Failure, Outcome};
use crate::installation::{Installation, migrations};
use crate::output::Output;
use crate::secrets::secret;
use crate::views::PoolView;

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// List the pools, in the order that they are filled in
    List,
    /// Install the kernel and the host's tables in a database, and register it as a pool
    ///
    /// TENANTRY_POOL_APP_URL and TENANTRY_POOL_ADMIN_URL hold the URLs of its two roles.
    Add(Add),
    /// Give a pool other connections, after a change of a password or of its address
    ///
    /// TENANTRY_POOL_APP_URL and TENANTRY_POOL_ADMIN_URL hold them.
    Connections(Which),
    /// Take new clients again
    Open(Which),
    /// Take no new clients; those that are there are served
    Close(Which),
    /// Give a pool a new scope key, while its clients are served
    RotateKey(Which),
}

#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Its name for people
    name: String,
    /// A folder with the host's migrations. Without it, the database has kernel and tables already
    #[arg(long, value_name = "FOLDER")]
    migrations: Option<PathBuf>,
    /// How many clients it takes
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(i32).range(1..))]
    capacity: i32,
    /// How statements are bound to their client
    #[arg(long, value_enum, default_value_t = BindingName::Session)]
    binding: BindingName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BindingName {
    /// A session each: direct connections
    Session,
    /// A transaction each: behind a transaction pooler
    Transaction,
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The pool, by its name or id
    pool: String,
}

fn urls() -> Result<(SecretString, SecretString), Failure> {
    Ok((
        secret("TENANTRY_POOL_APP_URL", "the URL of the pool's app role")?,
        secret("TENANTRY_POOL_ADMIN_URL", "the URL of the pool's admin role")?,
    ))
}

/// The pool of that name or id.
pub(crate) async fn find(platform: &PlatformDirectory, named: &str) -> Result<PoolRecord, Failure> {
    let pools = platform.pools().await?;
    let id = named.parse::<uuid::Uuid>().ok().map(PoolId::from);
    let mut pools = pools.into_iter();
    let found = pools.find(|pool| pool.name == named || Some(pool.id) == id);
    found.ok_or_else(|| {
        Failure::usage(format!(
            "there is no pool {named}: `tenantry pool list` lists them"
        ))
    })
}

impl PoolCommand {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let on = async |platform: &PlatformDirectory| self.on(platform, output).await;
        installation.on_platform(on).await.map(|()| Outcome::Done)
    }

    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        match self {
            Self::List => {
                let pools: Vec<PoolView> = platform.pools().await?.iter().map(PoolView::from).collect();
                output.show(&pools, |pools| PoolView::list(pools))
            }
            Self::Add(add) => add.on(platform, output).await,
            Self::Connections(which) => {
                let pool = find(platform, &which.pool).await?;
                let (app, admin) = urls()?;
                platform.set_pool_connections(pool.id, &app, &admin).await?;
                changed(output, &pool, "is served over its new connections")
            }
            Self::Open(which) => {
                let pool = find(platform, &which.pool).await?;
                platform.set_pool_active(pool.id, true).await?;
                changed(output, &pool, "takes new clients")
            }
            Self::Close(which) => {
                let pool = find(platform, &which.pool).await?;
                platform.set_pool_active(pool.id, false).await?;
                changed(output, &pool, "takes no new clients")
            }
            Self::RotateKey(which) => {
                let pool = find(platform, &which.pool).await?;
                platform.rotate_scope_key(pool.id).await?;
                changed(
                    output,
                    &pool,
                    "has a new scope key; the one before is valid until the next",
                )
            }
        }
    }
}

fn changed(output: &Output, pool: &PoolRecord, what: &str) -> Result<(), Failure> {
    output.say(
        &json!({ "id": pool.id.to_string(), "name": pool.name, "done": what }),
        format!("pool {} {what}", pool.name),
    )
}

impl Add {
    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        let (app, admin) = urls()?;
        if let Some(folder) = &self.migrations {
            install(&app, &admin, migrations(folder).await?).await?;
        }
        let binding = match self.binding {
            BindingName::Session => Binding::Session,
            BindingName::Transaction => Binding::Transaction,
        };
        let new = NewPool::new(&self.name, app, admin)
            .capacity(self.capacity)
            .binding(binding);
        let id = platform.register_pool(new).await?;
        output.say(
            &json!({ "id": id.to_string(), "name": self.name }),
            format!("pool {} is registered as {id}", self.name),
        )
    }
}

/// Installs kernel and host tables for the app role that its URL names.
async fn install(
    app: &SecretString,
    admin: &SecretString,
    host: &'static sqlx::migrate::Migrator,
) -> Result<(), Failure> {
    use secrecy::ExposeSecret;
    use sqlx::Connection;
    use sqlx::postgres::PgConnectOptions;

    // The errors of sqlx tell the text of an option at most, and no URL.
    let unreadable = |what: &str| Failure::usage(format!("{what} is no URL of a PostgreSQL database"));
    let parse = |url: &SecretString, what| {
        url.expose_secret()
            .parse::<PgConnectOptions>()
            .map_err(|_| unreadable(what))
    };
    let role = parse(app, "TENANTRY_POOL_APP_URL")?.get_username().to_owned();
    let options = parse(admin, "TENANTRY_POOL_ADMIN_URL")?;
    let mut conn = sqlx::PgConnection::connect_with(&options)
        .await
        .map_err(|error| Failure::usage(format!("connecting as the admin role of the pool: {error}")))?;
    tenantry::schema::apply_to_pool(&mut conn, &role, host).await?;
    let _ = conn.close().await;
    Ok(())
}
