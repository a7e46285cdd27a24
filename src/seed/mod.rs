//! Seeding: clients and rows that are to be there, described in JSON, and had to be there.
//!
//! What is described is held against what is there, row by row, by natural key; then what is missing is added and what
//! differs is changed, in the columns that are described. So it may be done again, by anybody, and after a crash.
//!
//! The order of commits: each client in the platform database; the shared rows of each database, by its admin role;
//! the rows of each client, in its own scope, by its app role. Tables come behind those that they refer to. One
//! process at a time seeds a client or the shared rows of a database; where that ends in the middle, or somebody else
//! adds the same rows, `on conflict` keeps each from being added twice.

mod batch;
mod bound;
mod cell;
mod client;
mod conn;
mod data_set;
mod order;
mod plan;
mod references;
mod report;
mod rows;
mod secret_file;
mod secret_form;
mod secret_source;
mod seeding;
mod shared;
mod work;

pub use self::data_set::DataSet;
pub use self::report::{
    SeedFinding, SeedFindingKind, SeedReport, SeedVerification, SeededTable, VerifiedTable,
};
pub use self::secret_file::SecretFile;
pub use self::secret_form::SecretForm;
pub use self::secret_source::{EnvironmentSecrets, SecretSource};
pub use self::seeding::{Extra, Seed, SharedRows};
