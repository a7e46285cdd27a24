//! Where a client lives: the manager, its options and the routes it remembers.

mod credentials;
mod follower;
mod manager;
mod options;
mod pools;
mod routes;
mod tier_plans;

pub use self::manager::ClientConnectionManager;
pub use self::options::ManagerOptions;
