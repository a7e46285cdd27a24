use std::borrow::Cow;
use std::fmt::Write as _;

/// One condition on a column; conditions are joined by AND.
#[derive(Debug)]
pub(super) struct Filter<'t> {
    pub(super) column: Cow<'t, str>,
    pub(super) test: Test,
}

/// What a column is compared with; numbers are the places of bound values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Compare(Comparison, usize),
    AnyOf(usize),
    IsNull,
    IsNotNull,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparison {
    const fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

impl Test {
    /// Writes the condition on a column that the catalogue spelt.
    pub(super) fn write(self, sql: &mut String, column: &str) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Compare(comparison, at) => write!(sql, "{column} {} ${at}", comparison.sql()),
            Self::AnyOf(at) => write!(sql, "{column} = any (${at})"),
            Self::IsNull => write!(sql, "{column} is null"),
            Self::IsNotNull => write!(sql, "{column} is not null"),
        };
    }
}
