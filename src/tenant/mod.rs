//! Access to one client's data: the scoped handle, its transactions and what they refuse.

mod attempt;
mod db;
mod executor;
mod following;
mod freshness;
mod guard;
mod metered;
mod run;
mod standing;
mod tx;

pub use self::attempt::Attempt;
pub use self::db::TenantDb;
pub(crate) use self::db::{Router, Tenant};
pub(crate) use self::following::Patience;
pub(crate) use self::freshness::{Asked, Fresh, Freshness, TICK};
pub use self::run::RunOptions;
pub use self::tx::TenantTx;
