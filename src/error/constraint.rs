//! Which constraint refused what was written.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

/// What a constraint demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConstraintKind {
    /// No other row has these values. SQLSTATE 23505.
    Unique,
    /// The row that is pointed at exists, and stays for as long as it is. SQLSTATE 23503 and 23001.
    ForeignKey,
    /// The condition of a table or domain holds, or a partition takes the row. SQLSTATE 23514.
    Check,
    /// The column has a value. SQLSTATE 23502.
    NotNull,
    /// No other row overlaps with this one. SQLSTATE 23P01.
    Exclusion,
}

impl fmt::Display for ConstraintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unique => "unique constraint",
            Self::ForeignKey => "foreign key",
            Self::Check => "check constraint",
            Self::NotNull => "not-null constraint",
            Self::Exclusion => "exclusion constraint",
        })
    }
}

/// A constraint that was violated, by the names that the database gave. None of them is of a row.
pub(super) struct Violation {
    pub(super) kind: ConstraintKind,
    pub(super) constraint: Option<String>,
    pub(super) table: Option<String>,
}

impl Violation {
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let kind = match error.code() {
            "23505" => ConstraintKind::Unique,
            "23503" | "23001" => ConstraintKind::ForeignKey,
            "23514" => ConstraintKind::Check,
            "23502" => ConstraintKind::NotNull,
            "23P01" => ConstraintKind::Exclusion,
            _ => return None,
        };
        let constraint = match kind {
            ConstraintKind::NotNull => error.column().or(error.constraint()),
            _ => error.constraint(),
        };
        Some(Self {
            kind,
            constraint: constraint.map(str::to_owned),
            table: error.table().map(str::to_owned),
        })
    }
}

/// The constraint by name and table, as far as the database told.
pub(super) fn named(kind: ConstraintKind, constraint: Option<&str>, table: Option<&str>) -> String {
    let of = match kind {
        ConstraintKind::NotNull => "on column ",
        _ => "",
    };
    let mut text = kind.to_string();
    for (before, name) in [(of, constraint), ("of table ", table)] {
        if let Some(name) = name {
            text.extend([" ", before, name]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_is_named_as_far_as_it_is_known() {
        for (kind, constraint, table, text) in [
            (
                ConstraintKind::Unique,
                Some("agents_client_id_slug_key"),
                Some("agents"),
                "unique constraint agents_client_id_slug_key of table agents",
            ),
            (
                ConstraintKind::NotNull,
                Some("name"),
                Some("agents"),
                "not-null constraint on column name of table agents",
            ),
            (
                ConstraintKind::Check,
                Some("email_check"),
                None,
                "check constraint email_check",
            ),
            (
                ConstraintKind::Check,
                None,
                Some("events"),
                "check constraint of table events",
            ),
            (ConstraintKind::ForeignKey, None, None, "foreign key"),
        ] {
            assert_eq!(named(kind, constraint, table), text);
        }
    }
}
