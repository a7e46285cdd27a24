#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! [`ClientConnectionManager`] routes a client ([`ClientRef`]) to its database and gives a [`TenantDb`]; that one asks
//! ([`TenantQuery`], [`Rpc`]), begins transactions ([`TenantTx`]), or runs them until they are through
//! ([`TenantDb::run`]). A [`TenantResolver`] finds the client of a request. [`PlatformDirectory`] holds clients, pools,
//! tiers ([`TierCatalog`]) and credentials, sealed by the keys of a [`KeyProvider`]; [`Provisioning`] sets clients up.
//! [`schema`] installs kernels and host migrations, [`Fleet`] brings all databases to them, [`Seed`] applies data sets.
//! [`Relocation`] moves a client between databases, [`Retrofit`] makes tables that had one client those of many, and
//! [`DualStore`] takes a store of a client into PostgreSQL. [`Footprints`] tells what clients take up, and who has outgrown
//! a pool; [`Doctor`] what is wrong with an installation, [`IsolationAudit`] by what clients could reach each other; [`Attacks`]
//! tries it.
//! [`Error`] says who, what and which step; [`Error::kind`] says what to do about it.

mod audit;
mod client;
mod database;
mod directory;
mod doctor;
mod dual_store;
mod error;
mod fleet;
mod footprint;
mod plan;
mod provision;
mod query;
mod relocate;
mod resolver;
mod retrofit;
mod routing;
pub mod schema;
mod secret;
mod seed;
pub mod telemetry;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod usage;

pub use self::audit::{
    AttackOptions, AttackReport, Attacked, Attacks, AuditFinding, AuditFingerprint, AuditOptions,
    AuditReport, AuditSeverity, AuditedDatabase, InvalidFingerprint, IsolationAudit, UnknownAuditSeverity,
    UnreadDatabase, lint_plans,
};
pub use self::client::{
    ClientDomain, ClientId, ClientKey, ClientRecord, ClientRef, ClientSlug, ClientStatus, Epoch, ExternalRef,
    InvalidName, Placement, PoolId, UnknownStatus,
};
pub use self::database::{ConnectionOptions, DedicatedPool, Isolation, PoolStatistics, TransactionOptions};
pub use self::directory::{
    AuditEntry, AuditFilter, Binding, Change, Changes, ClientCursor, ClientFilter, ClientPage, ClientUpdate,
    CredentialRecord, Directory, FleetOwner, Following, InvalidClientCursor, Month, PlatformDirectory,
    PoolRecord, ResealOptions, Resealed, TakeUsage, TakenUsage, UnknownBinding, UnknownMonth, Unopened,
    Usage,
};
pub use self::doctor::{Diagnosis, Doctor, DoctorOptions, Severity, Symptom};
pub use self::dual_store::{
    Comparison, ComparisonStatistics, Copied, Divergence, DivergenceKind, DualStore, DualStoreOptions,
    DualStoreStatus, ImportedFile, JsonBackup, JsonImport, JsonImported, JsonLayout, JsonRepository,
    OnBadRecord, OnChanged, PendingRepair, PostgresRepository, Record, Repository, StorePhase,
    UnknownStorePhase, Verified,
};
pub use self::error::{
    AuditError, BadRecord, BadRecordKind, ConstraintKind, DualStoreError, Error, ErrorKind, FilePosition,
    FleetError, FootprintError, JsonError, MaybeClient, PortableError, RelocationError, RepositoryError,
    Result, RetrofitError, SeedError,
};
pub use self::fleet::{
    DatabaseStatus, Deferral, DeferredDatabase, FailedDatabase, Fleet, FleetDatabase, FleetDrift, FleetEnd,
    FleetEntry, FleetEvent, FleetEvents, FleetFinding, FleetOptions, FleetPlan, FleetReport, FleetStatus,
    MigrationDirection, OnFailure, PlannedDatabase, PlannedMigration, Ring, Settled,
};
pub use self::footprint::{
    CapacityReport, Figure, Footprint, FootprintOptions, Footprints, Freed, GrowthBounds, LargeClient,
    LatestChange, Outgrown, Outgrowth, PoolCapacity, PoolFootprint, PoolTable, TableFootprint, Total,
    UnreadPool,
};
pub use self::plan::{
    Feature, Features, Grace, Hosting, InvalidCatalog, InvalidPlanName, Limit, Limits, Settings, Tier,
    TierCatalog, TierName, UnknownHosting,
};
pub use self::provision::{
    AppliedTiers, Approval, ClientEvent, ClientEventKind, ClientSetup, DatabaseProvisioner, DedicatedUrls,
    EraseOptions, EraseReport, EventSink, ExportOptions, ExportReport, HookError, NewClient, NewPool,
    Promoted, Provisioning, RestoreInto, RestoreOptions, RestoreReport, ServerDatabases, TableRows,
    UnfinishedProvision, VectorIndex,
};
pub use self::query::{
    Bind, Compare, Cursor, Delete, Explain, Explained, Expr, Filtered, Fragment, Group, Insert, Join,
    LockWait, Nearest, Order, Page, Pattern, Recall, RowLock, RowValues, Rpc, Scalar, Search, Select,
    TenantQuery, TextSearch, Update, Writes,
};
pub use self::relocate::{
    Certificate, CertifiedTable, DifferenceKind, Differences, Finding, Phase, RelocateTo, Relocation,
    RelocationOptions, RelocationPlan, RelocationProgress, RelocationStatus, RowDifference,
};
pub use self::resolver::{
    Claims, Entitlement, HeaderLookup, NamedBy, ResolverOptions, Source, TenantRequest, TenantResolver,
};
pub use self::retrofit::{
    Assign, DeprecationHook, HostTriggers, LegacyCall, LegacyCaller, LegacyCalls, PlannedStep, Retrofit,
    RetrofitFinding, RetrofitOptions, RetrofitPhase, RetrofitPlan, RetrofitState, RetrofitStatus,
};
pub use self::routing::{ClientConnectionManager, ManagerOptions};
pub use self::schema::vectors::Metric;
pub use self::secret::{
    CredentialKind, CredentialValidator, InvalidCredentialName, InvalidKeyring, KeyProvider, Keyring,
    NoDummies, Provider, Sealed, SealedFor, SecretError,
};
pub use self::seed::{
    DataSet, EnvironmentSecrets, Extra, SecretFile, SecretForm, SecretSource, Seed, SeedFinding,
    SeedFindingKind, SeedReport, SeedVerification, SeededTable, SharedRows, VerifiedTable,
};
pub use self::tenant::{Attempt, RunOptions, TenantDb, TenantTx};
