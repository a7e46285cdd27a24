/// How two values compare; see [`compare`](super::TenantQuery::compare).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// Equal, or both null.
    Same,
    /// Not equal, or one of them null.
    Differs,
}

impl Compare {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Eq => " = ",
            Self::Ne => " <> ",
            Self::Lt => " < ",
            Self::Le => " <= ",
            Self::Gt => " > ",
            Self::Ge => " >= ",
            Self::Same => " is not distinct from ",
            Self::Differs => " is distinct from ",
        }
    }
}
