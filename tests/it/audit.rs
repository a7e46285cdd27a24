//! Whether the auditor is sound: it names what is planted, and nothing else.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod catalogue;
mod detection;
mod doors;
mod others;
mod plans;
mod planting;
mod weaknesses;
