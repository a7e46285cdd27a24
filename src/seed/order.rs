use std::collections::HashMap;

use super::bound::{BoundRow, BoundTable};
use crate::error::SeedError;
use crate::schema::Table;

/// The tables, each behind those that its rows refer to: by references, and by foreign keys whose columns they name.
pub(super) fn in_order(tables: Vec<BoundTable>) -> Result<Vec<BoundTable>, SeedError> {
    let positions: HashMap<&str, usize> = (tables.iter().enumerate())
        .map(|(at, table)| (table.table.qualified.as_str(), at))
        .collect();
    let leads_to = tables.iter().enumerate().map(|(at, table)| {
        let columns = table.rows.iter().flat_map(|row| row.cells.iter());
        let references = columns.flat_map(|(_, cell)| cell.references());
        let mut to: Vec<usize> = references
            .filter_map(|reference| positions.get(reference.table.qualified.as_str()).copied())
            .collect();
        for (position, other) in tables.iter().enumerate() {
            let mut keys = table.table.foreign_keys_to(&other.table);
            if keys.any(|key| key.columns.iter().any(|column| names(table, column))) {
                to.push(position);
            }
        }
        to.retain(|other| *other != at);
        to.sort_unstable();
        to.dedup();
        to
    });
    let order = sorted(&leads_to.collect::<Vec<_>>()).map_err(|circle| SeedError::Circle {
        of: circle
            .into_iter()
            .filter_map(|at| Some(tables.get(at)?.table.qualified.clone()))
            .collect(),
    })?;
    let mut tables: Vec<Option<BoundTable>> = tables.into_iter().map(Some).collect();
    Ok(order
        .into_iter()
        .filter_map(|at| tables.get_mut(at)?.take())
        .collect())
}

fn names(table: &BoundTable, column: &str) -> bool {
    let mut cells = table.rows.iter().flat_map(|row| &row.cells);
    cells.any(|(name, _)| name == column)
}

/// Says of each row how many of its table come before it.
pub(super) fn level(table: &Table, rows: &mut [BoundRow]) -> Result<(), SeedError> {
    let by_key: HashMap<&str, usize> = (rows.iter().enumerate())
        .map(|(at, row)| (row.key.as_str(), at))
        .collect();
    let leads_to: Vec<Vec<usize>> = rows
        .iter()
        .map(|row| {
            let references = row.cells.iter().flat_map(|(_, cell)| cell.references());
            let own = references.filter(|reference| reference.table.qualified == table.qualified);
            own.filter_map(|reference| by_key.get(reference.text.as_str()).copied())
                .collect()
        })
        .collect();
    let order = sorted(&leads_to).map_err(|circle| SeedError::Circle {
        of: circle
            .into_iter()
            .filter_map(|at| Some(rows.get(at)?.at.to_string()))
            .collect(),
    })?;
    let mut levels = vec![0; rows.len()];
    for at in order {
        let before = leads_to[at].iter().map(|other| levels[*other] + 1);
        levels[at] = before.max().unwrap_or_default();
    }
    for (row, level) in rows.iter_mut().zip(levels) {
        row.level = level;
    }
    Ok(())
}

/// Each behind all that it leads to, else as they are; those that are left in circles where that cannot be.
fn sorted(leads_to: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut behind = vec![Vec::new(); leads_to.len()];
    let mut waits_for: Vec<usize> = leads_to.iter().map(Vec::len).collect();
    for (at, to) in leads_to.iter().enumerate() {
        for other in to {
            behind[*other].push(at);
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (waits_for.iter().enumerate())
        .filter(|(_, left)| **left == 0)
        .map(|(at, _)| at)
        .collect();
    let mut order = Vec::with_capacity(leads_to.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for other in &behind[at] {
            waits_for[*other] -= 1;
            if waits_for[*other] == 0 {
                ready.insert(*other);
            }
        }
    }
    if order.len() == leads_to.len() {
        return Ok(order);
    }
    Err((waits_for.iter().enumerate())
        .filter(|(_, left)| **left > 0)
        .map(|(at, _)| at)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_behind_what_it_leads_to_and_a_circle_is_told() {
        assert_eq!(sorted(&[vec![2], vec![], vec![1], vec![]]), Ok(vec![1, 2, 0, 3]));
        assert_eq!(sorted(&[vec![1], vec![0], vec![]]), Err(vec![0, 1]));
        assert_eq!(sorted(&[vec![0]]), Err(vec![0]));
        let chain: Vec<Vec<usize>> = (0..50_000_usize)
            .map(|at| if at < 49_999 { vec![at + 1] } else { Vec::new() })
            .collect();
        assert!(sorted(&chain).unwrap().into_iter().rev().eq(0..50_000));
    }
}
