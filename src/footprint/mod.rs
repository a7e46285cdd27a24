//! What clients take up, and where there is room.

mod client_footprint;
mod counting;
mod dividing;
mod figure;
mod footprints;
mod growth;
mod options;
mod placed;
mod report;
mod reporting;
mod session;
mod statistics;

pub use self::client_footprint::{Footprint, LatestChange, PoolFootprint, PoolTable, TableFootprint};
pub use self::figure::{Figure, Total};
pub use self::footprints::Footprints;
pub use self::growth::{GrowthBounds, Outgrowth};
pub use self::options::FootprintOptions;
pub use self::report::{CapacityReport, Freed, LargeClient, Outgrown, PoolCapacity, UnreadPool};
