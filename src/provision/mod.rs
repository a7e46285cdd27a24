//! Setting up pools and clients: between the platform database and the database that serves them.

mod alone;
mod change;
mod client;
mod client_setup;
mod database_provisioner;
mod erase;
mod events;
mod plan;
mod pool;
mod portable;
mod provisioning;
mod server_databases;
mod stock;
mod tiers;
pub(crate) mod vectors;

pub use self::client::NewClient;
pub use self::client_setup::ClientSetup;
pub use self::database_provisioner::{DatabaseProvisioner, DedicatedUrls, HookError};
pub(crate) use self::erase::removal;
pub use self::erase::{EraseOptions, EraseReport};
pub use self::events::{ClientEvent, ClientEventKind, EventSink};
pub use self::pool::NewPool;
pub use self::portable::{
    ExportOptions, ExportReport, RestoreInto, RestoreOptions, RestoreReport, TableRows,
};
pub(crate) use self::portable::{advance_to as advance_sequence, session};
pub use self::provisioning::{Approval, Provisioning, UnfinishedProvision};
pub use self::server_databases::ServerDatabases;
pub use self::tiers::AppliedTiers;
pub use self::vectors::{Promoted, VectorIndex};
