use serde::{Deserialize, Serialize};

pub(super) const SQL: &str = include_str!("functions.sql");

/// A function or procedure of the host's.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct HostFunction {
    /// With its schema and the types of its arguments, quoted.
    pub(in crate::audit) sql: String,
    pub(in crate::audit) owner: String,
    pub(in crate::audit) owner_superuser: bool,
    pub(in crate::audit) owner_bypasses: bool,
    pub(in crate::audit) procedure: bool,
    pub(in crate::audit) definer: bool,
    pub(in crate::audit) volatility: String,
    pub(in crate::audit) parallel: String,
    pub(in crate::audit) leakproof: bool,
    pub(in crate::audit) language: String,
    pub(in crate::audit) trusted: bool,
    /// Whether its search path is its own.
    pub(in crate::audit) pinned: bool,
    /// Whether names in it were looked up when it was made.
    pub(in crate::audit) sql_body: bool,
    pub(in crate::audit) temp_last: bool,
    /// The names of those that it sets.
    pub(in crate::audit) settings: Vec<String>,
    pub(in crate::audit) row_security_off: bool,
    /// Whether the app role may call it.
    pub(in crate::audit) callable: bool,
    pub(in crate::audit) trigger: bool,
    /// Whether it asks who is bound, or for a setting.
    pub(in crate::audit) reads_scope: bool,
    /// A hash of its body.
    pub(in crate::audit) source: String,
}
