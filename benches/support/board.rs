//! The lines of the scoreboard.

#![expect(clippy::print_stdout, reason = "prints the scoreboard")]

pub(crate) fn heading() {
    println!("{:<58} {:>34}  {:>9}  ", "name", "measured", "target");
}

/// A target, and whether it is met.
pub(crate) fn line(name: &str, measured: &str, target: &str, holds: bool) {
    let verdict = if holds { "ok" } else { "short" };
    println!("{name:<58} {measured:>34}  {target:>9}  {verdict}");
}

/// What has no target.
pub(crate) fn fact(name: &str, measured: &str) {
    println!("{name:<58} {measured:>34}");
}
