//! Making the tables of an application that had one client those of many, while it goes on.
//!
//! # The invariants
//!
//! - Until the tables are switched, the old application sees no difference but one more column. Old and new keys hold
//!   both, and every row that is written has its client, by a constant default or by triggers.
//! - A row is protected before the app role may see it: the rights on a table come in the transaction that forces
//!   row-level security, and so do the keys by client, which no longer find a row by its id alone.
//! - No row gets a client that no rule has for it.
//! - Whoever waits for a table lets those behind it pass again after one turn of some milliseconds, and under the lock
//!   nothing is done that reads or writes rows.
//! - Every step is written down before the first one is done, and what it did is noted in the transaction that does it.
//!   An index that is built beside its writers is in no transaction: it is noted as begun before, and found by its name
//!   and validity after. So each step is done once, and undone if and only if it was done.
//!
//! # The way back
//!
//! Steps are undone from the last to the first. Three come first of all where tables are protected: tenants write no
//! more; no row may be anybody's but whom the rules would give it again; the old keys are built. Any of them that
//! refuses leaves everything as it was.

mod assign;
mod backfill;
mod catalogue;
mod compose;
mod composing;
mod finding;
mod inspect;
mod journal;
mod legacy_calls;
mod options;
mod phase;
mod plan;
#[expect(clippy::module_inception, reason = "the concept has the name of its folder")]
mod retrofit;
mod session;
mod status;
mod step;
mod steps;

pub use self::assign::Assign;
pub use self::finding::RetrofitFinding;
pub use self::legacy_calls::{DeprecationHook, LegacyCall, LegacyCaller, LegacyCalls};
pub use self::options::{HostTriggers, RetrofitOptions};
pub use self::phase::{RetrofitPhase, RetrofitState};
pub use self::plan::{PlannedStep, RetrofitPlan};
pub use self::retrofit::Retrofit;
pub use self::status::RetrofitStatus;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: T) {}

    #[expect(dead_code, reason = "that it compiles is what it tests")]
    fn every_future_is_send(retrofit: &Retrofit) {
        is_send(retrofit.plan());
        is_send(retrofit.start());
        is_send(retrofit.resume());
        is_send(retrofit.protect());
        is_send(retrofit.finish());
        is_send(retrofit.rollback());
        is_send(retrofit.status());
    }
}
