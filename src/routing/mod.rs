//! Where a client lives: the manager, its options and the routes it remembers.

mod follower;
mod manager;
mod options;
mod pools;
mod routes;

pub use self::manager::ClientConnectionManager;
pub use self::options::ManagerOptions;
