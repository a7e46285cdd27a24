#![expect(clippy::disallowed_methods, reason = "looks at the ledgers of a database")]

use std::time::Duration;

use secrecy::SecretString;
use sqlx::migrate::MigrateError;
use sqlx::{AssertSqlSafe, Connection, FromRow as _, PgConnection, Row as _};

use super::database::{FleetDatabase, Listed};
use super::ledger::Found;
use super::options::FleetOptions;
use super::sets::{Applied, Sets, checksum_of};
use crate::directory::{FleetOwner, PlatformDirectory, column, connect_options, of_client, of_pool};
use crate::error::{Error, FleetError, Result};
use crate::schema::{SchemaState, is_contended, lock_migrations, shape};

/// A connection to a database of the fleet, as its admin role.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) conn: PgConnection,
    pub(super) database: &'a FleetDatabase,
    pub(super) sets: &'a Sets,
    pub(super) options: &'a FleetOptions,
}

/// What a database that has a kernel says of itself.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// What its ledgers say.
    pub(super) found: Found,
    /// The version that it says it has.
    pub(super) says: Option<i64>,
    pub(super) app_role: Option<String>,
}

impl<'a> Visit<'a> {
    pub(super) async fn begin(
        platform: &PlatformDirectory,
        listed: &'a Listed,
        sets: &'a Sets,
        options: &'a FleetOptions,
    ) -> Result<Self> {
        let database = &listed.database;
        let url = admin_url(platform, listed).await?;
        let connect = connect_options(&url, &database.to_string())?.application_name("tenantry fleet");
        let connecting = tokio::time::timeout(options.connect_timeout, PgConnection::connect_with(&connect));
        let conn = match connecting.await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(timed_out()),
        };
        let conn = conn.map_err(|source| Error::Unreachable {
            database: database.to_string(),
            step: "connecting as the admin role",
            source: source.into(),
        })?;
        let mut visit = Self {
            conn,
            database,
            sets,
            options,
        };
        // A process that is frozen keeps nobody from what it has locked for longer than that.
        let asked = sqlx::query(
            "select set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $2, false),
                    set_config('idle_session_timeout', $2, false)",
        )
        .bind(options.migration_timeout.as_millis().to_string())
        .bind(options.lease.as_millis().to_string())
        .execute(&mut visit.conn)
        .await;
        visit.told("connecting as the admin role", asked)?;
        Ok(visit)
    }

    /// Keeps others from migrating it for as long as the connection lives.
    pub(super) async fn lock(&mut self) -> Result<()> {
        let (wait, answer) = (self.options.lock_wait, self.options.connect_timeout);
        let locking = lock_migrations(&mut self.conn, wait);
        let locked = tokio::time::timeout(wait + answer, locking).await;
        match locked.unwrap_or_else(|_elapsed| Err(timed_out().into())) {
            Ok(()) => Ok(()),
            Err(MigrateError::Execute(error)) if !is_contended(&error) => {
                self.told("waiting for its lock", Err(error))
            }
            Err(_) => Err(self.failed(
                "waiting for its lock",
                FleetError::Locked {
                    waited: self.options.lock_wait,
                },
            )),
        }
    }

    /// `None` where it has no kernel.
    pub(super) async fn survey(&mut self) -> Result<Option<Survey>> {
        let surveyed = answered(self.options.connect_timeout, self.read()).await;
        self.told("reading its migrations", surveyed)
    }

    async fn read(&mut self) -> sqlx::Result<Option<Survey>> {
        let (installed, has_host): (bool, bool) = sqlx::query_as(
            "select to_regclass('tenantry.installation') is not null and to_regclass('tenantry.migrations') is not null,
                    to_regclass($1) is not null",
        )
        .bind(&self.sets.host.ledger)
        .fetch_one(&mut self.conn)
        .await?;
        if !installed {
            return Ok(None);
        }
        let mut ledgers = ledger_sql(true, &self.sets.kernel(self.database.of).ledger);
        if has_host {
            ledgers += " union all ";
            ledgers += &ledger_sql(false, &self.sets.host.ledger);
        }
        // One message that needs no preparation: most databases are asked once.
        let rows = sqlx::raw_sql(AssertSqlSafe(format!(
            "select i.host_version, i.app_role::text as app_role, l.*
             from tenantry.installation i left join ({ledgers}) l on true order by l.version"
        )))
        .fetch_all(&mut self.conn)
        .await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let (says, app_role) = (first.try_get("host_version")?, first.try_get("app_role")?);
        let mut found = Found::default();
        for row in &rows {
            let ledger = match row.try_get("of_kernel")? {
                Some(true) => &mut found.kernel,
                Some(false) => &mut found.host,
                None => continue,
            };
            ledger.push(Applied::from_row(row)?);
        }
        Ok(Some(Survey {
            found,
            says,
            app_role,
        }))
    }

    /// What the database has now, as it was just read, and the hash of what its migrations made.
    pub(super) async fn state_of(&mut self, survey: &Survey) -> Result<SchemaState> {
        let shape = answered(self.options.connect_timeout, shape(&mut self.conn)).await;
        let shape = self.told("reading its schema", shape)?;
        Ok(SchemaState {
            shape: Some(shape),
            ..survey.state()
        })
    }

    pub(super) async fn end(self) {
        // The lock goes with the session.
        let _ = self.conn.close().await;
    }

    pub(super) fn told<T>(&self, step: &'static str, outcome: sqlx::Result<T>) -> Result<T> {
        outcome.map_err(|source| Error::Unreachable {
            database: self.database.to_string(),
            step,
            source: source.into(),
        })
    }

    pub(super) fn failed(&self, step: &'static str, source: FleetError) -> Error {
        Error::Fleet {
            database: self.database.to_string(),
            step,
            source,
        }
    }
}

impl Survey {
    /// All but its shape.
    pub(super) fn state(&self) -> SchemaState {
        SchemaState {
            host_version: self.says,
            host_checksum: checksum_of(&self.found.host),
            kernel_version: self.found.kernel.last().map(|applied| applied.version),
            kernel_checksum: checksum_of(&self.found.kernel),
            shape: None,
        }
    }
}

/// What a ledger of a database says.
fn ledger_sql(of_kernel: bool, ledger: &str) -> String {
    format!(
        "select {of_kernel} as of_kernel, version, checksum, success,
                (extract(epoch from installed_on) * 1000000)::int8 as at, execution_time as elapsed
         from {ledger}"
    )
}

/// A database that went silent is not waited for for ever.
async fn answered<T>(bound: Duration, asking: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let answer = tokio::time::timeout(bound, asking).await;
    answer.unwrap_or_else(|_elapsed| Err(timed_out()))
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

async fn admin_url(platform: &PlatformDirectory, listed: &Listed) -> Result<SecretString> {
    let owner = || listed.database.to_string();
    let (for_, what) = match &listed.database.of {
        FleetOwner::Pool(id) => (of_pool(*id, column::POOL_ADMIN), column::POOL_ADMIN),
        FleetOwner::Client(id) => (of_client(*id, column::CLIENT_ADMIN), column::CLIENT_ADMIN),
    };
    let sealed = listed.admin.as_ref().ok_or_else(|| Error::MissingCredential {
        owner: owner(),
        what: what.to_owned(),
    })?;
    platform.open(sealed, for_, owner).await
}
