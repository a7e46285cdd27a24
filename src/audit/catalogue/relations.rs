use serde::{Deserialize, Serialize};

pub(super) const SQL: &str = include_str!("relations.sql");

/// A table, partition, view, foreign table or sequence of the host's.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Relation {
    pub(in crate::audit) oid: i64,
    /// Schema and name, quoted.
    pub(in crate::audit) sql: String,
    pub(in crate::audit) kind: Kind,
    pub(in crate::audit) owner: String,
    pub(in crate::audit) owner_superuser: bool,
    /// Whether the owner owns the database as well, or is a superuser.
    pub(in crate::audit) owner_trusted: bool,
    pub(in crate::audit) rls: bool,
    pub(in crate::audit) forced: bool,
    pub(in crate::audit) partition: bool,
    pub(in crate::audit) parents: Vec<i64>,
    pub(in crate::audit) invoker: bool,
    pub(in crate::audit) client: Option<ClientColumn>,
    /// The table that the sequence belongs to.
    pub(in crate::audit) sequence_of: Option<i64>,
    /// Tables whose defaults take from the sequence.
    pub(in crate::audit) used_by: Vec<i64>,
    pub(in crate::audit) grants: Vec<Right>,
    pub(in crate::audit) policies: Vec<Policy>,
    pub(in crate::audit) triggers: Vec<Trigger>,
    pub(in crate::audit) rules: Vec<String>,
    pub(in crate::audit) reads: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::audit) enum Kind {
    #[serde(rename = "r")]
    Table,
    #[serde(rename = "p")]
    Partitioned,
    #[serde(rename = "v")]
    View,
    #[serde(rename = "m")]
    MaterializedView,
    #[serde(rename = "f")]
    Foreign,
    #[serde(rename = "S")]
    Sequence,
}

/// Its column `client_id`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct ClientColumn {
    #[serde(rename = "type")]
    pub(in crate::audit) type_name: String,
    pub(in crate::audit) not_null: bool,
    pub(in crate::audit) generated: bool,
    pub(in crate::audit) default: Option<String>,
}

/// A right on it of anybody but its owner, superusers and the owner of the database.
#[expect(clippy::struct_field_names, reason = "as the catalogue names them")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Right {
    pub(in crate::audit) to: String,
    /// `app` where the app role is or can become that role, `public`, or `other`.
    pub(in crate::audit) who: String,
    pub(in crate::audit) right: String,
    pub(in crate::audit) grantable: bool,
    pub(in crate::audit) column: Option<String>,
}

impl Right {
    /// Whether the app role has it.
    pub(in crate::audit) fn of_app(&self) -> bool {
        self.who != "other"
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Policy {
    pub(in crate::audit) name: String,
    pub(in crate::audit) permissive: bool,
    /// `*`, or `r`, `a`, `w`, `d`.
    pub(in crate::audit) command: String,
    pub(in crate::audit) roles: Vec<String>,
    /// Whether the app role, or one that it can become, is held by it.
    pub(in crate::audit) reaches_app: bool,
    pub(in crate::audit) using: Option<String>,
    pub(in crate::audit) check: Option<String>,
    pub(in crate::audit) functions: Vec<PolicyFunction>,
    /// Other tables that it reads.
    pub(in crate::audit) reads: Vec<String>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct PolicyFunction {
    pub(in crate::audit) sql: String,
    pub(in crate::audit) kernel: bool,
    pub(in crate::audit) extension: bool,
    pub(in crate::audit) volatility: String,
    pub(in crate::audit) parallel: String,
    pub(in crate::audit) definer: bool,
    pub(in crate::audit) pinned: bool,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Trigger {
    pub(in crate::audit) name: String,
    pub(in crate::audit) internal: bool,
    /// `O` as it should be, `D` disabled, `R` for replication alone, `A` always.
    pub(in crate::audit) enabled: String,
    pub(in crate::audit) function: String,
    pub(in crate::audit) of_kernel: bool,
    pub(in crate::audit) definer: bool,
    pub(in crate::audit) pinned: bool,
    pub(in crate::audit) sets_client: bool,
}

impl Relation {
    pub(in crate::audit) fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Table | Kind::Partitioned)
    }

    /// Rights that the app role has, by itself, through a role that it can become, or with everybody.
    pub(in crate::audit) fn app_rights(&self) -> impl Iterator<Item = &Right> {
        self.grants.iter().filter(|right| right.of_app())
    }

    /// Whether the app role can do anything with its rows.
    pub(in crate::audit) fn is_reached(&self) -> bool {
        self.app_rights().any(|right| {
            matches!(
                right.right.as_str(),
                "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE"
            )
        })
    }
}
