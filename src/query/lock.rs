/// How rows that are read are locked; see [`lock`](super::TenantQuery::lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLock {
    /// Against any change, and against being locked by others.
    Update,
    /// As for an update that leaves the keys as they are.
    NoKeyUpdate,
    /// Against any change; others may share it.
    Share,
    /// Against deletion and change of the keys.
    KeyShare,
}

/// What is done about rows that others have locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// Waits, at most for the lock timeout.
    Wait,
    /// Fails at once.
    Fail,
    /// Passes over them, as workers on a queue do.
    Skip,
}

impl RowLock {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Update => " for update",
            Self::NoKeyUpdate => " for no key update",
            Self::Share => " for share",
            Self::KeyShare => " for key share",
        }
    }
}

impl LockWait {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Wait => "",
            Self::Fail => " nowait",
            Self::Skip => " skip locked",
        }
    }
}
