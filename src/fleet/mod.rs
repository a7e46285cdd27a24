//! All pool and dedicated databases, brought to one version of the host's migrations and of the kernel.
//!
//! # The order of commits
//!
//! 1. *platform*: that a run began; of each database, as its turn comes, that it is not known any more what it has.
//! 2. *data database*, under the lock that all of sqlx's migrators take: each migration with the note that it is
//!    applied, in one transaction. One that runs without a transaction is noted as half applied before it begins, and
//!    as applied once it ended.
//! 3. *data database*: the version that it says it has. Before a roll back it is lowered instead, and told, before the
//!    first migration goes.
//! 4. *platform*: what the database has now, what was done to it, how long it took and why it ended there. Every process
//!    hears of it.
//!
//! Killed anywhere, the database's own ledger of migrations is right, and the platform says that it does not know: the
//! next run looks, writes into the log what it finds there, and goes on. What the platform knows to be current is not
//! connected to.

mod database;
mod event;
mod failure;
mod finding;
#[expect(clippy::module_inception, reason = "one concept a file")]
mod fleet;
mod history;
mod ledger;
mod options;
mod plan;
mod report;
mod ring;
mod run;
mod sets;
mod settling;
mod status;
mod step;
mod turn;
mod visit;

pub use self::database::FleetDatabase;
pub use self::event::{FleetEvent, FleetEvents};
pub use self::finding::{FleetDrift, FleetFinding};
pub use self::fleet::Fleet;
pub use self::history::{FleetEntry, MigrationDirection};
pub use self::options::{FleetOptions, OnFailure};
pub use self::plan::{FleetPlan, PlannedDatabase, PlannedMigration};
pub use self::report::{Deferral, DeferredDatabase, FailedDatabase, FleetEnd, FleetReport};
pub use self::ring::Ring;
pub use self::settling::Settled;
pub use self::status::{DatabaseStatus, FleetStatus};
