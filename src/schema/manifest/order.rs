use std::collections::HashMap;

use super::HostTable;

/// The tables in groups, so that each group refers to itself and those before it alone. A group of several is a
/// circle.
pub(crate) fn by_reference(tables: Vec<HostTable>) -> Vec<Vec<HostTable>> {
    let positions: HashMap<i64, usize> = (tables.iter().enumerate())
        .map(|(at, table)| (table.oid, at))
        .collect();
    let edges: Vec<Vec<usize>> = tables
        .iter()
        .map(|table| {
            let to = table.references().iter();
            to.filter_map(|reference| positions.get(&reference.to).copied())
                .collect()
        })
        .collect();
    let mut tables: Vec<Option<HostTable>> = tables.into_iter().map(Some).collect();
    let group = |group: Vec<usize>| group.into_iter().filter_map(|at| tables[at].take()).collect();
    components(&edges).into_iter().map(group).collect()
}

/// Tarjan's algorithm: the strongly connected components, each after all that it leads to. It keeps its own stack,
/// since a chain of tables can be long.
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut found = Vec::new();
    let mut index = vec![NEW; edges.len()];
    let mut low = vec![NEW; edges.len()];
    let mut open: Vec<usize> = Vec::new();
    let mut is_open = vec![false; edges.len()];
    let mut next = 0;
    for root in 0..edges.len() {
        if index[root] != NEW {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == 0 && index[node] == NEW {
                index[node] = next;
                low[node] = next;
                next += 1;
                open.push(node);
                is_open[node] = true;
            }
            if let Some(&to) = edges[node].get(*edge) {
                *edge += 1;
                if index[to] == NEW {
                    path.push((to, 0));
                } else if is_open[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == index[node]
                && let Some(start) = open.iter().rposition(|at| *at == node)
            {
                let mut group = open.split_off(start);
                for at in &group {
                    is_open[*at] = false;
                }
                group.sort_unstable();
                found.push(group);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_referred_to_comes_first_and_a_circle_is_one_group() {
        // 0 -> 1 -> 2, 2 -> 2, 3 <-> 4, 4 -> 0, 5 -> 3.
        let edges = vec![vec![1], vec![2], vec![2], vec![4], vec![3, 0], vec![3]];
        assert_eq!(
            components(&edges),
            [vec![2], vec![1], vec![0], vec![3, 4], vec![5]]
        );
        let chain: Vec<Vec<usize>> = (0..10_000_usize)
            .map(|at| if at < 9_999 { vec![at + 1] } else { Vec::new() })
            .collect();
        let order: Vec<usize> = components(&chain).into_iter().flatten().collect();
        assert!(order.into_iter().rev().eq(0..10_000));
    }
}
