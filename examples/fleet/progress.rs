//! A bar for people, and a line for each thing that they should know of.

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use tenantry::{FleetEvent, FleetEvents, FleetReport};

use super::Outcome;

/// Goes through a run, and shows how far it is.
pub(super) async fn show(mut events: FleetEvents) -> Outcome<FleetReport> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    while let Some(event) = events.next().await {
        match event? {
            FleetEvent::Began { pending, .. } => bar.set_length(pending as u64),
            FleetEvent::RingBegan { ring, pending } => {
                bar.set_message(ring.clone());
                bar.suspend(|| println!("  {ring}: {pending} to look at"));
            }
            FleetEvent::Migrated {
                database,
                set,
                version,
                direction,
                elapsed,
            } => bar.suspend(|| println!("    {database}: {set} {version} {direction} in {elapsed:.1?}")),
            FleetEvent::DatabaseDone { .. } => bar.inc(1),
            FleetEvent::DatabaseDeferred { database, why } => {
                bar.inc(1);
                bar.suspend(|| println!("    {database} waits: {why}"));
            }
            FleetEvent::DatabaseFailed { database, error } => {
                bar.inc(1);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                bar.suspend(|| println!("    {database} failed: {}", cause.unwrap_or_default()));
            }
            FleetEvent::Ended(report) => {
                bar.finish_and_clear();
                return Ok(report);
            }
            _ => {}
        }
    }
    Err("the run ended without a report".into())
}
