#![expect(
    clippy::disallowed_methods,
    reason = "reads the databases of the installation"
)]

use std::time::Duration;

use secrecy::SecretString;
use sqlx::{Connection, PgConnection};

use super::pools;
use super::symptom::{Symptom, told};
use crate::client::ClientId;
use crate::directory::{PlatformDirectory, PoolRecord, column, connect_options, failed, of_client};
use crate::error::{Error, Result};
use crate::secret::Sealed;

/// A database to examine.
#[derive(Debug)]
pub(super) enum Patient {
    Pool(PoolRecord),
    Dedicated {
        client: ClientId,
        connection: Option<Sealed>,
    },
}

impl Patient {
    /// All pools, and the databases of all clients that have one and are set up.
    pub(super) async fn all(platform: &PlatformDirectory) -> Result<Vec<Self>> {
        let step = "listing dedicated databases";
        let mut reading = platform.snapshot(step).await?;
        let dedicated: Vec<(ClientId, Option<Sealed>)> = sqlx::query_as(
            "select id, app_connection from platform.clients
             where hosting = 'dedicated' and deleted_at is null and status <> 'provisioning' order by created_at",
        )
        .fetch_all(reading.conn()?)
        .await
        .map_err(failed(step))?;
        reading.commit().await?;
        let mut patients: Vec<Self> = platform.pools().await?.into_iter().map(Self::Pool).collect();
        let dedicated = dedicated.into_iter();
        patients.extend(dedicated.map(|(client, connection)| Self::Dedicated { client, connection }));
        Ok(patients)
    }

    pub(super) fn is_pool(&self) -> bool {
        matches!(self, Self::Pool(_))
    }

    fn about(&self) -> String {
        match self {
            Self::Pool(pool) => format!("pool {} ({})", pool.name, pool.id),
            Self::Dedicated { client, .. } => format!("database of client {client}"),
        }
    }

    /// Its symptoms. That it does not answer is one.
    pub(super) async fn examine(&self, platform: &PlatformDirectory, patience: Duration) -> Vec<Symptom> {
        let about = self.about();
        let check = match self {
            Self::Pool(_) => "pool.unreachable",
            Self::Dedicated { .. } => "dedicated.unreachable",
        };
        let mend = "see that its server runs, and that its connections are right: `tenantry pool connections`, or \
                    PlatformDirectory::set_dedicated";
        let examined = async {
            match self {
                Self::Pool(pool) => pools::examine(platform, pool, &about).await,
                Self::Dedicated { client, connection } => {
                    dedicated(platform, *client, connection.as_ref(), &about).await
                }
            }
        };
        match tokio::time::timeout(patience, examined).await {
            Ok(Ok(symptoms)) => symptoms,
            Ok(Err(error)) => vec![Symptom::problem(check, about.clone(), told(&error), mend)],
            Err(_) => {
                let what = format!("it did not answer for {} seconds", patience.as_secs());
                vec![Symptom::problem(check, about.clone(), what, mend)]
            }
        }
    }
}

/// A connection by a URL that was sealed.
pub(super) async fn connect(url: &SecretString, about: &str, step: &'static str) -> Result<PgConnection> {
    let options = connect_options(url, about)?.application_name("tenantry");
    PgConnection::connect_with(&options)
        .await
        .map_err(|source| Error::Unreachable {
            database: about.to_owned(),
            step,
            source: source.into(),
        })
}

async fn dedicated(
    platform: &PlatformDirectory,
    client: ClientId,
    connection: Option<&Sealed>,
    about: &str,
) -> Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let Some(connection) = connection else {
        // Archived, and erased or never set up: there is nothing to examine.
        return Ok(symptoms);
    };
    let owner = || format!("client {client}");
    let app = platform
        .open(connection, of_client(client, column::CLIENT_APP), owner)
        .await?;
    let app = connect(&app, about, "connecting as the app role").await?;
    let _ = app.close().await;

    let admin = match platform.dedicated_admin_url(client).await {
        Ok(url) => connect(&url, about, "connecting as the admin role").await,
        Err(error) => Err(error),
    };
    let mut admin = match admin {
        Ok(admin) => admin,
        Err(error) => {
            symptoms.push(Symptom::advice(
                "dedicated.admin",
                about,
                format!(
                    "it is served, and nothing else can be done with it: {}",
                    told(&error)
                ),
                "give it the connection of its admin role: PlatformDirectory::set_dedicated",
            ));
            return Ok(symptoms);
        }
    };
    let reading = |source: sqlx::Error| Error::Unreachable {
        database: about.to_owned(),
        step: "reading its kernel",
        source: source.into(),
    };
    let there: bool = sqlx::query_scalar("select to_regclass('tenantry.installation') is not null")
        .fetch_one(&mut admin)
        .await
        .map_err(reading)?;
    if there {
        let whose: Option<ClientId> = sqlx::query_scalar("select client_id from tenantry.installation")
            .fetch_optional(&mut admin)
            .await
            .map_err(reading)?
            .flatten();
        if whose.is_some_and(|whose| whose != client) {
            symptoms.push(Symptom::problem(
                "dedicated.owner",
                about,
                format!(
                    "its kernel says that it is that of client {}",
                    whose.map_or_else(String::new, |id| id.to_string())
                ),
                "give both clients the connections to their own databases: PlatformDirectory::set_dedicated",
            ));
        }
    } else {
        symptoms.push(Symptom::advice(
            "dedicated.kernel",
            about,
            "it has no kernel: it is served, and cannot be relocated or migrated with the fleet",
            "schema::apply_to_dedicated",
        ));
    }
    let _ = admin.close().await;
    Ok(symptoms)
}
