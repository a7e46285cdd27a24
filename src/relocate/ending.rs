//! The ends of a relocation: given up, gone back, or complete.

use super::gate;
use super::moving::{Direction, Moving};
use super::phase::Phase;
use super::relocation::{Relocation, out_of_phase};
use super::{leftovers, set_aside};
use crate::error::Result;

impl Relocation {
    /// Removes what arrived at the target, and notes that it is where it was.
    pub(super) async fn clear_away(&self, moving: &mut Moving, there: &Direction) -> Result<()> {
        if moving.entry.phase() != Phase::Cancelling {
            moving.entry.advance(&self.platform, Phase::Cancelling).await?;
        }
        let mut source = there.source.connect().await?;
        let (capture, wait) = (&moving.capture, self.options.trigger_wait);
        capture.remove(&there.source, &mut source, wait).await?;
        let mut target = there.target.connect().await?;
        capture.remove(&there.target, &mut target, wait).await?;
        leftovers::remove(
            &there.target,
            &mut target,
            &there.there,
            self.options.removal_batch,
        )
        .await?;
        set_aside::make_again(&there.target, &mut target).await?;
        gate::forget(&there.source, &mut source).await?;
        // A database of its own remembers what it took from whom: nobody may write to it before it is opened again.
        if there.target.is_pool() {
            gate::forget(&there.target, &mut target).await?;
        }
        let ended = if moving.entry.was_moved {
            Phase::Reverted
        } else {
            Phase::Cancelled
        };
        moving.entry.advance(&self.platform, ended).await
    }

    pub(super) async fn finish(&self, moving: &mut Moving, there: &Direction) -> Result<()> {
        let phase = moving.entry.phase();
        if !matches!(phase, Phase::Moved | Phase::Completing) {
            return Err(out_of_phase(moving.client, "to complete it", phase));
        }
        if phase == Phase::Moved {
            if self.options.verify_in_full && !moving.entry.compared_in_full {
                return Err(out_of_phase(moving.client, "to complete it uncompared", phase));
            }
            moving.entry.advance(&self.platform, Phase::Completing).await?;
        }
        let (capture, wait) = (&moving.capture, self.options.trigger_wait);
        let mut target = there.target.connect().await?;
        capture.remove(&there.target, &mut target, wait).await?;
        let mut source = there.source.connect().await?;
        capture.remove(&there.source, &mut source, wait).await?;
        if there.source.is_pool() {
            leftovers::remove(
                &there.source,
                &mut source,
                &there.here,
                self.options.removal_batch,
            )
            .await?;
            gate::forget(&there.source, &mut source).await?;
        }
        gate::forget(&there.target, &mut target).await?;
        moving.entry.advance(&self.platform, Phase::Completed).await
    }
}
