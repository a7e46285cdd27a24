//! What the types are to others: shared between tasks, and no way around the scope.

use std::borrow::{Borrow, BorrowMut};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Acquire, Executor, PgConnection, PgPool, Postgres};
use tenantry::testing::Fixture;
use tenantry::{
    AppliedTiers, Approval, Attempt, AuditEntry, AuditFilter, Certificate, Change, Changes,
    ClientConnectionManager, ClientCursor, ClientEvent, ClientFilter, ClientId, ClientKey, ClientPage,
    ClientRecord, ClientRef, ClientSetup, ClientSlug, ClientUpdate, ConnectionOptions, CredentialRecord,
    CredentialValidator, Cursor, DataSet, DatabaseProvisioner, DedicatedPool, DedicatedUrls, Delete,
    Differences, Directory, Entitlement, EraseOptions, EraseReport, Error, EventSink, Explained,
    ExportOptions, ExportReport, Features, Finding, Fleet, FleetEntry, FleetEvent, FleetEvents, FleetFinding,
    FleetOptions, FleetPlan, FleetReport, FleetStatus, Following, Grace, Insert, KeyProvider, Keyring, Limit,
    Limits, ManagerOptions, Month, Nearest, NewClient, NewPool, NoDummies, PlatformDirectory, PoolRecord,
    PoolStatistics, Promoted, Provider, Provisioning, RelocateTo, Relocation, RelocationOptions,
    RelocationPlan, RelocationProgress, RelocationStatus, ResealOptions, Resealed, ResolverOptions,
    RestoreInto, RestoreOptions, RestoreReport, Rpc, RunOptions, Sealed, Seed, SeedReport, SeedVerification,
    Select, ServerDatabases, Settings, TakenUsage, TenantDb, TenantQuery, TenantRequest, TenantResolver,
    TenantTx, Tier, TierCatalog, TransactionOptions, UnfinishedProvision, Unopened, Update, Usage,
    VectorIndex,
};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}
const fn is_shared<T: Clone + Send + Sync + 'static>() {}

const _: () = {
    is_shared::<ClientConnectionManager>();
    is_shared::<PlatformDirectory>();
    is_shared::<Relocation>();
    is_shared::<RelocationOptions>();
    is_shared::<RelocateTo>();
    is_shared::<RelocationPlan>();
    is_shared::<RelocationStatus>();
    is_shared::<RelocationProgress>();
    is_shared::<Certificate>();
    is_shared::<Differences>();
    is_shared::<Finding>();
    is_shared::<DataSet>();
    is_shared::<Seed>();
    is_shared::<SeedReport>();
    is_shared::<SeedVerification>();
    is_shared::<Fleet>();
    is_shared::<FleetOptions>();
    is_shared::<FleetPlan>();
    is_shared::<FleetReport>();
    is_shared::<FleetStatus>();
    is_shared::<FleetFinding>();
    is_shared::<FleetEntry>();
    is_shared::<FleetEvent>();
    is_send::<FleetEvents>();
    is_shared::<TenantDb>();
    is_shared::<ClientRecord>();
    is_shared::<ClientRef>();
    is_shared::<ClientId>();
    is_shared::<ClientSlug>();
    is_shared::<Keyring>();
    is_shared::<ManagerOptions>();
    is_shared::<TenantResolver>();
    is_sync::<TenantRequest<'_>>();
    is_send::<TenantRequest<'_>>();
    is_shared::<NewClient>();
    is_shared::<NewPool>();
    is_shared::<Error>();
    is_send::<DedicatedPool>();
    is_sync::<DedicatedPool>();
    is_send::<TenantTx>();
    is_send::<Attempt>();
    is_shared::<RunOptions>();
    is_send::<TenantQuery<'_, Select<'_>>>();
    is_send::<TenantQuery<'_, Insert<'_>>>();
    is_send::<TenantQuery<'_, Update<'_>>>();
    is_send::<TenantQuery<'_, Delete<'_>>>();
    is_send::<Nearest<'_>>();
    is_send::<Rpc<'_>>();
    is_shared::<TransactionOptions>();
    is_shared::<ConnectionOptions>();
    is_shared::<PoolStatistics>();
    is_shared::<Explained>();
    is_shared::<Cursor>();
    is_shared::<ResolverOptions>();
};

// What a directory tells and is told.
const _: () = {
    is_shared::<Following>();
    is_shared::<Change>();
    is_send::<Changes>();
    is_shared::<PoolRecord>();
    is_shared::<ClientKey>();
    is_shared::<ClientFilter>();
    is_shared::<ClientPage>();
    is_shared::<ClientCursor>();
    is_shared::<ClientUpdate>();
    is_shared::<AuditFilter>();
    is_shared::<AuditEntry>();
    is_shared::<CredentialRecord>();
    is_shared::<Provider>();
    is_shared::<NoDummies>();
    is_shared::<Sealed>();
    is_shared::<ResealOptions>();
    is_shared::<Resealed>();
    is_shared::<Unopened>();
    is_shared::<Month>();
    is_shared::<Usage>();
    is_shared::<TakenUsage>();
    is_shared::<Limit>();
    is_shared::<Limits>();
    is_shared::<Features>();
    is_shared::<Grace>();
    is_shared::<Settings>();
    is_shared::<Tier>();
    is_shared::<TierCatalog>();
    is_shared::<AppliedTiers>();
};

// The life of a client.
const _: () = {
    is_shared::<Provisioning>();
    is_shared::<UnfinishedProvision>();
    is_shared::<ServerDatabases>();
    is_shared::<DedicatedUrls>();
    is_shared::<ClientEvent>();
    is_shared::<ExportOptions>();
    is_shared::<ExportReport>();
    is_shared::<RestoreInto>();
    is_shared::<RestoreOptions>();
    is_shared::<RestoreReport>();
    is_shared::<EraseOptions>();
    is_shared::<EraseReport>();
    is_shared::<VectorIndex>();
    is_shared::<Promoted>();
};

// The host's own parts, as they are kept.
const _: () = {
    is_shared::<Arc<dyn Directory>>();
    is_shared::<Arc<dyn KeyProvider>>();
    is_shared::<Arc<dyn CredentialValidator>>();
    is_shared::<Arc<dyn Entitlement>>();
    is_shared::<Arc<dyn DatabaseProvisioner>>();
    is_shared::<Arc<dyn ClientSetup>>();
    is_shared::<Arc<dyn Approval>>();
    is_shared::<Arc<dyn EventSink>>();
    is_send::<Fixture>();
    is_sync::<Fixture>();
};

/// Compiles only where the type does not have the bound: else two implementations compete.
macro_rules! is_not {
    ($type:ty: $($bound:tt)+) => {
        const _: fn() = || {
            trait Competes<T> {
                fn here() {}
            }
            impl<T: ?Sized> Competes<()> for T {}
            struct Other;
            impl<T: ?Sized + $($bound)+> Competes<Other> for T {}
            <$type as Competes<_>>::here()
        };
    };
}

is_not!(TenantDb: Deref);
is_not!(TenantDb: AsRef<PgPool>);
is_not!(TenantDb: Borrow<PgPool>);
is_not!(TenantDb: Into<PgPool>);
is_not!(TenantDb: AsRef<PgConnection>);
is_not!(TenantDb: AsMut<PgConnection>);
is_not!(TenantDb: Into<PgConnection>);
is_not!(TenantDb: Into<PoolConnection<Postgres>>);
is_not!(&'static TenantDb: Into<PgPool>);
is_not!(&'static TenantDb: Executor<'static>);
is_not!(&'static TenantDb: Acquire<'static>);
is_not!(&'static mut TenantDb: Executor<'static>);
is_not!(TenantDb: Executor<'static>);
is_not!(TenantDb: Acquire<'static>);

is_not!(TenantTx: Clone);
is_not!(TenantTx: Deref);
is_not!(TenantTx: DerefMut);
is_not!(TenantTx: AsRef<PgConnection>);
is_not!(TenantTx: AsMut<PgConnection>);
is_not!(TenantTx: Borrow<PgConnection>);
is_not!(TenantTx: BorrowMut<PgConnection>);
is_not!(TenantTx: Into<PgConnection>);
is_not!(TenantTx: Into<PoolConnection<Postgres>>);
is_not!(TenantTx: Into<sqlx::Transaction<'static, Postgres>>);
is_not!(TenantTx: Executor<'static>);
// Acquire would hand the connection itself to whoever asks.
is_not!(TenantTx: Acquire<'static>);
is_not!(&'static mut TenantTx: Acquire<'static>);
is_not!(&'static mut TenantTx: Into<&'static mut PgConnection>);

is_not!(Attempt: Clone);
is_not!(Attempt: Into<TenantTx>);
is_not!(Attempt: Into<PgConnection>);

// A handle comes from the manager alone, a record from a directory.
is_not!(TenantDb: Default);
is_not!(TenantDb: From<ClientRecord>);
is_not!(TenantDb: From<PgPool>);
is_not!(TenantTx: From<PgConnection>);
is_not!(ClientRecord: Default);
is_not!(ClientRecord: serde::de::DeserializeOwned);

is_not!(ClientConnectionManager: Deref);
is_not!(ClientConnectionManager: AsRef<PgPool>);
is_not!(PlatformDirectory: Deref);
is_not!(PlatformDirectory: AsRef<PgPool>);
is_not!(Provisioning: Deref);
is_not!(Relocation: Deref);

// What holds a secret is not written down by whoever writes down the rest.
is_not!(Keyring: serde::Serialize);
is_not!(NewClient: serde::Serialize);
is_not!(NewPool: serde::Serialize);
is_not!(DedicatedUrls: serde::Serialize);
is_not!(RelocateTo: serde::Serialize);
is_not!(RelocationOptions: serde::Serialize);
is_not!(ManagerOptions: serde::Serialize);
