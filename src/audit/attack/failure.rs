use crate::error::{AuditError, Error};

/// The error of a step on the database.
pub(super) fn statement_failed(database: &str, step: &str) -> impl Fn(sqlx::Error) -> Error {
    let (database, step) = (database.to_owned(), step.to_owned());
    move |source| Error::Audit {
        database: database.clone(),
        source: AuditError::Statement {
            step: step.clone(),
            source: source.into(),
        },
    }
}
