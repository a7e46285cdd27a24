//! Attacks on a pool database: two scratch clients, of which one tries to reach the other by everything that the app
//! role can say.
//!
//! Rows of both are made up from the catalogue and are in one transaction each time, bound to one client after the
//! other, which is rolled back: no row is ever committed. First the one client is seen to see its own row; only then
//! is the other seen not to. What is asked through views and functions is asked twice, without and with the other
//! client's rows: they must make no difference.

mod arena;
mod attacks;
mod attempt;
mod attempting;
mod conditions;
mod failure;
mod functions;
mod ground;
mod options;
mod reads;
mod relations;
mod report;
mod residue;
mod rows;
mod scope;
mod scratch;
mod tables;
mod tickets;
mod values;
mod watch;
mod writes;

pub use self::attacks::Attacks;
pub use self::options::{AttackOptions, Attacked};
pub use self::report::AttackReport;
