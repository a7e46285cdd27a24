//! What can go wrong, told by who, what and which step.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::client::{ClientId, ClientRef, ClientStatus};
use crate::secret::SecretError;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// Branch on [`Error::kind`] and [`Error::is_retryable`], not on the text. No variant holds a secret; the
/// messages of PostgreSQL that it carries as a source can hold values of the row that was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No live client goes by this name.
    #[error("no client is known by {client}")]
    UnknownClient {
        /// The name that was asked for.
        client: ClientRef,
    },
    /// The client exists and is not served now.
    #[error("client {client} is {status} and not served")]
    NotServed {
        /// The client.
        client: ClientId,
        /// Its status, which is not active.
        status: ClientStatus,
    },
    /// The route was stale: the client is not served by this database under this epoch any more.
    #[error("client {client} moved to another database: ask the manager again")]
    Moved {
        /// The client.
        client: ClientId,
    },
    /// The client is being relocated and admits nobody for the moment.
    #[error("client {client} is being relocated")]
    Relocating {
        /// The client.
        client: ClientId,
    },
    /// The kernel of the pool database refused the scope of a statement.
    #[error("the database refused the scope of client {client} at {step}: {reason}")]
    ScopeRefused {
        /// The client whose scope it was.
        client: ClientId,
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// No active pool has room for another client.
    #[error("no active pool has room for client {slug}")]
    NoPoolWithRoom {
        /// The slug of the client that was to be placed.
        slug: String,
    },
    /// The platform database refused a change that breaks one of its rules.
    #[error("the platform database refused {step} of {what}: {reason}")]
    Refused {
        /// The client or pool by name.
        what: String,
        /// What was being done.
        step: &'static str,
        /// The rule that it breaks, in the words of the database.
        reason: String,
    },
    /// A connection or credential that is needed is not in the platform database.
    #[error("{owner} has no {what}")]
    MissingCredential {
        /// The client or pool it belongs to.
        owner: String,
        /// Which one is missing.
        what: String,
    },
    /// A sealed credential does not open.
    #[error("the {what} of {owner} cannot be opened")]
    WrongKey {
        /// The client or pool it belongs to.
        owner: String,
        /// Which credential.
        what: String,
        /// Why not.
        #[source]
        source: SecretError,
    },
    /// A stored value is not what it should be, such as an unparsable connection URL.
    #[error("the {what} of {owner} is not valid: {reason}")]
    Invalid {
        /// The client, pool or option it belongs to.
        owner: String,
        /// Which value.
        what: String,
        /// What is wrong with it, without the value where that may be secret.
        reason: String,
    },
    /// A database could not be reached. Other clients' databases are not affected.
    #[error("{database} cannot be reached at {step}")]
    Unreachable {
        /// The database by kind and owner.
        database: String,
        /// What was being done.
        step: &'static str,
        /// What the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A pool database is not safe to serve from.
    #[error("{database} is unsafe and not served: {}", findings.join("; "))]
    UnsafeDatabase {
        /// The database by kind and owner.
        database: String,
        /// What is wrong, one entry a finding.
        findings: Vec<String>,
    },
    /// No connection came free in time.
    #[error("client {client} waited {waited:?} for {what}")]
    Busy {
        /// The client that waited.
        client: ClientId,
        /// What it waited for.
        what: &'static str,
        /// How long it waited.
        waited: Duration,
    },
    /// The manager was closed.
    #[error("the manager is closed")]
    Closed,
    /// A table that the database does not have, or that the app role may not see.
    #[error("client {client}: no table {table}{}", nearest(nearest_name.as_deref()))]
    UnknownTable {
        /// The client whose query named it.
        client: ClientId,
        /// The name that was given.
        table: String,
        /// The table whose name is nearest.
        nearest_name: Option<String>,
    },
    /// A column that the table does not have.
    #[error("client {client}: table {table} has no column {column}{}", nearest(nearest_name.as_deref()))]
    UnknownColumn {
        /// The client whose query named it.
        client: ClientId,
        /// The table.
        table: String,
        /// The name that was given.
        column: String,
        /// The column whose name is nearest.
        nearest_name: Option<String>,
    },
    /// A function that the database does not have, or that has no parameter of a name that was given.
    #[error("client {client}: no function {function}{}", nearest(nearest_name.as_deref()))]
    UnknownFunction {
        /// The client whose call named it.
        client: ClientId,
        /// The function, with the names of the arguments that were given.
        function: String,
        /// The function whose name is nearest.
        nearest_name: Option<String>,
    },
    /// The library itself refuses to send this statement.
    #[error("client {client}: {what} is refused: {reason}")]
    StatementRefused {
        /// The client whose statement it was.
        client: ClientId,
        /// The table, function or statement.
        what: String,
        /// Why.
        reason: &'static str,
    },
    /// The caller named another client than the one the query is scoped to.
    #[error("client {client}: {table} was given the client_id {given}, which is not its own")]
    ForeignClient {
        /// The client whose query it was.
        client: ClientId,
        /// The table.
        table: String,
        /// The client id that was given; `None` where it was null or no UUID.
        given: MaybeClient,
    },
    /// A value could not be encoded for the database.
    #[error("client {client}: the value for {column} cannot be encoded")]
    Encode {
        /// The client whose query it was.
        client: ClientId,
        /// The column or argument.
        column: String,
        /// What the encoder said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A fetch of exactly one row found none.
    #[error("client {client}: no row of {what}")]
    RowNotFound {
        /// The client whose query it was.
        client: ClientId,
        /// The table or function.
        what: String,
    },
    /// The connection was lost after a commit was sent: it may or may not have taken effect.
    #[error("client {client}: the connection was lost during commit, which may have taken effect")]
    CommitUnknown {
        /// The client whose transaction it was.
        client: ClientId,
        /// What the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The database refused a statement, or the connection was lost while it ran.
    #[error("client {client}: {step} failed")]
    Statement {
        /// The client whose statement it was.
        client: ClientId,
        /// What was being done: the verb and the table or function.
        step: String,
        /// What the database or the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The platform database failed.
    #[error("the platform database failed at {step}")]
    Platform {
        /// What was being done.
        step: &'static str,
        /// What the database or the connection said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The migrations of a database failed, or are not those that were applied to it.
    #[error("{database}: the {set} migrations failed")]
    Migration {
        /// The database by kind and owner.
        database: String,
        /// Which set: kernel, host or platform.
        set: &'static str,
        /// What the migrator said.
        #[source]
        source: Arc<sqlx::migrate::MigrateError>,
    },
}

/// What an [`Error`] amounts to for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client is unknown or not served: tell the caller so.
    Client,
    /// For the moment: the same call may succeed if made again, from [`tenant`] on.
    ///
    /// [`tenant`]: crate::ClientConnectionManager::tenant
    Temporary,
    /// The call itself is wrong: mend the program.
    Usage,
    /// The installation is wrong: mend the databases, credentials or configuration.
    Installation,
    /// A database refused a statement; [`Error::constraint`] names the constraint, if it was one.
    Database,
    /// It is not known whether the statement took effect.
    Ambiguous,
}

impl Error {
    /// What the error amounts to for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownClient { .. } | Self::NotServed { .. } => ErrorKind::Client,
            Self::Moved { .. } | Self::Relocating { .. } | Self::Busy { .. } | Self::Unreachable { .. } => {
                ErrorKind::Temporary
            }
            Self::UnknownTable { .. }
            | Self::UnknownColumn { .. }
            | Self::UnknownFunction { .. }
            | Self::StatementRefused { .. }
            | Self::ForeignClient { .. }
            | Self::Encode { .. }
            | Self::Closed => ErrorKind::Usage,
            Self::CommitUnknown { .. } => ErrorKind::Ambiguous,
            Self::RowNotFound { .. } | Self::Refused { .. } | Self::ScopeRefused { .. } => {
                ErrorKind::Database
            }
            Self::Statement { source, .. } | Self::Platform { source, .. } => kind_of(source),
            Self::NoPoolWithRoom { .. }
            | Self::MissingCredential { .. }
            | Self::WrongKey { .. }
            | Self::Invalid { .. }
            | Self::UnsafeDatabase { .. }
            | Self::Migration { .. } => ErrorKind::Installation,
        }
    }

    /// Whether the same call may succeed if made again, and making it again does no harm.
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::Temporary
    }

    /// The name of the constraint that refused the statement.
    pub fn constraint(&self) -> Option<&str> {
        self.database()?.constraint()
    }

    /// The SQLSTATE that PostgreSQL answered with.
    pub fn sqlstate(&self) -> Option<String> {
        self.database()?.code().map(Into::into)
    }

    fn database(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::Statement { source, .. }
            | Self::Platform { source, .. }
            | Self::CommitUnknown { source, .. }
            | Self::Unreachable { source, .. } => source.as_database_error(),
            _ => None,
        }
    }

    /// What an error of sqlx means that a statement in a [`TenantTx`](crate::TenantTx) of this client gave.
    ///
    /// A refusal of the transaction itself comes back as it was, those of the kernel become
    /// [`Moved`](Self::Moved), [`NotServed`](Self::NotServed), [`Relocating`](Self::Relocating) and
    /// [`ScopeRefused`](Self::ScopeRefused), anything else is a [`Statement`](Self::Statement).
    ///
    /// ```no_run
    /// # use tenantry::{Error, TenantDb};
    /// # async fn example(acme: TenantDb) -> tenantry::Result<()> {
    /// let mut tx = acme.begin().await?;
    /// let touched = sqlx::query("update agents set updated_at = now()").execute(&mut tx).await;
    /// touched.map_err(|error| Error::from_sqlx(acme.client().id, error))?;
    /// tx.commit().await
    /// # }
    /// ```
    pub fn from_sqlx(client: ClientId, error: sqlx::Error) -> Self {
        Self::of_statement(client, "a statement of the host", error)
    }

    /// The error of a statement sent for a client: the kernel's own refusals become what they mean.
    pub(crate) fn of_statement(client: ClientId, step: impl Into<String>, source: sqlx::Error) -> Self {
        // An executor of ours answers in sqlx's error type; this takes back out what it put in.
        let source = match source {
            sqlx::Error::AnyDriverError(inner) => match inner.downcast::<Self>() {
                Ok(ours) => return *ours,
                Err(other) => sqlx::Error::AnyDriverError(other),
            },
            source => source,
        };
        let refused = |reason: &dyn sqlx::error::DatabaseError| Self::ScopeRefused {
            client,
            step: "a statement",
            reason: reason.message().to_owned(),
        };
        match source
            .as_database_error()
            .and_then(|error| Some((error.code()?, error)))
        {
            Some((code, _)) if code == "TN001" => Self::Moved { client },
            Some((code, _)) if code == "TN002" => Self::NotServed {
                client,
                status: ClientStatus::Suspended,
            },
            Some((code, _)) if code == "TN003" => Self::Relocating { client },
            Some((code, error)) if code == "TN004" || code == "TN005" => refused(error),
            _ => Self::Statement {
                client,
                step: step.into(),
                source: source.into(),
            },
        }
    }

    /// This error as the error type that sqlx's executor trait demands.
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        sqlx::Error::AnyDriverError(Box::new(self))
    }
}

/// Whether the connection, not the statement, is what failed.
pub(crate) fn is_connection_failure(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        // Class 08, and the codes of a server that ends the session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            let ends = ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"];
            code.starts_with("08") || ends.contains(&&*code)
        }),
        _ => false,
    }
}

/// Whether the kernel says that the session is not bound to a client that is served here, if to any.
pub(crate) fn is_lost_scope(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "TN001" | "TN005" | "55000"))
}

/// Whether a statement without a name was destroyed before it was run; see where types are learnt, in the
/// connections of a pool database.
pub(crate) fn is_lost_statement(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("26000")
}

/// Whether the socket refused the bytes: the server has not seen the end of the message, and so did nothing.
pub(crate) fn was_never_sent(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn kind_of(error: &sqlx::Error) -> ErrorKind {
    if is_connection_failure(error) {
        return ErrorKind::Ambiguous;
    }
    match error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
    {
        // Serialization failure, deadlock, lock not available: the transaction did nothing.
        Some(code) if matches!(&*code, "40001" | "40P01" | "55P03") => ErrorKind::Temporary,
        _ if matches!(error, sqlx::Error::PoolTimedOut) => ErrorKind::Temporary,
        _ if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_)
        ) =>
        {
            ErrorKind::Usage
        }
        _ => ErrorKind::Database,
    }
}

fn nearest(name: Option<&str>) -> String {
    name.map(|name| format!(" (the nearest is {name})"))
        .unwrap_or_default()
}

/// A client id that a caller gave, where it could be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaybeClient(pub Option<Uuid>);

impl std::fmt::Display for MaybeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("(null, or no uuid)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_survives_the_error_type_of_sqlx() {
        let client = ClientId::new();
        let inside = Error::StatementRefused {
            client,
            what: "commit".into(),
            reason: "control",
        }
        .into_sqlx();
        let outside = Error::of_statement(client, "execute", inside);
        assert!(matches!(outside, Error::StatementRefused { .. }), "{outside:?}");
    }

    #[test]
    fn a_lost_connection_is_ambiguous_and_not_retryable() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let error = Error::of_statement(ClientId::new(), "update agents", lost);
        assert_eq!(error.kind(), ErrorKind::Ambiguous);
        assert!(!error.is_retryable());
    }

    #[test]
    fn the_message_names_the_client_the_thing_and_the_nearest_name() {
        let client = ClientId::from(Uuid::nil());
        let error = Error::UnknownTable {
            client,
            table: "agent".into(),
            nearest_name: Some("agents".into()),
        };
        assert_eq!(
            error.to_string(),
            "client 00000000-0000-0000-0000-000000000000: no table agent (the nearest is agents)"
        );
    }
}
