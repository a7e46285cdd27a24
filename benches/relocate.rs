//! What it costs to relocate a client, beside the ways that others have.
//!
//! Run it with `cargo bench --bench relocate`; it takes about ten minutes. Parts can be named: `large`, `often`,
//! `capture`. Rows are real, and so are the writers: what was acknowledged to them is counted at the end.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use support::board::heading;
use support::runtime;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");
    let parts = ["large", "often", "capture"];
    let all = !parts.iter().any(|part| has(part));
    heading();
    runtime().block_on(async {
        if all || has("capture") {
            support::captured::measure(quick).await;
        }
        if all || has("often") {
            support::often_moved::measure(quick).await;
        }
        if all || has("large") {
            support::moved::measure(quick).await;
        }
    });
}
