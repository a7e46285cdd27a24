//! What a client may do: its tier, limits and features. Pure data, no I/O.

mod allowance;
mod guards;
mod tier;

pub use self::allowance::{Features, Limits};
pub(crate) use self::guards::Guards;
pub use self::tier::{Hosting, TierName, UnknownHosting};
