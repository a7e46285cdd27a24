//! Setting up pools and clients: between the platform database and the database that serves them.

mod client;
mod plan;
mod pool;
mod tiers;
mod vectors;

pub use self::client::NewClient;
pub use self::pool::NewPool;
pub use self::tiers::AppliedTiers;
pub use self::vectors::{Promoted, VectorIndex};
