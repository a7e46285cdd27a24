use std::fmt;

use serde::{Serialize, Serializer};

use super::figure::Total;
use super::growth::Outgrowth;
use crate::client::{ClientId, ClientSlug, PoolId};
use crate::error::Error;
use crate::plan::TierName;

/// Where there is room, who has outgrown a pool, and what moving them would free. `Display` prints it as a table.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CapacityReport {
    /// The pools, in the order that they are filled in.
    pub pools: Vec<PoolCapacity>,
    /// Who has outgrown their pool, those who take most first.
    pub outgrown: Vec<Outgrown>,
    /// The pools of which nothing could be read, and why: nothing of the rest is about them.
    pub unread: Vec<UnreadPool>,
}

/// How full a pool is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PoolCapacity {
    /// The pool.
    pub pool: PoolId,
    /// Its name for people.
    pub name: String,
    /// Whether new clients are placed in it.
    pub active: bool,
    /// How many clients it takes.
    pub capacity: u32,
    /// How many it has.
    pub clients: u32,
    /// How many more it takes: none where it is not active.
    pub room: u32,
    /// What all files of the database take, those of shared tables and of the kernel included.
    pub bytes: u64,
    /// How many bytes are left to [`pool_bytes`](crate::GrowthBounds::pool_bytes); `None` where there is no bound.
    pub room_bytes: Option<u64>,
    /// What rows take of clients that are not placed there any more: to be had by completing relocations and erasing
    /// who was deleted.
    pub others: Total,
    /// The tables of which it is not known whose they are, since they were never analysed: what is said of clients
    /// leaves them out.
    pub unknown_tables: Vec<String>,
    /// The largest clients by their bytes, the largest first.
    pub largest: Vec<LargeClient>,
}

/// One of the largest clients of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LargeClient {
    /// The client.
    pub client: ClientId,
    /// Its name in host names and paths.
    #[serde(serialize_with = "as_text")]
    pub slug: ClientSlug,
    /// All its rows.
    pub rows: Total,
    /// All its bytes.
    pub bytes: Total,
    /// Which part that is of the bytes of its database, from 0 to 1.
    pub share: f64,
}

/// A client that has outgrown its pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outgrown {
    /// The pool that it is in.
    pub pool: PoolId,
    /// Who, how large, and which part of its pool.
    #[serde(flatten)]
    pub client: LargeClient,
    /// Its tier.
    pub tier: TierName,
    /// What it has outgrown, one entry a bound.
    pub by: Vec<Outgrowth>,
    /// What moving it would free.
    pub frees: Freed,
    /// The lowest tier of the catalogue that has a database of its own; `None` where none has.
    pub dedicated_tier: Option<TierName>,
    /// The other pools that have room for it, in the order that they are filled in. It may outgrow them as well.
    pub pools_with_room: Vec<PoolId>,
}

/// What moving a client frees.
///
/// Nothing is freed before [`Relocation::complete`](crate::Relocation::complete) removes its rows. What they took is then
/// used again by others once the tables were vacuumed, and stays in the files: the disk has it back only where
/// `vacuum full` or the like writes a table anew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Freed {
    /// How many bytes, for others to use.
    pub bytes: Total,
    /// Which part that is of the bytes of the database, from 0 to 1.
    pub share: f64,
    /// How many bytes of the database are in use then.
    pub leaves: u64,
}

/// A pool of which nothing could be read.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct UnreadPool {
    /// The pool.
    pub pool: PoolId,
    /// Its name for people.
    pub name: String,
    /// Why.
    #[serde(serialize_with = "as_text")]
    pub error: Error,
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl fmt::Display for CapacityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pools = vec![["pool", "clients", "room", "bytes", "room for", "largest"].map(str::to_owned)];
        pools.extend(self.pools.iter().map(|pool| {
            let largest = pool.largest.first().map(|client| {
                let LargeClient { slug, share, .. } = client;
                format!("{slug} {:.1} %", share * 100.0)
            });
            [
                pool.name.clone(),
                format!("{}/{}", pool.clients, pool.capacity),
                if pool.active {
                    pool.room.to_string()
                } else {
                    "closed".to_owned()
                },
                size(pool.bytes),
                pool.room_bytes.map_or_else(|| "-".to_owned(), size),
                largest.unwrap_or_else(|| "-".to_owned()),
            ]
        }));
        columns(f, &pools)?;
        for pool in &self.pools {
            if pool.others.amount > 0 {
                let (name, others) = (&pool.name, size(pool.others.amount));
                writeln!(
                    f,
                    "{name}: about {others} are of clients that are not placed there"
                )?;
            }
            if !pool.unknown_tables.is_empty() {
                let (name, tables) = (&pool.name, pool.unknown_tables.join(", "));
                writeln!(f, "{name}: never analysed, and left out: {tables}")?;
            }
        }
        for UnreadPool { name, error, .. } in &self.unread {
            writeln!(f, "{name}: not read: {error}")?;
        }
        if self.outgrown.is_empty() {
            return writeln!(f, "\nnobody has outgrown a pool");
        }
        writeln!(f)?;
        let name = |pool: &PoolId| {
            let known = self.pools.iter().find(|other| other.pool == *pool);
            known.map_or_else(|| pool.to_string(), |pool| pool.name.clone())
        };
        let mut rows =
            vec![["outgrown", "pool", "rows", "frees", "of it", "could go to", "by"].map(str::to_owned)];
        rows.extend(self.outgrown.iter().map(|outgrown| {
            let tier = outgrown.dedicated_tier.iter().map(|tier| format!("tier {tier}"));
            let to: Vec<String> = tier.chain(outgrown.pools_with_room.iter().map(name)).collect();
            let by: Vec<String> = outgrown.by.iter().map(ToString::to_string).collect();
            [
                outgrown.client.slug.to_string(),
                name(&outgrown.pool),
                outgrown.client.rows.to_string(),
                size(outgrown.frees.bytes.amount),
                format!("{:.1} %", outgrown.frees.share * 100.0),
                if to.is_empty() {
                    "-".to_owned()
                } else {
                    to.join(", ")
                },
                by.join("; "),
            ]
        }));
        columns(f, &rows)?;
        writeln!(
            f,
            "what is freed is for others to use after a vacuum; the files keep it until a table is written anew"
        )
    }
}

/// In lines, each column as wide as its widest.
fn columns<const N: usize>(f: &mut fmt::Formatter<'_>, lines: &[[String; N]]) -> fmt::Result {
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|at| width(at).unwrap_or_default()).collect();
    for line in lines {
        let padded = line
            .iter()
            .zip(&widths)
            .map(|(text, width)| format!("{text:width$}"));
        writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// With the largest unit that it has ten of.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, shift)| bytes >> shift >= 10);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, shift)| format!("{} {unit}", bytes >> shift),
    )
}
