//! Who a client is: its identity, the names it goes by, its status and its record.

mod id;
mod name;
mod record;
mod reference;
mod status;
mod text;

pub use self::id::{ClientId, PoolId};
pub use self::name::{ClientDomain, ClientKey, ClientSlug, ExternalRef, InvalidName};
pub use self::record::{ClientRecord, Epoch, Placement};
pub use self::reference::ClientRef;
pub use self::status::{ClientStatus, UnknownStatus};
