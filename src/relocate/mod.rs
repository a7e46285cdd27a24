//! Moving a client between databases with nothing lost.
//!
//! # The invariant
//!
//! At most one database serves a client, and every write that was acknowledged is in the one that does. The source
//! alone decides: it serves the client until the transaction commits in which it closes itself to it, and never after.
//! The target is opened after that commit, and where the target is nobody is told before it is open.
//!
//! # The order of commits
//!
//! 1. *platform*: that the client is being relocated, from where and to where.
//! 2. *source*: triggers that note the keys of rows that change, of this client alone, table by table.
//! 3. *target*: the rows of one snapshot of the source, table by table, each with a note that it has arrived; indexes.
//! 4. *target*, then *source*: what changed since, pass by pass; the source forgets what the target has.
//! 5. *source*, open: writers are kept out, by locks of one transaction that the server ends if this process dies.
//! 6. *target*: the last changes. *Platform*, open: where the client is served from now on, accepted by all rules.
//! 7. **source**: the transaction of 5 closes it to the client and commits. This moves the client.
//! 8. *target*: open to the client, under an epoch that was never used.
//! 9. *platform*: the transaction of 6 commits. Every process hears of it.
//!
//! Interrupted before 7, the source serves the client as before, and whoever resumes goes on from what the platform
//! and the target have noted. Interrupted between 7 and 9, the client is refused everywhere until it is resumed, which
//! does 6, 8 and 9 again, from the source as it was closed: what the target had written in 6 may not have been on its
//! disk. Whoever resumes ends the sessions of those before. Every session at either side checks as it begins
//! that its attempt is the latest, and so does every transaction that brings rows or opens; what the platform
//! database is told, it takes from the latest alone.

mod arrive;
mod attempt;
mod blockers;
mod capture;
mod carry;
mod certificate;
mod copying;
mod crossing;
mod cut_over;
mod differences;
mod ending;
mod finding;
mod following;
mod gate;
mod journal;
mod leftovers;
mod moving;
mod options;
mod patience;
mod phase;
mod plan;
mod progress;
mod relocation;
mod replay;
mod session;
mod set_aside;
mod settling;
mod status;
mod tables;
mod tending;
mod tier_change;
mod verify;

pub use self::certificate::{Certificate, CertifiedTable};
pub use self::differences::{DifferenceKind, Differences, RowDifference};
pub use self::finding::Finding;
pub use self::options::{RelocateTo, RelocationOptions};
pub use self::phase::Phase;
pub use self::plan::RelocationPlan;
pub use self::progress::RelocationProgress;
pub use self::relocation::Relocation;
pub use self::status::RelocationStatus;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: T) {}

    #[expect(dead_code, reason = "that it compiles is what it tests")]
    fn every_future_is_send(relocation: &Relocation, client: crate::ClientId, to: &RelocateTo) {
        is_send(relocation.plan(client, to));
        is_send(relocation.start(client, to));
        is_send(relocation.resume(client));
        is_send(relocation.follow_back(client));
        is_send(relocation.revert(client));
        is_send(relocation.cancel(client));
        is_send(relocation.complete(client));
        is_send(relocation.differences(client, None, 1));
        is_send(relocation.tend());
    }
}
