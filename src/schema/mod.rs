//! One database: its kernel, the host's migrations, the catalogue of its tables, and whether it is safe.

mod binary_rows;
mod catalogue;
mod content_hash;
mod copy;
mod hold;
mod install;
mod key_check;
mod lifted;
mod manifest;
mod migrations_lock;
mod row_hash;
mod safety;
mod state;
mod types;
pub(crate) mod vectors;

pub(crate) use self::catalogue::{
    CLIENT_COLUMN, CLIENT_PARAMETER, Catalogue, Column, ForeignKey, Function, Table, TableKind, nearest_name,
};
pub(crate) use self::content_hash::{ContentHash, TEXT_SETTINGS};
pub(crate) use self::copy::{Loading, Unloading};
pub(crate) use self::hold::{entomb, expect_here, hold};
pub use self::install::{Installed, apply_to_dedicated, apply_to_pool};
pub(crate) use self::install::{
    KERNEL_LEDGER, apply_to_platform, dedicated_kernel, install_scope_key, next_scope_key_id, place,
    platform_migrations, pool_kernel, renew, retire_scope_keys,
};
pub(crate) use self::key_check::KeyCheck;
pub(crate) use self::lifted::Lifted;
pub(crate) use self::manifest::{HostColumn, HostSequence, HostTable, Manifest, by_reference};
pub(crate) use self::migrations_lock::{is_contended, lock_migrations};
pub(crate) use self::row_hash::RowHash;
pub use self::safety::KnownLeaks;
pub(crate) use self::safety::{Strictness, check_pool, known_leaks, leaks_of};
pub(crate) use self::state::{SchemaState, fingerprint, fingerprint_of, host_version, shape};
pub(crate) use self::types::value_of_each_type;
