//! What an error amounts to for the caller.

use super::{Error, is_connection_failure};
use crate::secret::SecretError;

/// What an [`Error`] amounts to for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client is unknown, not served, not the caller's or not named: tell the caller so.
    Client,
    /// The client's plan does not allow it, or not yet: tell the caller so. [`Error::LimitReached`] says which tier
    /// would, [`Error::RateLimited`] when.
    Plan,
    /// For the moment: the same call may succeed if made again, from [`tenant`] on.
    ///
    /// [`tenant`]: crate::ClientConnectionManager::tenant
    Temporary,
    /// The call itself is wrong: mend the program. So is SQL that the database does not understand (SQLSTATE
    /// class 42, but for missing rights).
    Usage,
    /// The installation is wrong: mend the databases, credentials or configuration.
    Installation,
    /// A database refused a statement: by a constraint, which [`Error::Constraint`] names, for its values, or
    /// because it took longer than the statement timeout (SQLSTATE 57014), which it would again.
    Database,
    /// It is not known whether the statement took effect.
    Ambiguous,
}

impl Error {
    /// What the error amounts to for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownClient { .. }
            | Self::NotServed { .. }
            | Self::NoClientNamed
            | Self::MalformedName { .. }
            | Self::ConflictingNames { .. }
            | Self::NotEntitled { .. } => ErrorKind::Client,
            Self::LimitReached { .. } | Self::RateLimited { .. } => ErrorKind::Plan,
            Self::Moved { .. }
            | Self::Relocating { .. }
            | Self::Busy { .. }
            | Self::Unreachable { .. }
            | Self::WrongKey {
                source: SecretError::Unavailable { .. },
                ..
            } => ErrorKind::Temporary,
            Self::UnknownTable { .. }
            | Self::UnknownColumn { .. }
            | Self::UnknownFunction { .. }
            | Self::StatementRefused { .. }
            | Self::ForeignClient { .. }
            | Self::Encode { .. }
            | Self::TypeMismatch { .. }
            | Self::InvalidCursor { .. }
            | Self::CredentialRefused { .. }
            | Self::Closed => ErrorKind::Usage,
            Self::CommitUnknown { .. } => ErrorKind::Ambiguous,
            Self::RowNotFound { .. }
            | Self::Stale { .. }
            | Self::Refused { .. }
            | Self::OtherHosting { .. }
            | Self::ScopeRefused { .. }
            | Self::Hook { .. }
            | Self::Constraint { .. } => ErrorKind::Database,
            Self::Statement { source, .. } | Self::Platform { source, .. } => kind_of(source),
            Self::Portable { source, .. } => source.kind(),
            Self::Relocation { source, .. } => source.kind(),
            Self::Audit { source, .. } => source.kind(),
            Self::Footprint { source, .. } => source.kind(),
            Self::Seed { source, .. } => source.kind(),
            Self::Fleet { source, .. } => source.kind(),
            Self::DualStore { source, .. } => source.kind(),
            Self::Json { source, .. } => source.kind(),
            Self::Retrofit { source, .. } => source.kind(),
            Self::NoPoolWithRoom { .. }
            | Self::MissingCredential { .. }
            | Self::WrongKey { .. }
            | Self::Invalid { .. }
            | Self::UnsafeDatabase { .. }
            | Self::Unsupported { .. }
            | Self::SchemaTooOld { .. }
            | Self::Migration { .. } => ErrorKind::Installation,
        }
    }

    /// Whether the same call may succeed if made again, and making it again does no harm.
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::Temporary
    }
}

pub(super) fn kind_of(error: &sqlx::Error) -> ErrorKind {
    if is_connection_failure(error) {
        return ErrorKind::Ambiguous;
    }
    match error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
    {
        // Serialization failure, deadlock, lock not available: the transaction did nothing.
        Some(code) if matches!(&*code, "40001" | "40P01" | "55P03") => ErrorKind::Temporary,
        // Who may do what is no matter of the statement's text.
        Some(code) if code.starts_with("42") && code != "42501" => ErrorKind::Usage,
        _ if matches!(error, sqlx::Error::PoolTimedOut) => ErrorKind::Temporary,
        _ if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_)
        ) =>
        {
            ErrorKind::Usage
        }
        _ => ErrorKind::Database,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientId;

    #[test]
    fn a_lost_connection_is_ambiguous_and_not_retryable() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let error = Error::of_statement(ClientId::new(), "update agents", lost);
        assert_eq!(error.kind(), ErrorKind::Ambiguous);
        assert!(!error.is_retryable());
    }
}
