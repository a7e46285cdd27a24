//! Whose a table is, by its statistics, for all clients of a database at once.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::client_footprint::{PoolTable, TableFootprint};
use super::figure::Parts;
use super::session::Session;
use super::statistics::{Leaf, Rows};
use crate::error::Result;

/// So many partitions are asked in one statement which clients they may have rows of.
const BOUNDS_AT_ONCE: usize = 200;

/// The tables of a pool, and what of them each of the clients has that were asked for.
#[derive(Debug)]
pub(super) struct Divided {
    pub(super) tables: Vec<PoolTable>,
    /// In the order that they were asked for in.
    pub(super) clients: Vec<Vec<TableFootprint>>,
}

/// Divides the tables among the clients that are placed there, and tells what `of` have.
pub(super) async fn divide(
    session: &mut Session,
    leaves: &[Leaf],
    placed: &[Uuid],
    of: &[Uuid],
) -> Result<Divided> {
    let bounds = within_bounds(session, leaves, placed).await?;
    let mut divided = Divided {
        tables: Vec::new(),
        clients: vec![Vec::new(); of.len()],
    };
    // An index of a leaf leads to its bounds.
    let numbered: Vec<(usize, &Leaf)> = leaves.iter().enumerate().collect();
    for table in numbered.chunk_by(|(_, one), (_, other)| one.root == other.root) {
        let mut parts = vec![(Parts::default(), Parts::default()); of.len()];
        let mut all = Parts::default();
        let (mut rest, mut rest_bytes) = Default::default();
        for (at, leaf) in table {
            match leaf.rows() {
                Rows::None => {}
                Rows::About(rows) => all.estimate(rows, 0.0, leaf.analysed()),
                Rows::Unknown => all.unknown(),
            }
            let within = bounds.get(at);
            let may_have = |client: &Uuid| within.is_none_or(|within| within.contains(client));
            let present: Vec<Uuid> = placed.iter().copied().filter(may_have).collect();
            let division = leaf.divide(&present);
            division.add_rest(&present, &mut rest, &mut rest_bytes);
            for (client, (rows, bytes)) in of.iter().zip(&mut parts) {
                if may_have(client) {
                    division.add(*client, rows, bytes);
                }
            }
        }
        let Some((_, first)) = table.first() else {
            continue;
        };
        for ((rows, bytes), tables) in parts.into_iter().zip(&mut divided.clients) {
            tables.push(TableFootprint {
                table: first.name.clone(),
                rows: rows.figure(),
                bytes: bytes.figure(),
            });
        }
        divided.tables.push(PoolTable {
            table: first.name.clone(),
            rows: all.figure(),
            bytes: table.iter().map(|(_, leaf)| leaf.bytes()).sum(),
            others_rows: rest.figure(),
            others_bytes: rest_bytes.figure(),
            changed_since: table.iter().map(|(_, leaf)| leaf.changed_since()).sum(),
        });
    }
    Ok(divided)
}

/// Which of the clients may have rows in each partition, where its bounds tell.
async fn within_bounds(
    session: &mut Session,
    leaves: &[Leaf],
    clients: &[Uuid],
) -> Result<HashMap<usize, HashSet<Uuid>>> {
    let bounded: Vec<(usize, &str)> = (leaves.iter().enumerate())
        .filter_map(|(at, leaf)| Some((at, leaf.bound.as_deref()?)))
        .collect();
    let mut within: HashMap<usize, HashSet<Uuid>> =
        bounded.iter().map(|(at, _)| (*at, HashSet::new())).collect();
    for some in bounded.chunks(BOUNDS_AT_ONCE) {
        let asked: Vec<String> = (some.iter())
            .map(|(at, bound)| {
                format!(
                    "select {at}::int8, client_id from unnest($1::uuid[]) placed (client_id) where {bound}"
                )
            })
            .collect();
        let rows: Vec<(i64, Uuid)> = session
            .of_ids(
                "reading which clients a partition is for",
                asked.join(" union all "),
                clients,
            )
            .await?;
        for (at, client) in rows {
            if let Some(of) = usize::try_from(at).ok().and_then(|at| within.get_mut(&at)) {
                of.insert(client);
            }
        }
    }
    Ok(within)
}
