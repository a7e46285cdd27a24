//! What the benches share: clients to ask for data, the same work written by hand, and measuring one beside
//! the other.

#![allow(dead_code, unused_imports, reason = "each bench uses a part of it")]

mod backend;
pub(crate) mod board;
pub(crate) mod built;
pub(crate) mod bulk;
pub(crate) mod cached;
pub(crate) mod captured;
mod chunks;
mod contestant;
mod crew;
mod crowd;
pub(crate) mod demand;
pub(crate) mod embeddings;
mod interleaved;
pub(crate) mod memory;
pub(crate) mod moved;
pub(crate) mod movers;
pub(crate) mod observers;
pub(crate) mod often_moved;
mod parts;
pub(crate) mod provisioned;
pub(crate) mod remembered;
pub(crate) mod retrofitted;
pub(crate) mod scope_targets;
pub(crate) mod search_targets;
pub(crate) mod searched;
mod stage;
pub(crate) mod town;

pub(crate) use self::contestant::{Contestant, Statement};
pub(crate) use self::interleaved::{Budget, Samples, alternate, contest, contest_turns};
pub(crate) use self::stage::{Network, Stage, runtime};
