//! The targets of the control plane, and how they stand: one line each, `name  measured  target  ok|short`.
//!
//! Run it with `cargo bench --bench directory`; it takes about a minute and a half. With `-- --quick`, or `-- --test`
//! as criterion has it, every line is measured for an instant only: that shows that it works and nothing else.
//!
//! Names of parts after the `--` measure those alone: `memory`, `cached`, `demand`, `provisioning`, `changes`.
//!
//! Times of nanoseconds are medians of short batches, each beside one of look-ups in a bare cache of moka's. A change is
//! timed from its commit until the last of three other processes sees it, by name and by a handle that it holds;
//! nothing but hearing of the change can bring it there within the hour. `deaf` is with every listener killed in the
//! moment of the change.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use support::board::heading;
use support::town::Town;
use support::{demand, memory, observers, provisioned, remembered, runtime};

fn main() {
    let runtime = runtime();
    // The other processes of this bench are itself.
    if let Some(part) = support::town::Part::assigned() {
        match part.role.as_str() {
            memory::ROLE => memory::fill(&part),
            _ => runtime.block_on(observers::observe(&part)),
        }
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");
    let all = arguments.iter().all(|argument| argument.starts_with("--"));
    let measures = |part: &str| all || has(part);
    heading();
    let town = runtime.block_on(Town::found());
    if measures("memory") {
        memory::cached_clients(&town, quick);
    }
    if measures("cached") {
        remembered::look_ups(&runtime, &town, quick);
    }
    runtime.block_on(async {
        if measures("demand") {
            demand::one_look_up().await;
            demand::one_round_trip().await;
        }
        if measures("provisioning") {
            provisioned::latency(if quick { 3 } else { 100 }).await;
            provisioned::last_place().await;
        }
        if measures("changes") {
            observers::changes(town, if quick { 1 } else { 100 }).await;
        } else {
            town.close().await;
        }
    });
}
