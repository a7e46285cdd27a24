//! One database: its kernel, the host's migrations, the catalogue of its tables, and whether it is safe.

mod catalogue;
mod install;
mod safety;
mod types;
pub(crate) mod vectors;

pub(crate) use self::catalogue::{
    CLIENT_COLUMN, CLIENT_PARAMETER, Catalogue, Column, ForeignKey, Function, Table, TableKind, nearest_name,
};
pub use self::install::{Installed, apply_to_dedicated, apply_to_pool};
pub(crate) use self::install::{
    apply_to_platform, install_scope_key, next_scope_key_id, place, renew, retire_scope_keys,
};
pub use self::safety::KnownLeaks;
pub(crate) use self::safety::{Strictness, check_pool};
pub(crate) use self::types::value_of_each_type;
