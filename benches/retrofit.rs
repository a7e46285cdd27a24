//! What it costs to make a table that of many clients while it is written to, beside doing it in one go.
//!
//! Run it with `cargo bench --bench retrofit`; it takes some minutes. The rows are real, and so is the writer: what was
//! acknowledged to it is counted at the end.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use support::board::heading;
use support::runtime;

fn main() {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");
    heading();
    runtime().block_on(support::retrofitted::measure(quick));
}
