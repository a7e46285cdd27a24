//! Where a client lives: the manager, its options and the routes it remembers.

mod manager;
mod options;
mod routes;

pub use self::manager::ClientConnectionManager;
pub use self::options::ManagerOptions;
