use std::fmt;

use crate::client::ClientId;

/// Something that a plan found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetrofitFinding {
    /// No such table is there to be retrofitted.
    NoSuchTable {
        /// The table as it was named.
        table: String,
    },
    /// The table is partitioned, a partition, foreign, or inherits.
    NotPlain {
        /// The table, with its schema.
        table: String,
    },
    /// The admin role does not own the table.
    NotOwned {
        /// The table, with its schema.
        table: String,
    },
    /// The admin role is held by row-level security itself, and could not see all rows again.
    AdminIsHeld,
    /// The table has a column `client_id` already.
    HasClientColumn {
        /// The table, with its schema.
        table: String,
    },
    /// The table has row-level security or policies of its own.
    HasPolicies {
        /// The table, with its schema.
        table: String,
    },
    /// The table has no primary key: nothing tells its rows apart but all of their values.
    NoPrimaryKey {
        /// The table, with its schema.
        table: String,
    },
    /// A key becomes one per client. `on conflict` with its columns does not find it from the switch on.
    KeyPerClient {
        /// The table, with its schema.
        table: String,
        /// The constraint or index.
        key: String,
        /// Whether it is a constraint, which `on conflict on constraint` finds.
        constraint: bool,
    },
    /// The foreign key leads to a table that is neither retrofitted nor shared.
    LeadsOutside {
        /// The table, with its schema.
        table: String,
        /// The foreign key.
        constraint: String,
        /// Where it leads.
        to: String,
    },
    /// A foreign key of a table that is not retrofitted leads to one that is.
    ReferredFromOutside {
        /// The table that refers, with its schema.
        table: String,
        /// The foreign key.
        constraint: String,
        /// Where it leads.
        to: String,
    },
    /// `on delete set null` becomes one that names its columns, so that it leaves the client alone.
    SetsNull {
        /// The table, with its schema.
        table: String,
        /// The foreign key.
        constraint: String,
    },
    /// What cannot be made per client, or not be made again as it was.
    Unsupported {
        /// The table, with its schema.
        table: String,
        /// What it is.
        what: String,
    },
    /// Others than its owner read the table past row-level security: by a view with its owner's rights, or by a
    /// materialized view.
    SeenThrough {
        /// The table, with its schema.
        table: String,
        /// The view.
        view: String,
    },
    /// Triggers of the host fire when rows get their client.
    TriggersFire {
        /// The table, with its schema.
        table: String,
        /// The triggers.
        triggers: Vec<String>,
    },
    /// A column takes its values from a sequence that is not its own: the app role gets no right on it.
    SequenceOfNobody {
        /// The table, with its schema.
        table: String,
        /// The sequence.
        sequence: String,
    },
    /// Other roles have rights on the table, and no client: protected, it refuses them.
    OtherRole {
        /// The table, with its schema.
        table: String,
        /// The role.
        role: String,
    },
    /// The rule's column is not there, or of a type whose texts do not tell its values apart.
    NoSuchColumn {
        /// The table, with its schema.
        table: String,
        /// The column.
        column: String,
    },
    /// The rule's foreign key does not lead to one row of a table that is retrofitted.
    NoSuchParent {
        /// The table, with its schema.
        table: String,
        /// The foreign key.
        constraint: String,
    },
    /// Rows match no rule.
    Unmatched {
        /// The table, with its schema.
        table: String,
        /// How many.
        rows: i64,
        /// The primary keys of some of them, as JSON.
        sample: Vec<String>,
    },
    /// The client is not served by this database.
    ClientNotHere {
        /// The client.
        client: ClientId,
    },
    /// The role of the old application would not be held by row-level security.
    UnsafeRole {
        /// The role.
        role: String,
        /// Why not.
        reason: String,
    },
}

impl RetrofitFinding {
    /// Whether it stops the retrofit; the others are to be known.
    pub const fn stops(&self) -> bool {
        !matches!(
            self,
            Self::NoPrimaryKey { .. }
                | Self::KeyPerClient { .. }
                | Self::SetsNull { .. }
                | Self::SequenceOfNobody { .. }
                | Self::OtherRole { .. }
        )
    }
}

impl fmt::Display for RetrofitFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchTable { table } => write!(f, "there is no table {table} to be retrofitted"),
            Self::NotPlain { table } => write!(
                f,
                "table {table} is partitioned, a partition, foreign or inherits: make it plain, share it or leave it out"
            ),
            Self::NotOwned { table } => {
                write!(f, "the admin role does not own table {table}: make it the owner")
            }
            Self::AdminIsHeld => write!(f, "the admin role has no BYPASSRLS: grant it"),
            Self::HasClientColumn { table } => {
                write!(f, "table {table} has a column client_id already: rename it")
            }
            Self::HasPolicies { table } => write!(
                f,
                "table {table} has row-level security of its own: drop its policies and disable it"
            ),
            Self::NoPrimaryKey { table } => write!(f, "table {table} has no primary key"),
            Self::KeyPerClient {
                table,
                key,
                constraint: true,
            } => write!(
                f,
                "key {key} of table {table} becomes one per client: have upserts say on conflict on constraint {key}"
            ),
            Self::KeyPerClient { table, key, .. } => write!(
                f,
                "unique index {key} of table {table} becomes one per client: upserts cannot name it by its columns any more"
            ),
            Self::LeadsOutside {
                table,
                constraint,
                to,
            } => write!(
                f,
                "foreign key {constraint} of table {table} leads to table {to}: retrofit that as well, or share it"
            ),
            Self::ReferredFromOutside {
                table,
                constraint,
                to,
            } => write!(
                f,
                "foreign key {constraint} of table {table} leads to table {to}: retrofit both or neither"
            ),
            Self::SetsNull { table, constraint } => write!(
                f,
                "foreign key {constraint} of table {table} will name the columns that it sets to null"
            ),
            Self::Unsupported { table, what } => {
                write!(f, "table {table}: {what} cannot be made per client and back")
            }
            Self::SeenThrough { table, view } => write!(
                f,
                "view {view} shows the rows of table {table} past row-level security: make it security_invoker, or revoke it"
            ),
            Self::TriggersFire { table, triggers } => write!(
                f,
                "triggers of table {table} fire when rows get their client ({}): disable them, or allow it",
                triggers.join(", ")
            ),
            Self::SequenceOfNobody { table, sequence } => write!(
                f,
                "sequence {sequence} of table {table} is owned by no column: own it, or grant usage on it to the app role"
            ),
            Self::OtherRole { table, role } => write!(
                f,
                "role {role} has rights on table {table} and no client: bridge it, or expect it to be refused"
            ),
            Self::NoSuchColumn { table, column } => write!(
                f,
                "table {table} has no column {column} of text, integers, UUIDs or an enum"
            ),
            Self::NoSuchParent { table, constraint } => write!(
                f,
                "table {table} has no foreign key {constraint} to another table that is retrofitted"
            ),
            Self::Unmatched { table, rows, .. } => write!(f, "table {table}: {rows} rows match no rule"),
            Self::ClientNotHere { client } => write!(
                f,
                "client {client} is not served by this database: create it, or relocate it here"
            ),
            Self::UnsafeRole { role, reason } => write!(f, "role {role} cannot be bridged: {reason}"),
        }
    }
}
