//! Whether clients are kept apart: what is wrong with pool databases by their catalogue, and how to mend it.
//!
//! `catalogue` reads a database once, `checks` are pure functions over what was read, by theme. A report is text, JSON,
//! SARIF, and the SQL that mends what was found. `plans` looks at how statements of a client are run. `attack` has one
//! client try to reach another.

mod attack;
mod catalogue;
mod checks;
mod finding;
mod fingerprint;
mod isolation;
mod options;
mod plans;
mod report;
mod sarif;
mod text;

pub use self::attack::{AttackOptions, AttackReport, Attacked, Attacks};
pub use self::finding::{AuditFinding, AuditSeverity, UnknownAuditSeverity};
pub use self::fingerprint::{AuditFingerprint, InvalidFingerprint};
pub use self::isolation::IsolationAudit;
pub use self::options::AuditOptions;
pub use self::plans::lint_plans;
pub use self::report::{AuditReport, AuditedDatabase, UnreadDatabase};
