use futures_core::stream::BoxStream;

use crate::client::{ClientId, PoolId};
use crate::error::Result;
use crate::plan::TierName;

/// Something that changed in a directory, after the change was committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// A client: its record, names, credentials or keys; or it was created or deleted.
    Client(ClientId),
    /// A pool database: its connection, binding, scope key or capacity.
    Pool(PoolId),
    /// A tier, and with it what each of its clients may do.
    Tier(TierName),
    /// Anything may have.
    Everything,
}

/// The changes of a directory, from the moment on that it was given.
///
/// An error, or its end, says that later changes are not told: whoever follows asks for another, and trusts
/// nothing that was read before that one was given.
pub type Changes = BoxStream<'static, Result<Change>>;
