use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use secrecy::SecretString;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::catalogue::Catalogue;
use super::checks::{self, Check};
use super::finding::{AuditFinding, AuditSeverity};
use super::fingerprint::{AuditFingerprint, themes};
use super::options::AuditOptions;
use super::report::{AuditReport, AuditedDatabase, UnreadDatabase};
use crate::client::PoolId;
use crate::directory::{PlatformDirectory, PoolRecord, column, connect_options, of_pool};
use crate::error::{AuditError, Error, Result};

/// Reads the catalogue of pool databases and says by what one client could reach, learn of or get in the way of
/// another, with the SQL that mends it. It changes nothing.
///
/// The catalogue is read in one read-only transaction of the admin role, which need not be a superuser, with bounds on
/// how long a statement takes and waits; the checks are pure functions over it.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory) -> tenantry::Result<()> {
/// use tenantry::{AuditSeverity, IsolationAudit};
///
/// let report = IsolationAudit::of_fleet(platform).run().await?;
/// println!("{report}");
/// report.assert_clean(AuditSeverity::Medium)?;
/// # Ok(()) }
/// ```
///
/// # Checks
///
#[doc = include_str!("checks.md")]
///
/// # What it was seen to find
///
#[doc = include_str!("detection.md")]
#[expect(
    clippy::doc_markdown,
    reason = "the tables are told in reports as well, where names stand as they are"
)]
#[derive(Debug)]
pub struct IsolationAudit<'c> {
    target: Target<'c>,
    options: AuditOptions,
    since: Option<AuditFingerprint>,
}

#[derive(Debug)]
enum Target<'c> {
    Connection {
        conn: &'c mut PgConnection,
        app: String,
    },
    Database {
        url: SecretString,
        app: String,
    },
    Pool {
        platform: PlatformDirectory,
        pool: PoolId,
    },
    Fleet {
        platform: PlatformDirectory,
    },
}

const CHANGED: Check = Check {
    id: "drift.changed",
    severity: AuditSeverity::Low,
    meaning: "the catalogue is not what it was at the audit that is compared with",
    mend: "find out who changed it; where it is right, keep the new fingerprint",
};

pub(super) const DRIFT: &[&Check] = &[&CHANGED];

impl<'c> IsolationAudit<'c> {
    /// Of the database that a connection is to, as its admin role. Inside of a transaction it sees what that one
    /// did, and leaves it as it was.
    pub fn of_connection(conn: &'c mut PgConnection, app_role: impl Into<String>) -> Self {
        Self::of(Target::Connection {
            conn,
            app: app_role.into(),
        })
    }

    /// How databases are audited. Defaults to [`AuditOptions::default`].
    #[must_use]
    pub fn options(mut self, options: AuditOptions) -> Self {
        self.options = options;
        self
    }

    /// Says as well what changed since an audit whose report carried that. Defaults to none: nothing is compared.
    #[must_use]
    pub fn since(mut self, fingerprint: AuditFingerprint) -> Self {
        self.since = Some(fingerprint);
        self
    }

    fn of(target: Target<'c>) -> Self {
        Self {
            target,
            options: AuditOptions::default(),
            since: None,
        }
    }

    /// Audits. In a fleet a database that cannot be read is [told](AuditReport::unread), and the others are audited.
    ///
    /// # Errors
    /// [`Error::Audit`] where the catalogue cannot be read, or there is no such app role; [`Error::Unreachable`],
    /// [`Error::MissingCredential`], [`Error::WrongKey`] and [`Error::Invalid`] of a database's connection;
    /// [`Error::Refused`] where there is no such pool; [`Error::Platform`] where the platform database does not answer.
    ///
    /// # Cancel safety
    /// Dropped, its connections close. One that it was given is to be closed, or its transaction rolled back.
    pub async fn run(self) -> Result<AuditReport> {
        let Self {
            target,
            options,
            since,
        } = self;
        let audit = Auditing {
            options: Arc::new(options),
            since,
        };
        match target {
            Target::Connection { conn, app } => {
                let catalogue = Catalogue::read(conn, "the database", Some(&app), &audit.options).await?;
                let name = format!("database {}", catalogue.installation.database);
                Ok(audit.report([(name, Ok(catalogue))]))
            }
            Target::Database { url, app } => {
                let mut conn = audit.connect(&url, "the database").await?;
                let catalogue = Catalogue::read(&mut conn, "the database", Some(&app), &audit.options).await;
                let _ = conn.close().await;
                let catalogue = catalogue?;
                let name = format!("database {}", catalogue.installation.database);
                Ok(audit.report([(name, Ok(catalogue))]))
            }
            Target::Pool { platform, pool } => {
                let pools = platform.pools().await?;
                let record = pools.into_iter().find(|record| record.id == pool);
                let record = record.ok_or_else(|| Error::Refused {
                    what: format!("pool {pool}"),
                    step: "auditing it",
                    reason: "there is no such pool".to_owned(),
                })?;
                let name = name_of(&record);
                let catalogue = audit.pool(&platform, &record, &name).await?;
                Ok(audit.report([(name, Ok(catalogue))]))
            }
            Target::Fleet { platform } => {
                let pools = platform.pools().await?;
                let (audit_of, platform) = (&audit, &platform);
                let read = stream::iter(pools).map(|record| async move {
                    let name = name_of(&record);
                    let catalogue = audit_of.pool(platform, &record, &name).await;
                    (name, catalogue)
                });
                let read: Vec<_> = read.buffered(audit.options.databases_at_once).collect().await;
                Ok(audit.report(read))
            }
        }
    }
}

impl IsolationAudit<'static> {
    /// Of the database of that URL, which is its admin role's.
    pub fn of_database(admin_url: impl Into<SecretString>, app_role: impl Into<String>) -> Self {
        Self::of(Target::Database {
            url: admin_url.into(),
            app: app_role.into(),
        })
    }

    /// Of a pool, as its admin role. The app role is that of its connection.
    pub fn of_pool(platform: PlatformDirectory, pool: PoolId) -> Self {
        Self::of(Target::Pool { platform, pool })
    }

    /// Of all pools.
    pub fn of_fleet(platform: PlatformDirectory) -> Self {
        Self::of(Target::Fleet { platform })
    }
}

fn name_of(pool: &PoolRecord) -> String {
    format!("pool {} ({})", pool.name, pool.id)
}

struct Auditing {
    options: Arc<AuditOptions>,
    since: Option<AuditFingerprint>,
}

impl Auditing {
    async fn connect(&self, url: &SecretString, database: &str) -> Result<PgConnection> {
        let connect = connect_options(url, database)?.application_name("tenantry audit");
        let connected = tokio::time::timeout(self.options.connect_timeout, connect.connect()).await;
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let connected = connected.unwrap_or_else(|_| Err(late().into()));
        connected.map_err(|source| Error::Unreachable {
            database: database.to_owned(),
            step: "connecting as the admin role",
            source: source.into(),
        })
    }

    async fn pool(&self, platform: &PlatformDirectory, pool: &PoolRecord, name: &str) -> Result<Catalogue> {
        let owner = || format!("pool {}", pool.id);
        let app = platform
            .open(&pool.connection, of_pool(pool.id, column::POOL_APP), owner)
            .await?;
        let app = connect_options(&app, name)?.get_username().to_owned();
        let url = platform.pool_admin_url(pool.id).await?;
        let mut conn = self.connect(&url, name).await?;
        let catalogue = match Catalogue::read(&mut conn, name, Some(&app), &self.options).await {
            // A pooler may know the role by another name than the server.
            Err(Error::Audit {
                source: AuditError::UnknownRole { .. },
                ..
            }) => Catalogue::read(&mut conn, name, None, &self.options).await,
            read => read,
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.close()).await;
        catalogue
    }

    fn report(&self, read: impl IntoIterator<Item = (String, Result<Catalogue>)>) -> AuditReport {
        let mut report = AuditReport::default();
        for (database, catalogue) in read {
            match catalogue {
                Ok(catalogue) => {
                    let now = themes(&catalogue);
                    let mut findings = checks::look(&catalogue);
                    findings.extend(self.drift(&database, &now));
                    let all = findings.len();
                    findings.retain(|finding| !self.is_accepted(finding));
                    report.fingerprint.add(&database, now);
                    report.databases.push(AuditedDatabase {
                        database,
                        accepted: all - findings.len(),
                        findings,
                    });
                }
                Err(error) => report.unread.push(UnreadDatabase {
                    database,
                    why: told(&error),
                }),
            }
        }
        report
    }

    fn is_accepted(&self, finding: &AuditFinding) -> bool {
        let mut accepted = self.options.left_out.iter();
        accepted.any(|(id, object)| id == finding.id && *object == finding.object)
    }

    fn drift(
        &self,
        database: &str,
        now: &std::collections::BTreeMap<String, String>,
    ) -> Option<AuditFinding> {
        let changed = self.since.as_ref()?.changed(database, now)?;
        (!changed.is_empty())
            .then(|| CHANGED.found(database, format!("what changed: {}", changed.join(", "))))
    }
}

/// An error and what it was caused by, as one line.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
