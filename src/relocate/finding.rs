use std::fmt;

/// Something that a plan found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A table that is neither the clients' nor declared to be something else: its rows would be forgotten.
    UnclassifiedTable {
        /// Source or target.
        side: &'static str,
        /// The table, with its schema.
        table: String,
    },
    /// The other side has no such table.
    MissingTable {
        /// The side that lacks it.
        side: &'static str,
        /// The table, with its schema.
        table: String,
    },
    /// The other side's table has no such column.
    MissingColumn {
        /// The side that lacks it.
        side: &'static str,
        /// The table, with its schema.
        table: String,
        /// The column.
        column: String,
    },
    /// A column has another type there.
    TypeDiffers {
        /// The table, with its schema.
        table: String,
        /// The column.
        column: String,
        /// Its type on the source.
        source: String,
        /// Its type on the target.
        target: String,
    },
    /// A constraint is on one side alone. Rows may be refused there, or lose what protected them.
    ConstraintDiffers {
        /// The side that lacks it.
        side: &'static str,
        /// The table, with its schema.
        table: String,
        /// The constraint, as it is defined, without the client.
        constraint: String,
    },
    /// No key tells the client's rows apart, the same on both sides: what changes cannot be followed.
    NoKey {
        /// The table, with its schema.
        table: String,
    },
    /// The admin role does not own the table.
    NotOwned {
        /// Source or target.
        side: &'static str,
        /// The table, with its schema.
        table: String,
    },
    /// Triggers of the host would run on rows that arrive, in a database that others use: there they cannot be
    /// silenced without the right to set `session_replication_role`.
    TriggersRun {
        /// Source or target.
        side: &'static str,
        /// The table, with its schema.
        table: String,
        /// The triggers.
        triggers: Vec<String>,
    },
    /// The target has rows of the client already.
    NotEmpty {
        /// The table, with its schema.
        table: String,
    },
    /// Rows of the client refer to rows of a table that does not move along, and that are not at the target.
    MissingReferences {
        /// The table of the client, with its schema.
        table: String,
        /// The foreign key of the target.
        constraint: String,
        /// How many rows are not there, of the first 1,000 that are referred to.
        rows: i64,
    },
    /// The target pool takes no more clients.
    NoRoom,
    /// The app role has rights on the source that cannot be taken from it: it owns tables, or is a superuser.
    RightsRemain {
        /// The role.
        role: String,
    },
    /// A role of an old application is bound to the client here: finish its [retrofit](crate::Retrofit) first.
    Bridged {
        /// The role.
        role: String,
    },
    /// Others are connected to the target database: what they write there would be taken for the client's.
    ForeignSessions {
        /// How many.
        sessions: i64,
    },
    /// The database has no kernel of this version: apply it.
    NoKernel {
        /// Source or target.
        side: &'static str,
    },
}

impl Finding {
    /// Whether it stops the relocation; the others are to be known.
    pub const fn stops(&self) -> bool {
        !matches!(
            self,
            Self::ConstraintDiffers { .. } | Self::NoKey { .. } | Self::ForeignSessions { .. }
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnclassifiedTable { side, table } => write!(
                f,
                "table {table} of the {side} is neither the clients' nor shared: protect it, share it or leave it out"
            ),
            Self::MissingTable { side, table } => {
                write!(
                    f,
                    "the {side} has no table {table}: apply the same migrations to both"
                )
            }
            Self::MissingColumn { side, table, column } => write!(
                f,
                "table {table} of the {side} has no column {column}: apply the same migrations to both"
            ),
            Self::TypeDiffers {
                table,
                column,
                source,
                target,
            } => write!(
                f,
                "column {column} of table {table} is {source} on the source and {target} on the target: make them the same"
            ),
            Self::ConstraintDiffers {
                side,
                table,
                constraint,
            } => write!(f, "table {table} of the {side} lacks: {constraint}"),
            Self::NoKey { table } => write!(
                f,
                "table {table} has no key that is the same on both sides: it moves while its writers wait; give it one to follow its changes"
            ),
            Self::NotOwned { side, table } => {
                write!(
                    f,
                    "the admin role does not own table {table} of the {side}: make it the owner"
                )
            }
            Self::TriggersRun {
                side,
                table,
                triggers,
            } => write!(
                f,
                "triggers of table {table} of the {side} would run on rows that arrive ({}): grant set on parameter session_replication_role to its admin role",
                triggers.join(", ")
            ),
            Self::NotEmpty { table } => write!(
                f,
                "table {table} of the target has rows of the client already: remove them"
            ),
            Self::MissingReferences {
                table,
                constraint,
                rows,
            } => write!(
                f,
                "table {table} refers by {constraint} to {rows} rows or more that the target does not have: copy them there"
            ),
            Self::NoRoom => {
                f.write_str("the target pool takes no more clients: raise its capacity or choose another")
            }
            Self::RightsRemain { role } => write!(
                f,
                "rights of role {role} on the source cannot be taken from it: let it own nothing and be no superuser"
            ),
            Self::Bridged { role } => write!(
                f,
                "role {role} of an old application is bound to the client on the source: finish its retrofit first"
            ),
            Self::ForeignSessions { sessions } => write!(
                f,
                "{sessions} sessions of others are connected to the target database: what they write would be taken for the client's"
            ),
            Self::NoKernel { side } => write!(f, "the {side} has no kernel, or an older one: apply it"),
        }
    }
}
