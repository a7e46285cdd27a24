use serde::{Deserialize, Serialize};

pub(super) const SQL: &str = include_str!("keys.sql");

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Keys {
    pub(in crate::audit) indexes: Vec<Index>,
    pub(in crate::audit) foreign_keys: Vec<ForeignKey>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Index {
    /// The table.
    pub(in crate::audit) relation: i64,
    /// Schema and name, quoted.
    pub(in crate::audit) sql: String,
    /// The name, quoted.
    pub(in crate::audit) name: String,
    pub(in crate::audit) plain_name: String,
    pub(in crate::audit) method: String,
    pub(in crate::audit) primary: bool,
    pub(in crate::audit) unique: bool,
    pub(in crate::audit) exclusion: bool,
    pub(in crate::audit) valid: bool,
    pub(in crate::audit) constraint: Option<String>,
    /// Whether it is a part of its parent's index.
    pub(in crate::audit) of_partition: bool,
    /// `None` for an expression.
    pub(in crate::audit) columns: Vec<Option<String>>,
    /// Columns whose operators are not leakproof.
    pub(in crate::audit) not_leakproof: Vec<String>,
    pub(in crate::audit) predicate: Option<String>,
    pub(in crate::audit) definition: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct ForeignKey {
    /// The table that refers.
    pub(in crate::audit) relation: i64,
    pub(in crate::audit) name: String,
    /// The table that is referred to.
    pub(in crate::audit) to: i64,
    pub(in crate::audit) columns: Vec<String>,
    pub(in crate::audit) to_columns: Vec<String>,
    /// `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default.
    pub(in crate::audit) on_delete: String,
    pub(in crate::audit) on_update: String,
    /// The columns that `on delete` sets, where they are named.
    pub(in crate::audit) sets: Option<Vec<String>>,
    pub(in crate::audit) validated: bool,
    pub(in crate::audit) enforced: bool,
    pub(in crate::audit) definition: String,
}
