//! The way of a client's records from an old store into PostgreSQL, with nothing lost.
//!
//! # Which store decides
//!
//! | phase | answers, and decides | is written as well |
//! |---|---|---|
//! | setup | old | – |
//! | dual write | old | new |
//! | dual read | old, compared with new | new |
//! | cut over | new | old |
//! | clean up | new | – |
//!
//! A write is acknowledged when the store that decides, the truth, has it.
//!
//! # What is noted, and when
//!
//! 1. *platform*: the key is held for the session, the phase is read, and a note of the write commits: one round trip.
//! 2. **truth**: the write. It is acknowledged, whatever follows.
//! 3. *second store*: the same.
//! 4. *platform*: the note goes, or says why the second store does not have it; the key is let go of.
//!
//! Whoever dies between 1 and 4 leaves the note. It is repaired by state: the key is held again, and what the truth has
//! *then* is copied to the second store. So writes, repairs, imports and comparisons of one key never overlap, in any
//! process, and the last copy is of what is there; nothing that was deleted comes back. Of a write that died it is not
//! known when it is over: a server may still be at its statement. Its note stays until it is so old that it is.
//!
//! Of why the second store does not have a record, kind, SQLSTATE and constraint are kept: what a store says itself may
//! quote the record. Of records that differ so many are kept by key, for each store of a client; that there are more is a
//! mark, which holds a cut over up and goes with a comparison in full that is clean.
//!
//! # Phases, in several processes
//!
//! Writers hear the phase in step 1, as it is. Readers remember it for a second. The truth changes only between two
//! phases that write both stores, after an announcement that lasts longer than any reader remembers, and in a
//! transaction that lets no write begin and finds no note: both stores have the same at that moment, as far as they were
//! compared before. The database refuses any step but to a neighbour, and any from the last phase, in which the old
//! store grows stale. Back from dual write to the setup nothing is lost either, but the new store grows stale: it is to
//! be reconciled and compared anew.
//!
//! # What this cannot do
//!
//! A store that says late that it took a write, after it was given up, may undo a later one: `settled_after` is to be longer
//! than that. Writes past this type are not noted; a comparison in full finds them. A process that is frozen between 1 and 2 for so
//! long that its note is settled, wakes up, writes, and dies before it says so, leaves a difference that only a comparison
//! finds.

mod changing;
mod comparing;
mod copying;
mod divergence;
#[expect(clippy::module_inception, reason = "the type that the folder is about")]
mod dual_store;
mod hold;
mod journal;
mod json;
mod memory;
mod options;
mod owed;
mod phase;
mod postgres;
mod queue;
mod record;
mod repository;
mod status;
mod worker;

pub use self::comparing::Comparison;
pub use self::copying::Copied;
pub use self::divergence::{ComparisonStatistics, Divergence, DivergenceKind};
pub use self::dual_store::DualStore;
pub use self::journal::PendingRepair;
pub use self::json::{
    ImportedFile, JsonBackup, JsonImport, JsonImported, JsonLayout, JsonRepository, OnBadRecord, OnChanged,
    Verified,
};
pub use self::options::DualStoreOptions;
pub use self::phase::{StorePhase, UnknownStorePhase};
pub use self::postgres::PostgresRepository;
pub use self::record::Record;
pub use self::repository::Repository;
pub use self::status::DualStoreStatus;
