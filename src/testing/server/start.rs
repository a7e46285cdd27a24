//! By which route a server is found, and how one is started.
#![expect(
    clippy::disallowed_methods,
    reason = "asks the server of DATABASE_URL what it is, before there is anything else"
)]

use std::path::PathBuf;
use std::sync::Mutex;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Inner, PgServer, ServerSource, blocking, ready};
use crate::testing::account::Account;
use crate::testing::address;
use crate::testing::cache::Cache;
use crate::testing::error::ServerError;
use crate::testing::find::{Programs, Search};
use crate::testing::keeper::{self, Keeper, Mortality};
use crate::testing::run::{Claim, Found, Run};
use crate::testing::{template, wheel};

impl PgServer {
    pub(super) async fn start_shared(database_url: Option<String>) -> Result<Self, ServerError> {
        if let Some(url) = database_url.filter(|url| !url.is_empty()) {
            return Self::running(&url).await;
        }
        match blocking(begin_shared).await? {
            Begun::Found(directory, source) => Ok(Self::outliving(directory, source)),
            Begun::Kept(keeper, source) => Self::kept(keeper, source, Mortality::Shared).await,
            Begun::Claimed(claim, directory, source) => {
                let server = Self::outliving(directory.clone(), source);
                if let Err(error) = ready(&server.inner.options, &directory).await {
                    claim.give_up(&error.with_causes());
                    return Err(error);
                }
                blocking(move || claim.publish(&directory, source)).await?;
                Ok(server)
            }
        }
    }

    /// The server of a URL, if tests can work on it.
    async fn running(url: &str) -> Result<Self, ServerError> {
        let options: PgConnectOptions = url.parse().map_err(ServerError::DatabaseUrl)?;
        let unsuitable = |reason: &str| {
            Err(ServerError::Unsuitable {
                reason: reason.to_owned(),
            })
        };
        let mut connection = options.connect().await.map_err(ServerError::DatabaseUrl)?;
        let (version, superuser, pgvector): (i32, bool, Option<String>) = sqlx::query_as(
            "select current_setting('server_version_num')::int,
                    (select rolsuper from pg_catalog.pg_roles where rolname = current_user),
                    (select default_version from pg_catalog.pg_available_extensions where name = 'vector')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(ServerError::DatabaseUrl)?;
        let _ = connection.close().await;
        if version < 150_000 {
            return unsuitable("it is older than postgresql 15");
        }
        if !superuser {
            return unsuitable("its user is not a superuser");
        }
        if pgvector.is_none() {
            return unsuitable("it has no pgvector");
        }
        Ok(Self::of(Inner {
            source: ServerSource::DatabaseUrl,
            options,
            directory: None,
            keeper: None,
            mortality: Mortality::Shared,
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// A server that dies with this process.
    pub(super) async fn kept(
        keeper: Keeper,
        source: ServerSource,
        mortality: Mortality,
    ) -> Result<Self, ServerError> {
        let directory = keeper.directory().to_path_buf();
        let options = address::on_socket(&directory);
        ready(&options, &directory).await?;
        Ok(Self::of(Inner {
            source,
            options,
            directory: Some(directory),
            keeper: Some(Mutex::new(keeper)),
            mortality,
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// A server that dies with the test run.
    fn outliving(directory: PathBuf, source: ServerSource) -> Self {
        Self::of(Inner {
            source,
            options: address::on_socket(&directory),
            directory: Some(directory),
            keeper: None,
            mortality: Mortality::Shared,
            turn: tokio::sync::Mutex::default(),
        })
    }
}

/// How far a shared server has come before the first connection to it.
enum Begun {
    Found(PathBuf, ServerSource),
    Kept(Keeper, ServerSource),
    Claimed(Claim, PathBuf, ServerSource),
}

fn begin_shared() -> Result<Begun, ServerError> {
    let account = Account::current()?;
    let start = || -> Result<_, ServerError> {
        let (programs, template) = prepare(&Search::of_machine(), &account)?;
        let keeper = Keeper::start(&programs, &template, &account, Mortality::Shared)?;
        Ok((keeper, programs.source))
    };
    let Some(run) = Run::of_process(&keeper::base(&account)) else {
        return start().map(|(keeper, source)| Begun::Kept(keeper, source));
    };
    match run.enter(&account)? {
        Found::Server(directory, source) => Ok(Begun::Found(directory, source)),
        Found::Failure(reason) => Err(ServerError::Shared { reason }),
        Found::Nothing(claim) => {
            let started = start().and_then(|(keeper, source)| Ok((keeper.hand_over(claim.run())?, source)));
            match started {
                Ok((directory, source)) => Ok(Begun::Claimed(claim, directory, source)),
                Err(error) => {
                    claim.give_up(&error.with_causes());
                    Err(error)
                }
            }
        }
    }
}

/// The programs to start and the data directory to start from.
pub(super) fn prepare(search: &Search, account: &Account) -> Result<(Programs, PathBuf), ServerError> {
    let cache = Cache::open(account)?;
    let programs = programs(search, &cache, account)?;
    let template = template::directory(&programs, &cache, account)?;
    Ok((programs, template))
}

fn programs(search: &Search, cache: &Cache, account: &Account) -> Result<Programs, ServerError> {
    search.installed(account).or_else(|installed| {
        let programs = wheel::programs(search, cache, account);
        programs.map_err(|error| ServerError::Unavailable {
            installed,
            wheel: error.with_causes(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_at_all_says_what_was_looked_for_and_what_to_do() {
        use std::os::unix::fs::PermissionsExt as _;
        let account = Account::current().unwrap();
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o755)).unwrap();
        let cache = Cache::first_of(&account, [base.path().join("cache")]).unwrap();
        let error = programs(&Search::default(), &cache, &account).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no postgresql to test on: DATABASE_URL is not set; no installed postgresql 15 or newer with pgvector 0.8 or \
             newer (no postgres on PATH or in the usual places); no server from the python wheel (cannot find python3 or \
             python: PATH: entity not found); set DATABASE_URL to a superuser url of a server that tests may create \
             databases and roles on, or install postgresql and pgvector, or install python3 with pip"
        );
    }

    #[tokio::test]
    async fn database_url_is_taken_if_it_serves() {
        let server = PgServer::private().await.unwrap();
        let found = PgServer::start_shared(Some(server.url("postgres")))
            .await
            .unwrap();
        assert_eq!(
            (found.source(), found.pid(), found.directory()),
            (ServerSource::DatabaseUrl, None, None)
        );
        let read: PgConnectOptions = found.url("template1").parse().unwrap();
        let mut connection = read.connect().await.unwrap();
        let name: String = sqlx::query_scalar("select current_database()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(name, "template1");
        assert!(matches!(
            found.kill().await,
            Err(ServerError::NotPrivate { step: "kill" })
        ));

        sqlx::query("create role plain login")
            .execute(&mut connection)
            .await
            .unwrap();
        let error = PgServer::start_shared(Some(server.url_as("plain", "", "postgres")))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot test on the server of DATABASE_URL: its user is not a superuser"
        );
        server.stop().await.unwrap();
        let error = PgServer::start_shared(Some(found.url("postgres")))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot connect to the server of DATABASE_URL");
    }
}
