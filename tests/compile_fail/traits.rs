//! What the types are to others: shared between tasks, and no way around the scope.

use std::borrow::{Borrow, BorrowMut};
use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Acquire, Executor, PgConnection, PgPool, Postgres};
use tenantry::{
    Attempt, ClientConnectionManager, ClientId, ClientRecord, ClientRef, ClientSlug, DedicatedPool, Delete,
    Error, Insert, Keyring, ManagerOptions, NewClient, NewPool, PlatformDirectory, Rpc, RunOptions, Select,
    TenantDb, TenantQuery, TenantRequest, TenantResolver, TenantTx, Update,
};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}
const fn is_shared<T: Clone + Send + Sync + 'static>() {}

const _: () = {
    is_shared::<ClientConnectionManager>();
    is_shared::<PlatformDirectory>();
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
    is_send::<Rpc<'_>>();
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
