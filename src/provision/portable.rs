//! One client as a file: taken out of its database, and put into another.

mod copy_client;
mod export;
mod file;
mod heading;
pub(super) mod reach;
mod restore;
mod sequences;
pub(crate) mod session;
mod staged;
mod target;

pub use self::export::{ExportOptions, ExportReport};
pub use self::heading::TableRows;
pub use self::restore::{RestoreInto, RestoreOptions, RestoreReport};
pub(crate) use self::sequences::advance_to;
