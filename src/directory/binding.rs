use std::fmt;
use std::str::FromStr;

/// How statements on a pool database are bound to their client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The connection stays bound between statements: one round trip where it served the client last, two
    /// where not. For connections straight to the server.
    #[default]
    Session,
    /// Every statement is bound in a transaction of its own, and nothing outlives it: three round trips for a
    /// write, two for a read, and one more where the statement has to be prepared. For connections through
    /// PgBouncer in transaction mode, Supavisor and their like, where two transactions of one connection may
    /// run in two sessions of the server.
    Transaction,
}

impl Binding {
    /// The binding as the platform database spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}

impl FromStr for Binding {
    type Err = UnknownBinding;

    fn from_str(text: &str) -> Result<Self, UnknownBinding> {
        match text {
            "session" => Ok(Self::Session),
            "transaction" => Ok(Self::Transaction),
            other => Err(UnknownBinding(other.to_owned())),
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no [`Binding`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a binding: session or transaction")]
pub struct UnknownBinding(String);
