//! A run over the fleet, ring by ring.

use std::sync::Arc;
use std::time::Instant;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::database::Listed;
use super::event::FleetEvent;
use super::fleet::Fleet;
use super::ledger;
use super::options::OnFailure;
use super::report::{DeferredDatabase, FailedDatabase, FleetEnd, FleetReport};
use super::ring;
use super::sets::Way;
use super::turn::Outcome;
use crate::error::Result;

/// A run that has begun.
pub(super) struct Run {
    pub(super) fleet: Fleet,
    pub(super) way: Way,
    pub(super) id: Uuid,
    pub(super) tell: mpsc::Sender<FleetEvent>,
}

/// Goes through the fleet. Who calls it is alone.
pub(super) fn go(
    fleet: Fleet,
    way: Way,
    tell: mpsc::Sender<FleetEvent>,
) -> BoxFuture<'static, Result<FleetReport>> {
    Box::pin(go_through(fleet, way, tell))
}

async fn go_through(fleet: Fleet, way: Way, tell: mpsc::Sender<FleetEvent>) -> Result<FleetReport> {
    let began = Instant::now();
    let rings = ring::divide(&fleet.options.rings, ledger::list(&fleet.platform).await?)?;
    let databases = rings.iter().map(|(_, members)| members.len()).sum();
    let rings: Vec<_> = rings
        .into_iter()
        .map(|(name, members)| (name, pending(&fleet, way, members)))
        .collect();
    let pending = rings.iter().map(|(_, pending)| pending.len()).sum();
    let _ = tell.send(FleetEvent::Began { databases, pending }).await;
    let mut report = FleetReport::of_nothing(databases - pending);
    if pending > 0 {
        let target = match way {
            Way::Up => fleet.sets.host.newest(),
            Way::Down { to } => Some(to),
        };
        let id = ledger::begin(&fleet.platform, way, target, pending).await?;
        report.run = Some(id);
        let platform = fleet.platform.clone();
        let run = Arc::new(Run { fleet, way, id, tell });
        let gone = run.rings(rings, &mut report).await;
        report.elapsed = began.elapsed();
        // The run is told to have ended where it did, whatever ended it.
        let end = if gone.is_err() {
            FleetEnd::Stopped
        } else {
            report.end.clone()
        };
        let noted = ledger::end(&platform, id, &end, &report).await;
        gone?;
        noted?;
    }
    report.elapsed = began.elapsed();
    tracing::info!(
        direction = %way.direction(),
        end = report.end.as_str(),
        done = report.done.len(),
        current = report.current,
        failed = report.failed.len(),
        deferred = report.deferred.len(),
        "a run over the fleet ended"
    );
    Ok(report)
}

/// Those that are not known to be there. Those that failed the last time come first.
pub(super) fn pending(fleet: &Fleet, way: Way, members: Vec<Listed>) -> Vec<Listed> {
    let is_there = |listed: &Listed| {
        let known = listed.known.as_ref();
        known.is_some_and(|known| fleet.sets.is_there(way, listed.database.of, known))
    };
    let mut pending: Vec<_> = members.into_iter().filter(|listed| !is_there(listed)).collect();
    pending.sort_by_key(|listed| listed.failure.is_none());
    pending
}

impl Run {
    async fn rings(
        self: &Arc<Self>,
        rings: Vec<(String, Vec<Listed>)>,
        report: &mut FleetReport,
    ) -> Result<()> {
        let mut rings = rings.into_iter();
        while report.end == FleetEnd::Completed
            && let Some((name, members)) = rings.next()
        {
            if members.is_empty() {
                continue;
            }
            self.tell(FleetEvent::RingBegan {
                ring: name.clone(),
                pending: members.len(),
            })
            .await;
            self.ring(&name, members, report).await?;
        }
        report.not_begun += rings.map(|(_, members)| members.len()).sum::<usize>();
        Ok(())
    }

    /// So many at once, until all are through or too many failed. Those under way end in any case.
    async fn ring(
        self: &Arc<Self>,
        name: &str,
        members: Vec<Listed>,
        report: &mut FleetReport,
    ) -> Result<()> {
        let options = &self.fleet.options;
        let size = members.len();
        let mut waiting = members.into_iter();
        let mut under_way = FuturesUnordered::new();
        let (mut failed, mut lost) = (0, None);
        loop {
            while lost.is_none()
                && report.end == FleetEnd::Completed
                && under_way.len() < options.at_once
                && let Some(next) = waiting.next()
            {
                under_way.push(Arc::clone(self).boxed(next));
            }
            let Some(ended) = under_way.next().await else {
                break;
            };
            let (database, outcome) = match ended {
                Ok(ended) => ended,
                // The platform: what it is not told, it cannot know.
                Err(error) => {
                    lost.get_or_insert(error);
                    continue;
                }
            };
            match outcome {
                Outcome::Done(0) => report.current += 1,
                Outcome::Done(_) => report.done.push(database),
                Outcome::Deferred(why) => report.deferred.push(DeferredDatabase { database, why }),
                Outcome::Failed(error) => {
                    failed += 1;
                    report.failed.push(FailedDatabase { database, error });
                    if options.on_failure == OnFailure::Stop {
                        report.end = FleetEnd::Stopped;
                    } else if exceeds(failed, size, options.pause_above) {
                        report.end = FleetEnd::Paused {
                            ring: name.to_owned(),
                        };
                    }
                }
            }
        }
        report.not_begun += waiting.count();
        lost.map_or(Ok(()), Err)
    }

    pub(super) async fn tell(&self, event: FleetEvent) {
        // Nobody who listens is nobody to tell.
        let _ = self.tell.send(event).await;
    }
}

/// Whether more of a ring failed than may.
#[expect(clippy::cast_precision_loss, reason = "a fleet has fewer databases than that")]
fn exceeds(failed: usize, size: usize, part: f64) -> bool {
    failed as f64 > part * size as f64
}
