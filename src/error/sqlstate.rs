//! What an error of sqlx means: by its SQLSTATE, where the server answered.

use super::constraint::Violation;
use super::{Error, RetrofitError, SeedError};
use crate::client::{ClientId, ClientStatus};

impl Error {
    /// The name of the constraint that refused the statement; of the column, where that is to have a value.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { constraint, .. } => constraint.as_deref(),
            _ => self.database()?.constraint(),
        }
    }

    /// The SQLSTATE that PostgreSQL answered with.
    pub fn sqlstate(&self) -> Option<String> {
        self.database()?.code().map(Into::into)
    }

    fn database(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::Statement { source, .. }
            | Self::Constraint { source, .. }
            | Self::Platform { source, .. }
            | Self::TypeMismatch { source, .. }
            | Self::CommitUnknown { source, .. }
            | Self::Unreachable { source, .. }
            | Self::Retrofit {
                source: RetrofitError::Statement(source),
                ..
            } => source.as_database_error(),
            Self::Seed { source, .. } => match &**source {
                SeedError::Statement { source, .. } => source.as_database_error(),
                _ => None,
            },
            Self::Fleet { source, .. } => source.database(),
            _ => None,
        }
    }

    /// What an error of sqlx means that a statement in a [`TenantTx`](crate::TenantTx) of this client gave.
    ///
    /// A refusal of the transaction itself comes back as it was, those of the kernel become
    /// [`Moved`](Self::Moved), [`NotServed`](Self::NotServed), [`Relocating`](Self::Relocating) and
    /// [`ScopeRefused`](Self::ScopeRefused), one of a constraint is a [`Constraint`](Self::Constraint), anything else
    /// a [`Statement`](Self::Statement).
    ///
    /// ```no_run
    /// # use tenantry::{Error, TenantDb};
    /// # async fn example(acme: TenantDb) -> tenantry::Result<()> {
    /// let mut tx = acme.begin().await?;
    /// let touched = sqlx::query("update agents set updated_at = now()").execute(&mut tx).await;
    /// touched.map_err(|error| Error::from_sqlx(acme.client().id, error))?;
    /// tx.commit().await
    /// # }
    /// ```
    pub fn from_sqlx(client: ClientId, error: sqlx::Error) -> Self {
        Self::of_statement(client, "a statement of the host", error)
    }

    /// The error of a statement sent for a client: the kernel's own refusals become what they mean.
    pub(crate) fn of_statement(client: ClientId, step: impl Into<String>, source: sqlx::Error) -> Self {
        // An executor of ours answers in sqlx's error type; this takes back out what it put in.
        let source = match source {
            sqlx::Error::AnyDriverError(inner) => match inner.downcast::<Self>() {
                Ok(ours) => return *ours,
                Err(other) => sqlx::Error::AnyDriverError(other),
            },
            source => source,
        };
        let refused = |reason: &dyn sqlx::error::DatabaseError| Self::ScopeRefused {
            client,
            step: "a statement",
            reason: reason.message().to_owned(),
        };
        match source
            .as_database_error()
            .and_then(|error| Some((error.code()?, error)))
        {
            Some((code, _)) if code == "TN001" => Self::Moved { client },
            Some((code, _)) if code == "TN002" => Self::NotServed {
                client,
                status: ClientStatus::Suspended,
            },
            Some((code, _)) if code == "TN003" => Self::Relocating { client },
            Some((code, error)) if code == "TN004" || code == "TN005" => refused(error),
            _ => match Violation::of(&source) {
                Some(violation) => Self::Constraint {
                    client,
                    kind: violation.kind,
                    constraint: violation.constraint,
                    table: violation.table,
                    step: step.into(),
                    source: source.into(),
                },
                None => Self::Statement {
                    client,
                    step: step.into(),
                    source: source.into(),
                },
            },
        }
    }

    /// This error as the error type that sqlx's executor trait demands.
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        sqlx::Error::AnyDriverError(Box::new(self))
    }
}

/// Whether the connection, not the statement, is what failed.
pub(crate) fn is_connection_failure(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        // Class 08, and the codes of a server that ends the session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            let ends = ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"];
            code.starts_with("08") || ends.contains(&&*code)
        }),
        _ => false,
    }
}

/// Whether the transaction gave way to another, or to a relocation, and did nothing: run from its start, it may
/// succeed. Not one that waited for a lock as long as it may: it would wait as long again.
pub(crate) fn is_overtaken(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "40001" | "40P01" | "TN001" | "TN003"))
}

/// Whether the role has not the right.
pub(crate) fn is_denied(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("42501")
}

/// Whether it was refused because an earlier statement of its transaction had failed.
pub(crate) fn is_of_failed_transaction(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("25P02")
}

/// Whether the kernel says that the session is not bound to a client that is served here, if to any.
pub(crate) fn is_lost_scope(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "TN001" | "TN005" | "55000"))
}

/// Whether the kernel refused, for whatever reason.
pub(crate) fn is_of_kernel(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("TN00") || code == "55000")
}

/// Whether a statement without a name was destroyed before it was run; see where types are learnt, in the
/// connections of a pool database.
pub(crate) fn is_lost_statement(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("26000")
}

/// Whether the database says that types do not go together: no such operator or function, a column of another type,
/// no such conversion, or a type that it cannot tell.
pub(crate) fn is_of_types(error: &Error) -> bool {
    let code = error.sqlstate();
    code.is_some_and(|code| matches!(&*code, "42883" | "42804" | "42846" | "42P18"))
}

/// Whether the socket refused the bytes: the server has not seen the end of the message, and so did nothing.
pub(crate) fn was_never_sent(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_survives_the_error_type_of_sqlx() {
        let client = ClientId::new();
        let inside = Error::StatementRefused {
            client,
            what: "commit".into(),
            reason: "control",
        }
        .into_sqlx();
        let outside = Error::of_statement(client, "execute", inside);
        assert!(matches!(outside, Error::StatementRefused { .. }), "{outside:?}");
    }
}
