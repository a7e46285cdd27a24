use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use sqlx::migrate::Migrator;
use tenantry::{
    ClientConnectionManager, ClientDomain, ClientId, ClientKey, ClientRecord, ClientRef, ClientSlug,
    Directory, Error, ExternalRef, Keyring, ManagerOptions, PlatformDirectory,
};

use crate::failure::Failure;
use crate::secrets;

/// Where the platform database is, and the keys of its credentials.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Installation")]
pub(crate) struct Installation {
    /// A file that holds the URL of the platform database. Without it, TENANTRY_PLATFORM_URL holds it
    #[arg(long, global = true, value_name = "FILE")]
    platform_url_file: Option<PathBuf>,
    /// A file that holds the keyring: `id:key` entries, the last is the newest. Without it, TENANTRY_KEYS holds it
    #[arg(long, global = true, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Who the audit log says did it
    #[arg(long, global = true, value_name = "NAME")]
    acting_as: Option<String>,
}

impl Installation {
    fn platform_url(&self) -> Result<SecretString, Failure> {
        const WHAT: &str = "the URL of the platform database";
        match &self.platform_url_file {
            Some(path) => secrets::from_file(path, WHAT),
            None => secrets::secret("TENANTRY_PLATFORM_URL", WHAT),
        }
    }

    pub(crate) fn keyring(&self) -> Result<Keyring, Failure> {
        const WHAT: &str = "the keyring";
        let text = match &self.keys_file {
            Some(path) => secrets::from_file(path, WHAT)?,
            None => secrets::secret("TENANTRY_KEYS", WHAT)?,
        };
        Keyring::from_text(&text).map_err(|error| Failure::usage(error.to_string()))
    }

    pub(crate) async fn platform(&self) -> Result<PlatformDirectory, Failure> {
        self.platform_with(self.keyring()?).await
    }

    pub(crate) async fn platform_with(&self, keyring: Keyring) -> Result<PlatformDirectory, Failure> {
        let platform = PlatformDirectory::connect(&self.platform_url()?, keyring).await?;
        Ok(match &self.acting_as {
            Some(name) => platform.acting_as(name),
            None => platform,
        })
    }

    /// Does something with the platform database, whose connections are closed then.
    pub(crate) async fn on_platform<T>(
        &self,
        work: impl AsyncFnOnce(&PlatformDirectory) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let platform = self.platform().await?;
        let done = work(&platform).await;
        platform.close().await;
        done
    }

    pub(crate) async fn manager(&self) -> Result<ClientConnectionManager, Failure> {
        let options = ManagerOptions::new(self.platform_url()?, self.keyring()?);
        Ok(ClientConnectionManager::connect(options).await?)
    }
}

/// The host's migrations of a folder, for as long as the process lives.
pub(crate) async fn migrations(folder: &Path) -> Result<&'static Migrator, Failure> {
    let migrator = Migrator::new(folder)
        .await
        .map_err(|error| Failure::usage(format!("{} holds no migrations: {error}", folder.display())))?;
    if migrator.migrations.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no migrations",
            folder.display()
        )));
    }
    Ok(Box::leak(Box::new(migrator)))
}

/// How a client is named: by its id; with a colon in it, as another system names it; as `index=key` by a key of the
/// host's; with a dot in it by a domain of its own; else by its slug.
#[derive(Clone, Debug)]
pub(crate) struct Named(ClientRef);

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse::<uuid::Uuid>() {
            return Ok(Self(id.into()));
        }
        if text.contains(':') {
            let parsed = text.parse::<ExternalRef>();
            return parsed
                .map(|name| Self(name.into()))
                .map_err(|error| error.to_string());
        }
        if let Some((index, key)) = text.split_once('=') {
            return ClientKey::new(index, key)
                .map(|key| Self(key.into()))
                .map_err(|error| error.to_string());
        }
        if text.contains('.') {
            let parsed = text.parse::<ClientDomain>();
            return parsed
                .map(|name| Self(name.into()))
                .map_err(|error| error.to_string());
        }
        let parsed = text.parse::<ClientSlug>();
        parsed
            .map(|name| Self(name.into()))
            .map_err(|error| error.to_string())
    }
}

impl Named {
    pub(crate) async fn record(&self, platform: &PlatformDirectory) -> Result<ClientRecord, Failure> {
        let found = platform.client(&self.0).await?;
        found.ok_or_else(|| {
            Error::UnknownClient {
                client: self.0.clone(),
            }
            .into()
        })
    }

    pub(crate) async fn id(&self, platform: &PlatformDirectory) -> Result<ClientId, Failure> {
        match &self.0 {
            ClientRef::Id(id) => Ok(*id),
            _ => Ok(self.record(platform).await?.id),
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
