//! Setting up pools and clients: between the platform database and the database that serves them.

mod client;
mod pool;

pub use self::client::NewClient;
pub use self::pool::NewPool;
