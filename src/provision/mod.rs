//! Setting up pools and clients: between the platform database and the database that serves them.

mod client;
mod erase;
mod pool;
mod portable;
mod vectors;

pub use self::client::NewClient;
pub use self::erase::{EraseOptions, EraseReport};
pub use self::pool::NewPool;
pub use self::portable::{
    ExportOptions, ExportReport, RestoreInto, RestoreOptions, RestoreReport, TableRows,
};
pub use self::vectors::{Promoted, VectorIndex};
