use std::path::{Path, PathBuf};

use clap::Args;
use tenantry::{
    ClientConnectionManager, ClientDomain, ClientSlug, ExternalRef, NewClient, PlatformDirectory,
    Provisioning, ServerDatabases,
};

use crate::failure::Failure;
use crate::installation::{Installation, Named, migrations};
use crate::output::Output;
use crate::secrets::given;
use crate::views::ClientView;

/// What a client's own database is made of.
#[derive(Args, Debug)]
pub(crate) struct Databases {
    /// A folder with the host's migrations
    #[arg(long, value_name = "FOLDER")]
    migrations: PathBuf,
    /// What the names of databases that are made begin with
    #[arg(long, default_value = "client_", value_name = "TEXT")]
    database_prefix: String,
    /// Extensions that the host's tables need in databases that are made
    #[arg(long = "extension", value_name = "NAME")]
    extensions: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Its name for people
    name: String,
    /// Its name in host names and paths
    #[arg(long)]
    slug: ClientSlug,
    /// Its tier
    #[arg(long)]
    tier: String,
    /// Its name in another system
    #[arg(long, value_name = "NAME")]
    external_ref: Option<ExternalRef>,
    /// A domain of its own
    #[arg(long)]
    domain: Option<ClientDomain>,
    #[command(flatten)]
    databases: Databases,
}

#[derive(Args, Debug)]
pub(crate) struct Resume {
    /// The client
    client: Named,
    #[command(flatten)]
    databases: Databases,
}

/// The same, where clients may be created.
#[derive(Args, Debug)]
pub(crate) struct MaybeDatabases {
    /// A folder with the host's migrations, where clients of the data sets are to be created
    #[arg(long, value_name = "FOLDER")]
    migrations: Option<PathBuf>,
    /// What the names of databases that are made begin with
    #[arg(long, default_value = "client_", value_name = "TEXT")]
    database_prefix: String,
    /// Extensions that the host's tables need in databases that are made
    #[arg(long = "extension", value_name = "NAME")]
    extensions: Vec<String>,
}

impl MaybeDatabases {
    pub(crate) async fn provisioning(
        &self,
        platform: &PlatformDirectory,
        manager: &ClientConnectionManager,
    ) -> Result<Option<Provisioning>, Failure> {
        let Some(folder) = &self.migrations else {
            return Ok(None);
        };
        let (prefix, extensions) = (&self.database_prefix, &self.extensions);
        provisioning(folder, prefix, extensions, platform, manager.clone())
            .await
            .map(Some)
    }
}

/// Databases are made where `TENANTRY_SERVER_URL` says on which server.
async fn provisioning(
    folder: &Path,
    prefix: &str,
    extensions: &[String],
    platform: &PlatformDirectory,
    manager: ClientConnectionManager,
) -> Result<Provisioning, Failure> {
    let provisioning = Provisioning::new(platform.clone(), manager, migrations(folder).await?);
    Ok(match given("TENANTRY_SERVER_URL")? {
        None => provisioning,
        Some(url) => {
            let databases = ServerDatabases::new(url)
                .prefix(prefix)
                .extensions(extensions.to_vec());
            provisioning.databases(databases)
        }
    })
}

impl Databases {
    pub(crate) async fn provisioning(
        &self,
        installation: &Installation,
        platform: &PlatformDirectory,
    ) -> Result<Provisioning, Failure> {
        let manager = installation.manager().await?;
        provisioning(
            &self.migrations,
            &self.database_prefix,
            &self.extensions,
            platform,
            manager,
        )
        .await
    }
}

impl Create {
    pub(super) async fn on(
        &self,
        installation: &Installation,
        platform: &PlatformDirectory,
        output: &Output,
    ) -> Result<(), Failure> {
        let mut new = NewClient::new(&self.name, self.slug.clone(), self.tier.as_str());
        if let Some(reference) = &self.external_ref {
            new = new.external_ref(reference.clone());
        }
        if let Some(domain) = &self.domain {
            new = new.domain(domain.clone());
        }
        new = match (
            given("TENANTRY_CLIENT_APP_URL")?,
            given("TENANTRY_CLIENT_ADMIN_URL")?,
        ) {
            (Some(app), Some(admin)) => new.dedicated(app, admin),
            (None, None) => new,
            _ => {
                return Err(Failure::usage(
                    "one of TENANTRY_CLIENT_APP_URL and TENANTRY_CLIENT_ADMIN_URL is set: a database of its own \
                     takes both",
                ));
            }
        };
        let provisioning = self.databases.provisioning(installation, platform).await?;
        let client = provisioning.provision(new).await?;
        output.show(&ClientView::from(&client), ClientView::table)
    }
}

impl Resume {
    pub(super) async fn on(
        &self,
        installation: &Installation,
        platform: &PlatformDirectory,
        output: &Output,
    ) -> Result<(), Failure> {
        let id = self.client.id(platform).await?;
        let provisioning = self.databases.provisioning(installation, platform).await?;
        let client = provisioning.resume(id).await?;
        output.show(&ClientView::from(&client), ClientView::table)
    }
}
