use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) const SQL: &str = include_str!("kernel.sql");

/// The kernel as it is in the database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::audit) struct KernelState {
    /// A hash for each function, table, constraint and trigger.
    pub(in crate::audit) lines: BTreeMap<String, String>,
    pub(in crate::audit) owners: Vec<Owner>,
    pub(in crate::audit) function_grants: Vec<FunctionGrant>,
    pub(in crate::audit) relation_grants: Vec<RelationGrant>,
}

#[expect(clippy::struct_field_names, reason = "an owner of a thing has a name")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Owner {
    pub(in crate::audit) thing: String,
    pub(in crate::audit) owner: String,
    pub(in crate::audit) superuser: bool,
    /// Whether it is a function that runs with the rights of its owner.
    pub(in crate::audit) definer: bool,
    pub(in crate::audit) of_database: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct FunctionGrant {
    pub(in crate::audit) function: String,
    pub(in crate::audit) to: String,
    /// Whether it is the app role itself, and neither PUBLIC nor a role that it can become.
    pub(in crate::audit) app: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct RelationGrant {
    pub(in crate::audit) relation: String,
    pub(in crate::audit) kind: String,
    pub(in crate::audit) to: String,
    pub(in crate::audit) right: String,
}
