use super::ErrorKind;

/// Why a client could not be relocated, or not yet.
///
/// Where the client is served does not change with any of them. No variant holds a value of a row.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RelocationError {
    /// What was found before a row was touched stands against it.
    #[error("the plan has findings that stop it: {}", findings.join("; "))]
    Stopped {
        /// Each finding as text.
        findings: Vec<String>,
    },
    /// The client is not being relocated.
    #[error("it is not being relocated")]
    NotUnderWay,
    /// It is being relocated already: go on with that, or cancel it.
    #[error("it is being relocated already, and {phase}")]
    UnderWay {
        /// How far it is.
        phase: String,
    },
    /// What was asked for is not possible in this phase.
    #[error("{what} is not possible: it is {phase}")]
    OutOfPhase {
        /// What was asked for.
        what: &'static str,
        /// How far it is.
        phase: String,
    },
    /// Another process is at it, also after a second, or took it over.
    #[error("another process is at it")]
    Taken,
    /// The tables of a database changed after the plan was made: cancel it and plan anew.
    #[error("the tables of the {side} database are not those of the plan any more")]
    SchemaChanged {
        /// Source or target.
        side: &'static str,
    },
    /// What arrived is not what left.
    #[error("table {table} differs on both sides: {reason}")]
    ContentDiffers {
        /// The table, with its schema.
        table: String,
        /// How it differs.
        reason: String,
    },
    /// Transactions in flight did not end in time: those of the client, or of anybody who writes to a table whose
    /// triggers are made. They go on where they were.
    #[error("transactions in flight did not end in time: {}", blockers.join("; "))]
    NotDrained {
        /// The sessions that were waited for, each by its pid, its state and the age of its transaction.
        blockers: Vec<String>,
    },
    /// Writers were kept out for as long as the budget allows, and not done with: they go on where they were.
    #[error("the last changes did not arrive within the budget")]
    OverBudget,
    /// Changes come faster than they arrive.
    #[error("changes come faster than they arrive: {left} are left after {passes} passes")]
    FallsBehind {
        /// How many passes were made.
        passes: u32,
        /// How many keys were left.
        left: u64,
    },
    /// The tier does not allow what the client has.
    #[error("tier {tier} does not fit: {}", reasons.join("; "))]
    DoesNotFit {
        /// The tier that was asked for.
        tier: String,
        /// What exceeds it, each with the use and the limit.
        reasons: Vec<String>,
    },
}

impl RelocationError {
    /// Whether keeping writers out failed, which may do better another time.
    pub(crate) const fn is_of_the_fence(&self) -> bool {
        matches!(self, Self::NotDrained { .. } | Self::OverBudget)
    }

    pub(super) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Stopped { .. } | Self::SchemaChanged { .. } | Self::ContentDiffers { .. } => {
                ErrorKind::Installation
            }
            Self::NotUnderWay | Self::UnderWay { .. } | Self::OutOfPhase { .. } => ErrorKind::Usage,
            Self::Taken | Self::NotDrained { .. } | Self::OverBudget | Self::FallsBehind { .. } => {
                ErrorKind::Temporary
            }
            Self::DoesNotFit { .. } => ErrorKind::Plan,
        }
    }
}
