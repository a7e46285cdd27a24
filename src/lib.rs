#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! [`ClientConnectionManager`] routes a client ([`ClientRef`]) to its database and gives a [`TenantDb`]; that one asks
//! ([`TenantQuery`], [`Rpc`]), begins transactions ([`TenantTx`]), or runs them until they are through
//! ([`TenantDb::run`]). [`PlatformDirectory`] holds clients, pools and credentials, sealed by a [`Keyring`]. [`schema`]
//! installs kernels and host migrations. [`Error`] says who, what and which step; [`Error::kind`] says what to do about
//! it.

mod client;
mod database;
mod directory;
mod error;
mod plan;
mod provision;
mod query;
mod routing;
pub mod schema;
mod secret;
pub mod telemetry;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::client::{
    ClientDomain, ClientId, ClientRecord, ClientRef, ClientSlug, ClientStatus, Epoch, ExternalRef,
    InvalidName, Placement, PoolId, UnknownStatus,
};
pub use self::database::{ConnectionOptions, DedicatedPool, Isolation, PoolStatistics, TransactionOptions};
pub use self::directory::{Binding, Directory, PlatformDirectory, PoolRecord, UnknownBinding};
pub use self::error::{ConstraintKind, Error, ErrorKind, MaybeClient, PortableError, Result};
pub use self::plan::{Features, Hosting, Limits, TierName, UnknownHosting};
pub use self::provision::{
    EraseOptions, EraseReport, ExportOptions, ExportReport, NewClient, NewPool, Promoted, RestoreInto,
    RestoreOptions, RestoreReport, TableRows, VectorIndex,
};
pub use self::query::{
    Bind, Compare, Cursor, Delete, Explain, Explained, Expr, Filtered, Fragment, Group, Insert, Join,
    LockWait, Nearest, Order, Page, Pattern, Recall, RowLock, RowValues, Rpc, Scalar, Search, Select,
    TenantQuery, TextSearch, Update, Writes,
};
pub use self::routing::{ClientConnectionManager, ManagerOptions};
pub use self::schema::vectors::Metric;
pub use self::secret::{Keyring, Sealed, SealedFor, SecretError};
pub use self::tenant::{Attempt, RunOptions, TenantDb, TenantTx};
