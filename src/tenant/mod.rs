//! Access to one client's data: the scoped handle, its transactions and what they refuse.

mod db;
mod executor;
mod guard;
mod tx;

pub use self::db::TenantDb;
pub(crate) use self::db::{Router, Tenant};
pub use self::tx::TenantTx;
