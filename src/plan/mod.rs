//! What a client may do: its tier, limits, features and settings. Pure data, no I/O.

mod allowance;
mod catalogue;
mod grace;
mod guards;
mod name;
mod presets;
mod settings;
mod tier;

pub use self::allowance::{Features, Limits};
pub use self::catalogue::{InvalidCatalog, TierCatalog};
pub use self::grace::Grace;
pub(crate) use self::guards::Guards;
pub use self::name::{Feature, InvalidPlanName, Limit};
pub use self::settings::Settings;
pub use self::tier::{Hosting, Tier, TierName, UnknownHosting};
