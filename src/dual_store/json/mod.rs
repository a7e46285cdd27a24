//! JSON files of records: as a store of their own, on their way into another, and their backup.
//!
//! | file | what it has |
//! |---|---|
//! | `json_file` | reads and locks a file, and puts another in its place |
//! | `scanner` | finds where each record of a file begins and ends |
//! | `parsed` | what a record is, or what is wrong with it, without its values |
//! | `contents` | a file as a whole, for the repository |
//! | `reading` | a file batch by batch, for the import |

mod backup;
mod contents;
mod import;
mod imported;
mod json_file;
mod json_repository;
mod layout;
mod manifest;
mod parsed;
mod reading;
mod scanner;

pub use self::backup::JsonBackup;
pub use self::import::{JsonImport, OnBadRecord, OnChanged};
pub use self::imported::{ImportedFile, JsonImported, Verified};
pub use self::json_repository::JsonRepository;
pub use self::layout::JsonLayout;
