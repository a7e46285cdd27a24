//! What can go wrong, told by who, what and which step.

mod audit;
mod bad_record;
mod constraint;
mod dual_store;
mod fleet;
mod footprint;
mod json_store;
mod kind;
mod portable;
mod relocation;
mod repository;
mod retrofit;
mod seed;
mod sqlstate;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use self::audit::AuditError;
pub use self::bad_record::{BadRecord, BadRecordKind, FilePosition};
pub use self::constraint::ConstraintKind;
use self::constraint::named;
pub use self::dual_store::DualStoreError;
pub use self::fleet::FleetError;
pub use self::footprint::FootprintError;
pub use self::json_store::JsonError;
pub use self::kind::ErrorKind;
use self::kind::kind_of;
pub use self::portable::PortableError;
pub use self::relocation::RelocationError;
pub use self::repository::RepositoryError;
pub use self::retrofit::RetrofitError;
pub use self::seed::SeedError;
pub(crate) use self::sqlstate::{
    is_connection_failure, is_denied, is_lost_scope, is_lost_statement, is_of_failed_transaction,
    is_of_kernel, is_of_types, is_overtaken, was_never_sent,
};
use crate::client::{ClientId, ClientRef, ClientStatus};
use crate::plan::{Hosting, Limit, TierName};
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
    /// No source of a request names a client.
    #[error("the request names no client")]
    NoClientNamed,
    /// A source of a request names no client that there could be. The text is not told: a wrong header can hold
    /// anything.
    #[error("the {place} of the request names no client: {reason}")]
    MalformedName {
        /// The source, such as `header x-tenant-id`.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two sources of a request do not name the same client.
    #[error("the {first} and the {second} of the request do not name the same client")]
    ConflictingNames {
        /// The source that comes first.
        first: String,
        /// The one that differs; the same, where the request has it more than once.
        second: String,
    },
    /// The caller may not act for the client.
    #[error("the caller is not entitled to client {client}")]
    NotEntitled {
        /// The client.
        client: ClientId,
        /// What kept the entitlement from being checked; `None` where it was, and refused.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
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
    /// A tier demands another hosting than the client has. A change of the tier does not move it.
    #[error("client {client}: tier {tier} demands {hosting} hosting: relocate the client")]
    OtherHosting {
        /// The client.
        client: ClientId,
        /// The tier that it was to have.
        tier: TierName,
        /// The hosting that the tier demands.
        hosting: Hosting,
    },
    /// The client has used up what its plan allows. Nothing was written.
    #[error("client {client} has used {used} of {allowed} {limit}{}", lifted(lifted_by.as_ref()))]
    LimitReached {
        /// The client.
        client: ClientId,
        /// The limit.
        limit: Limit,
        /// How much it allows.
        allowed: i64,
        /// How much is used, without what was refused.
        used: i64,
        /// The lowest tier that allows more; `None` where there is none, or the limit is the client's own.
        lifted_by: Option<TierName>,
    },
    /// The client asks more often than its plan allows.
    #[error("client {client} exceeds its {limit}, again in {retry_after:?}")]
    RateLimited {
        /// The client.
        client: ClientId,
        /// The limit.
        limit: Limit,
        /// After how long the same may be asked again.
        retry_after: Duration,
    },
    /// The directory has no such thing; the platform database's own has it.
    #[error("the directory has no {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// A connection or credential that is needed is not in the platform database.
    #[error("{owner} has no {what}")]
    MissingCredential {
        /// The client or pool it belongs to.
        owner: String,
        /// Which one is missing.
        what: String,
    },
    /// The validator of the directory refused to store a credential.
    #[error("the {what} of {owner} is refused: {reason}")]
    CredentialRefused {
        /// The client it was to belong to.
        owner: String,
        /// Which credential.
        what: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A sealed credential does not open, or one cannot be sealed.
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
    /// A value was held against a column of another type, or given to one.
    #[error("client {client}: {table}.{column} is {expected}, and was given a value of type {given}")]
    TypeMismatch {
        /// The client whose query it was.
        client: ClientId,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type of the column.
        expected: String,
        /// The type that the value is encoded as.
        given: String,
        /// What the database said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// No row had the version that a write expected: another changed it since it was read, or it is gone.
    #[error("client {client}: the row of {table} was changed meanwhile, or is gone")]
    Stale {
        /// The client whose row it was.
        client: ClientId,
        /// The table.
        table: String,
    },
    /// A cursor that does not belong to the query.
    #[error("client {client}: the cursor is not one of {table} in this order: {reason}")]
    InvalidCursor {
        /// The client whose query it was.
        client: ClientId,
        /// The table.
        table: String,
        /// What is wrong with it.
        reason: &'static str,
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
    /// A constraint refused what a statement wrote; a deferred one refuses the commit.
    ///
    /// The message names no value of the row. The source can, as PostgreSQL words it.
    #[error("client {client}: {step} violates the {}", named(*kind, constraint.as_deref(), table.as_deref()))]
    Constraint {
        /// The client whose statement it was.
        client: ClientId,
        /// What the constraint demands.
        kind: ConstraintKind,
        /// The constraint's name; the column's, where it is to have a value.
        constraint: Option<String>,
        /// The table that has it, or its partition; `None` of a domain.
        table: Option<String>,
        /// What was being done: the verb and the table or function, or the commit.
        step: String,
        /// What the database said.
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
    /// A part of the host's own, which a step of the client's life calls, failed.
    #[error("client {client}: {hook} failed")]
    Hook {
        /// The client.
        client: ClientId,
        /// Which part: the name of a set-up, or what a provisioner was to do.
        hook: String,
        /// What it said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
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
    /// A client could not be exported, restored, cloned or erased.
    #[error("client {client} could not be exported, restored or erased")]
    Portable {
        /// The client.
        client: ClientId,
        /// Why not.
        #[source]
        source: PortableError,
    },
    /// A client could not be relocated. It is served where it was, or where it is by now.
    #[error("client {client} could not be relocated at {step}")]
    Relocation {
        /// The client.
        client: ClientId,
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: RelocationError,
    },
    /// A database could not be audited, or is not as clean as it was to be.
    #[error("{database}: the audit failed")]
    Audit {
        /// The database by kind and owner, or the fleet.
        database: String,
        /// Why not.
        #[source]
        source: AuditError,
    },
    /// What clients take up could not be told.
    #[error("{database}: the footprint could not be taken")]
    Footprint {
        /// The database by kind and owner.
        database: String,
        /// Why not.
        #[source]
        source: FootprintError,
    },
    /// A data set could not be read, applied or looked at. What was applied before it stays; apply it again.
    #[error("{of} could not be seeded at {step}")]
    Seed {
        /// The data set, client or database.
        of: String,
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: Box<SeedError>,
    },
    /// A database of the fleet, or the fleet, could not be migrated or rolled back.
    #[error("{database}: {step} failed")]
    Fleet {
        /// The database by kind and name, or the fleet.
        database: String,
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: FleetError,
    },
    /// The database of the client is older than this program can serve.
    #[error("client {client}: {database} is at {}, and version {minimum} of the host's migrations is needed", version_or_none(*version))]
    SchemaTooOld {
        /// The client.
        client: ClientId,
        /// The database by kind and owner.
        database: String,
        /// The newest of the host's migrations that it has; `None` where it says none.
        version: Option<i64>,
        /// What the manager was told to serve from.
        minimum: i64,
    },
    /// A store that is on its way into PostgreSQL did not do what it was asked.
    #[error("client {client}: {step} of the dual store {store} failed")]
    DualStore {
        /// The client.
        client: ClientId,
        /// The store's name.
        store: String,
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: Box<DualStoreError>,
    },
    /// JSON files could not be imported, backed up or restored.
    #[error("{} could not be imported, backed up or restored", path.display())]
    Json {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: Box<JsonError>,
    },
    /// The tables of a database could not be made those of many clients, or not be made as they were.
    #[error("{database} could not be retrofitted at {step}")]
    Retrofit {
        /// The database by kind and owner.
        database: String,
        /// What was being done, with the table.
        step: String,
        /// Why not.
        #[source]
        source: RetrofitError,
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

fn lifted(by: Option<&TierName>) -> String {
    by.map(|tier| format!("; tier {tier} allows more"))
        .unwrap_or_default()
}

fn version_or_none(version: Option<i64>) -> String {
    version.map_or_else(
        || "no known version".to_owned(),
        |version| format!("version {version}"),
    )
}

fn nearest(name: Option<&str>) -> String {
    name.map(|name| format!(" (the nearest is {name})"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
