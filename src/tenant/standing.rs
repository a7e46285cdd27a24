use crate::error;

/// How a transaction stands, by what its last statements were answered.
///
/// A failed transaction answers nothing but refusals until it goes back to a savepoint; the first answer after
/// that shows that it did, so it stands well again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Well,
    /// It failed for a reason that the same statements would meet again.
    Failed,
    /// It gave way to another transaction, or to a relocation: from the start, it may succeed.
    Overtaken,
    /// It was denied a right. The database of a client that has left denies all.
    Denied,
    /// Its connection was lost.
    Lost,
}

impl Standing {
    /// Takes note of an answer, or of its failing.
    pub(super) fn note<T>(&mut self, answered: &sqlx::Result<T>) {
        *self = match answered {
            _ if *self == Self::Lost => Self::Lost,
            Ok(_) => Self::Well,
            Err(failed) if error::is_connection_failure(failed) => Self::Lost,
            Err(failed) if error::is_overtaken(failed) => Self::Overtaken,
            Err(failed) if error::is_of_failed_transaction(failed) => *self,
            Err(failed) if error::is_denied(failed) => Self::Denied,
            Err(sqlx::Error::Database(_)) => Self::Failed,
            // Nothing that the server said.
            Err(_) => *self,
        };
    }
}
