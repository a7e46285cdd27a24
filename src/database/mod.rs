//! Open databases: the connections of pool databases, which are never handed out unscoped, and the pools of
//! dedicated ones, which pass straight through.

mod admission;
mod answer;
mod catalogue_cell;
mod connections;
mod dedicated;
mod departure;
mod lease;
mod options;
mod own_indexes;
mod pool_database;
mod probe;
mod residue;
mod scope_keys;
mod session;
mod statement_log;
mod statistics;
mod ticket;
mod timeouts;
mod transaction;

use std::sync::Arc;

pub(crate) use self::answer::within;
pub use self::dedicated::DedicatedPool;
pub(crate) use self::dedicated::{DedicatedDatabase, DedicatedPools};
pub(crate) use self::lease::{Lease, Mode};
pub use self::options::ConnectionOptions;
pub(crate) use self::own_indexes::OwnIndexCell;
pub(crate) use self::pool_database::{PoolDatabase, PoolDatabaseOptions};
pub(crate) use self::probe::{Answer, Probe, ProbePool, Ticket, text};
pub(crate) use self::scope_keys::KeySource;
pub(crate) use self::statement_log::StatementLog;
pub use self::statistics::PoolStatistics;
pub(crate) use self::transaction::search;
pub use self::transaction::{Isolation, TransactionOptions};

/// Where a client's statements go.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// A pool database: scoped.
    Pool(Arc<PoolDatabase>),
    /// The client's own: straight through.
    Dedicated(Arc<DedicatedDatabase>),
}
